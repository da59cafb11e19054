package e2e

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// TestProxyHoldsBack: a Worker that passes an upgrade on to an outside origin
// (return fetch(request)) is a pipe. Who says much to somebody who does not read
// has to wait, in both directions: nothing is lost, nobody is dropped, and what
// waits has bounds far below what is said.
func TestProxyHoldsBack(t *testing.T) {
	const messages, size = 1200, 64 << 10 // 75 MiB; past 16 MiB a side that cannot be paused is given up
	origins := make(chan net.Conn)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		origins <- conn
	}))
	defer origin.Close()
	d := StartDormouse(t, Options{Dir: filepath.Join(root(t), "conformance/worker"), HibernateAfter: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	address := "ws" + strings.TrimPrefix(d.URL, "http") + "/proxy?to=" + url.QueryEscape(origin.URL)
	client, _, _, err := ws.Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	far := <-origins
	defer far.Close()
	for _, c := range []net.Conn{client, far} {
		c.SetDeadline(time.Now().Add(2 * limit))
	}

	through := func(what string, write func(p []byte) error, read func() ([]byte, error)) {
		t.Helper()
		written := make(chan int, messages)
		go func() {
			defer close(written)
			p := make([]byte, size)
			for i := range messages {
				p[0], p[1] = byte(i), byte(i>>8)
				if err := write(p); err != nil {
					t.Errorf("%s: message %d: %v", what, i, err)
					return
				}
				written <- i
			}
		}()
		// Nobody reads: the writer comes to a halt.
		err := Until(ctx, what+": the writer waits", func() (bool, error) {
			before := len(written)
			time.Sleep(200 * time.Millisecond)
			return before > 0 && len(written) == before, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(written); n > messages*3/4 {
			t.Errorf("%s: %d of %d messages have left before anybody reads", what, n, messages)
		}
		for i := range messages {
			p, err := read()
			if err != nil {
				t.Fatalf("%s: message %d: %v", what, i, err)
			}
			if len(p) != size || p[0] != byte(i) || p[1] != byte(i>>8) {
				t.Fatalf("%s: message %d has %d bytes and the number %d", what, i, len(p), int(p[0])|int(p[1])<<8)
			}
		}
	}
	through("client to origin",
		func(p []byte) error { return wsutil.WriteClientBinary(client, p) },
		func() ([]byte, error) { return wsutil.ReadClientBinary(far) })
	through("origin to client",
		func(p []byte) error { return wsutil.WriteServerBinary(far, p) },
		func() ([]byte, error) { return wsutil.ReadServerBinary(client) })

	if err := wsutil.WriteClientMessage(client, ws.OpClose, ws.NewCloseFrameBody(4001, "enough")); err != nil {
		t.Fatal(err)
	}
	closed := wsutil.ClosedError{}
	if _, err := wsutil.ReadClientBinary(far); !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "enough" {
		t.Errorf("the origin read %v, want the client's close", err)
	}
}
