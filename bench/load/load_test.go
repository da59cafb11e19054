package load

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// serve answers each message of each socket with answer's messages.
func serve(t *testing.T, answer func(msg []byte) [][]byte) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			msg, err := wsutil.ReadClientText(c)
			if err != nil {
				return
			}
			for _, a := range answer(msg) {
				if wsutil.WriteServerText(c, a) != nil {
					return
				}
			}
		}
	})}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return ln.Addr().String()
}

func dial(t *testing.T, addr string, n int) *Fleet {
	t.Helper()
	f, err := Dial(addr, n, 4, func(int) string { return "/" })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestPump(t *testing.T) {
	addr := serve(t, func(msg []byte) [][]byte { return [][]byte{msg} })
	f := dial(t, addr, 5)
	for _, size := range []int{1, 125, 126, 70_000} {
		payload := bytes.Repeat([]byte("x"), size)
		edges := ""
		r, err := f.Pump(Pump{Send: payload, Reply: payload, InFlight: 3}, Window{
			Measure: 20 * time.Millisecond,
			Begin:   func() { edges += "begin " },
			End:     func() { edges += "end" },
		})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if r.Messages == 0 || r.Latency.Count() != uint64(r.Messages) || edges != "begin end" {
			t.Errorf("%d bytes: %d messages, %d latencies, edges %q", size, r.Messages, r.Latency.Count(), edges)
		}
	}
	// The fleet is at rest after a Pump, so a question gets its own answer.
	if got, err := f.Ask(3, "who?"); err != nil || got != "who?" {
		t.Errorf("Ask: got %q (%v)", got, err)
	}
}

func TestWrongReplyIsFound(t *testing.T) {
	n := 0
	addr := serve(t, func(msg []byte) [][]byte {
		if n++; n == 10 {
			return [][]byte{[]byte("wrong")}
		}
		return [][]byte{msg}
	})
	_, err := dial(t, addr, 1).Pump(Pump{Send: []byte("hello"), Reply: []byte("hello"), InFlight: 2}, Window{Measure: time.Minute})
	if err == nil || !strings.Contains(err.Error(), `"wrong"`) {
		t.Errorf("got %v, want the wrong reply told", err)
	}
}

func TestReplyTooManyIsFound(t *testing.T) {
	addr := serve(t, func(msg []byte) [][]byte { return [][]byte{msg, msg} })
	_, err := dial(t, addr, 1).Pump(Pump{Send: []byte("a"), Reply: []byte("a"), InFlight: 1}, Window{Measure: time.Minute})
	if err == nil {
		t.Error("two replies to one message were taken for right")
	}
}

func TestDialSaysWhy(t *testing.T) {
	srv := http.Server{Handler: http.NotFoundHandler()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(ln)
	defer srv.Close()
	_, err = Dial(ln.Addr().String(), 3, 2, func(int) string { return "/nowhere" })
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v, want the server's 404", err)
	}
}

func TestSplitFrame(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("p"), size)
		frame := serverFrame(Binary, payload)
		for _, cut := range []int{0, 1, 2, 3, 9, len(frame) - 1} {
			if cut >= len(frame) {
				continue
			}
			if _, _, _, err := splitFrame(frame[:cut]); err != errShort {
				t.Errorf("size %d cut at %d: got %v, want errShort", size, cut, err)
			}
		}
		op, got, rest, err := splitFrame(append(frame, 0x81))
		if err != nil || op != Binary || !bytes.Equal(got, payload) || len(rest) != 1 {
			t.Errorf("size %d: opcode %d, %d bytes, %d behind (%v)", size, op, len(got), len(rest), err)
		}
	}
	for _, bad := range []string{"\x01\x00", "\xc1\x00", "\x81\x80", "\x00\x00"} {
		if _, _, _, err := splitFrame([]byte(bad)); err == nil || err == errShort {
			t.Errorf("%q: got %v, want it refused", bad, err)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	for us := 1; us <= 1000; us++ {
		h.Add(time.Duration(us)*time.Microsecond, 1)
	}
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0, time.Microsecond}, {0.5, 500 * time.Microsecond}, {0.99, 990 * time.Microsecond}, {1, time.Millisecond}} {
		got := h.Quantile(c.q)
		if d := float64(got-c.want) / float64(c.want); d < -0.04 || d > 0.04 {
			t.Errorf("quantile %v: got %v, want %v within 4 %%", c.q, got, c.want)
		}
	}
	for v := range uint64(5000) {
		if b := bucket(v); v >= subBuckets && b == bucket(v*2) {
			t.Fatalf("%d and its double share bucket %d", v, b)
		}
	}
	if got := (&Histogram{}).Quantile(0.5); got != 0 {
		t.Errorf("empty: got %v", got)
	}
}

// TestWhoIsRefusedComesAgain until the server has room.
func TestWhoIsRefusedComesAgain(t *testing.T) {
	busy := make(chan bool, 3)
	for range cap(busy) {
		busy <- true
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-busy:
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		default:
		}
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for {
			m, op, err := wsutil.ReadClientData(c)
			if err != nil {
				return
			}
			wsutil.WriteServerMessage(c, op, m)
		}
	}))
	defer s.Close()
	addr := strings.TrimPrefix(s.URL, "http://")
	if _, err := Dial(addr, 1, 1, func(int) string { return "/" }); !errors.Is(err, errBusy) {
		t.Errorf("got %v, want that it was refused", err)
	}
	f, err := DialAgain(addr, 5, func(int) string { return "/" })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r, err := f.AskAll("hello"); err != nil || r.Messages != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}
