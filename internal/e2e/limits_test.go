package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// TestLimitsOfSockets: each of the settings about an object's sockets does what
// the documents say of it.
func TestLimitsOfSockets(t *testing.T) {
	t.Parallel()
	d := StartDormouse(t, Options{Dir: filepath.Join(root(t), "internal/e2e/testdata/limits"), HibernateAfter: 200 * time.Millisecond})
	told := func(t *testing.T, p *peer, want string) {
		t.Helper()
		err := Until(t.Context(), want, func() (bool, error) {
			p.say("told")
			return strings.Contains(p.hear(), want), nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	// lastFrame reads what has come until a Close, and then the end.
	lastFrame := func(t *testing.T, p *peer) ws.StatusCode {
		t.Helper()
		p.conn.SetReadDeadline(time.Now().Add(limit))
		var code ws.StatusCode
		for {
			f, err := wsread.Frame(p.rw)
			switch {
			case err == io.EOF:
				return code
			case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET):
				return 0 // TCP was ended within a message
			case err != nil:
				t.Fatal(err)
			}
			if f.Header.OpCode == ws.OpClose {
				code, _ = ws.ParseCloseFrameData(f.Payload)
			}
		}
	}

	t.Run("attachment_bytes", func(t *testing.T) {
		p := dial(t, d, "attachment")
		p.say("attach 900")
		if got := p.hear(); got != "attached" {
			t.Errorf("900 bytes: %s", got)
		}
		p.say("attach 1100")
		if got := p.hear(); !strings.Contains(got, "1024") {
			t.Errorf("1,100 bytes: %q, want an error that names 1024", got)
		}
	})
	t.Run("sockets_per_object", func(t *testing.T) {
		dial(t, d, "crowd")
		dial(t, d, "crowd")
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, _, _, err := ws.Dial(ctx, "ws"+strings.TrimPrefix(d.URL, "http")+"/crowd")
		if status, ok := err.(ws.StatusError); !ok || status != 409 {
			t.Errorf("the third socket: %v, want the status 409", err)
		}
	})
	t.Run("outbound_bytes", func(t *testing.T) {
		p, other := dial(t, d, "slow"), dial(t, d, "slow")
		if err := p.conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil { // it does not grow then
			t.Fatal(err)
		}
		p.say("flood 256")
		told(t, other, "WebSocket closed because the client does not read: too many bytes wait to be sent.")
		p.conn.(*net.TCPConn).SetReadBuffer(4 << 20)
		if code := lastFrame(t, p); code != 1013 && code != 0 { // 0: it read on too late
			t.Errorf("the client that did not read got Close %d, want 1013", code)
		}
	})
	t.Run("close_handshake", func(t *testing.T) {
		p, other := dial(t, d, "mute"), dial(t, d, "mute")
		p.say("close")
		if code := lastFrame(t, p); code != 4000 {
			t.Errorf("the client got Close %d, want 4000", code)
		}
		told(t, other, "close 1006 false")
	})
	t.Run("ignore_timers_beyond", func(t *testing.T) {
		p := dial(t, d, "timer")
		p.say("timer 3600000")
		p.hear()
		err := Until(t.Context(), "the object to sleep", func() (bool, error) { return d.asleep(t.Context(), "/timer") })
		if err != nil {
			t.Error(err)
		}
	})
}
