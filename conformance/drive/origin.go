package drive

import (
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/gobwas/ws"
)

// origin is a server outside the Worker, for what it does outbound: it echoes
// messages, answers a Close with the same code, takes the subprotocol "chat",
// and answers other requests as web does.
type origin struct {
	addr string
	srv  *http.Server
	web  web
}

func startOrigin() (*origin, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{addr: ln.Addr().String()}
	o.srv = &http.Server{Handler: http.HandlerFunc(o.serve)}
	go o.srv.Serve(ln)
	return o, nil
}

func (o *origin) close() { o.srv.Close() }

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		o.web.ServeHTTP(w, r)
		return
	}
	upgrader := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == "chat" }}
	conn, _, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		h, err := ws.ReadHeader(conn)
		if err != nil || h.Length > maxMessage {
			return
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		ws.Cipher(payload, h.Mask, 0)
		op := h.OpCode
		if op == ws.OpPing {
			op = ws.OpPong
		}
		if string(payload) == "close me" {
			op, payload = ws.OpClose, ws.NewCloseFrameBody(4010, "as you wish")
		}
		f := ws.NewFrame(op, h.Fin, payload)
		if ws.WriteFrame(conn, f) != nil || h.OpCode == ws.OpClose {
			return
		}
	}
}
