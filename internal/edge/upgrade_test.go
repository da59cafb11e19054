package edge

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

const upgrade = "GET /chat HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"

func withSocket(c *call) {
	c.Response(&guest.Response{Status: 101, Socket: 7, Header: []guest.Header{
		{Name: "sec-websocket-protocol", Value: "chat"}, {Name: "x-own", Value: "gr\u00fcn"}, {Name: "sec-websocket-accept", Value: "forged"}, {Name: "content-length", Value: "5"},
	}})
}

func TestUpgrade(t *testing.T) {
	for _, compress := range []bool{false, true} {
		w, s := front(t, &Front{Compress: compress}, withSocket)
		_, r := raw(t, s, upgrade+"Sec-WebSocket-Extensions: permessage-deflate\nSec-WebSocket-Protocol: chat\n\nearly bytes")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if compress {
			want = "permessage-deflate"
		}
		if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || resp.Header.Get("Sec-WebSocket-Protocol") != "chat" ||
			resp.Header.Get("X-Own") != "gr\xfcn" || len(resp.Header["Sec-Websocket-Accept"]) != 1 || !strings.HasPrefix(resp.Header.Get("Sec-WebSocket-Extensions"), want) {
			t.Errorf("got %d %v", resp.StatusCode, resp.Header)
		}
		w.mu.Lock()
		if len(w.attached) != 1 || w.attached[0].socket != 7 || w.attached[0].rest != "early bytes" || (w.attached[0].o.Deflate != nil) != compress {
			t.Errorf("attached %+v", w.attached)
		}
		if len(w.released) > 0 {
			t.Errorf("released %v", w.released)
		}
		w.attached[0].conn.Close()
		w.mu.Unlock()
	}
}

// TestUpgradeRefused: whoever has the other end of the socket hears of it.
func TestUpgradeRefused(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		attach  error
		status  int
	}{
		"a plain request":    {"GET / HTTP/1.1\nHost: a\n", nil, 500},
		"another version":    {strings.Replace(upgrade, ": 13", ": 8", 1), nil, 426},
		"no key":             {strings.Replace(upgrade, "dGhl", "", 1), nil, 400},
		"HTTP/1.0":           {strings.Replace(upgrade, "/1.1", "/1.0", 1), nil, 400},
		"a body":             {upgrade + "Content-Length: 3\n", nil, 400},
		"a chunked body":     {upgrade + "Transfer-Encoding: chunked\n", nil, 400},
		"the socket is gone": {upgrade, fmt.Errorf("the other end is gone"), 101},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Front{}
			if c.attach != nil {
				f.Attach = func(dormouse.SocketID, net.Conn, []byte, ws.Options) error { return c.attach }
			}
			w, s := front(t, f, withSocket)
			_, r := raw(t, s, c.request+"\n")
			resp, err := http.ReadResponse(r, nil)
			if c.attach != nil {
				if n, err := r.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes came on a socket that should have ended at once", n)
				}
			}
			if err != nil || resp.StatusCode != c.status {
				t.Errorf("got %v, %v, want %d", resp, err, c.status)
			}
			w.wantReleased(t)
		})
	}
}

func (w *worker) wantReleased(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		n := len(w.released)
		w.mu.Unlock()
		if n == 1 {
			return
		}
		if n > 1 || time.Now().After(end) {
			t.Errorf("the socket was released %d times, want once", n)
			return
		}
	}
}

// TestClientLeavesBeforeItsSocketComes: nobody takes it, and that is said.
func TestClientLeavesBeforeItsSocketComes(t *testing.T) {
	calls := make(chan *call, 1)
	w, s := front(t, &Front{}, func(c *call) { calls <- c })
	conn, _ := raw(t, s, upgrade+"\n")
	c := <-calls
	conn.Close()
	c.hears(t, "cancel the client left")
	withSocket(c) // it crossed
	w.wantReleased(t)
}

// TestNoRoom: an upgrade is refused before the Worker hears of it, and the client
// is told to come back; what is no upgrade is served.
func TestNoRoom(t *testing.T) {
	_, s := front(t, &Front{Full: func(context.Context) bool { return true }}, func(c *call) { c.text(200, "served") })
	for _, c := range []struct {
		upgrade string
		status  int
		after   string
	}{{"WebSocket", 503, "5"}, {"", 200, ""}} {
		r, err := http.NewRequest("GET", s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.upgrade != "" {
			r.Header.Set("Upgrade", c.upgrade)
			r.Header.Set("Connection", "Upgrade")
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status || res.Header.Get("Retry-After") != c.after || res.Close != (c.status == 503) {
			t.Errorf("Upgrade %q: status %d, Retry-After %q, close %v", c.upgrade, res.StatusCode, res.Header.Get("Retry-After"), res.Close)
		}
	}
}
