package ws_test

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

// wire is an endpoint with its I/O played by a test: what leaves is collected.
type wire struct {
	pool ws.Pool
	end  ws.Endpoint
	sent bytes.Buffer
}

func newWire(o ws.Options, sink ws.Sink) *wire {
	w := &wire{}
	w.end.Init(&w.pool, o, sink)
	return w
}

func (w *wire) flush(u ws.Urgency) {
	if u == ws.Nothing {
		return
	}
	for out := w.end.Unsent(); out != nil; out = w.end.Unsent() {
		n := 0
		for _, b := range out.Segments(make([][]byte, 0, 8)) {
			w.sent.Write(b)
			n += len(b)
		}
		w.end.Sent(n, true)
	}
	w.pool.EndRound()
}

// Send and Close make a wire the Conn of a wstest.Recorder.
func (w *wire) Send(op ws.Opcode, p []byte) { w.flush(w.end.Send(op, p)) }
func (w *wire) Close(code uint16, r string) { w.flush(w.end.Close(code, r)) }

type conn struct {
	*wire
	ws.Conn // the rest is not called
}

func (c conn) Send(op ws.Opcode, p []byte)      { c.wire.Send(op, p) }
func (c conn) Close(code uint16, reason string) { c.wire.Close(code, reason) }

// TestCases runs the whole table on the protocol alone, with the input cut in
// several ways; every case must come out the same.
func TestCases(t *testing.T) {
	cases := wstest.Cases()
	logCount(t, cases)
	for _, c := range cases {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			for name, cut := range cuts(len(c.Send)) {
				heard, got := play(t, c, cut)
				wstest.Compare(t, name+": owner", heard, c.Heard)
				wstest.Compare(t, name+": client", got, c.Got)
			}
		})
	}
}

// logCount says how many cases there are in each group: the README's figure.
func logCount(t *testing.T, cases []wstest.Case) {
	t.Helper()
	count := make(map[string]int)
	for _, c := range cases {
		count[c.Group]++
	}
	for _, group := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%4d %s", count[group], group)
	}
	t.Logf("%4d cases in all", len(cases))
}

// cuts are ways to cut n bytes: each returns the size of the next piece.
func cuts(n int) map[string]func() int {
	m := map[string]func() int{
		"whole":  func() int { return n },
		"random": random(1, max(2, n/50)),
	}
	if n < 1<<17 {
		m["every byte"] = func() int { return 1 }
		m["random small"] = random(2, 9)
	}
	return m
}

func random(seed uint64, most int) func() int {
	r := rand.New(rand.NewPCG(seed, seed))
	return func() int { return 1 + r.IntN(most) }
}

func play(t *testing.T, c wstest.Case, cut func() int) (heard, got []string) {
	t.Helper()
	rec := &wstest.Recorder{}
	w := newWire(c.Options, rec)
	rec.Conn = conn{wire: w}
	for p := c.Send; len(p) > 0; {
		n := min(cut(), len(p))
		// The decoder unmasks in place, and must not look at the piece again.
		piece := bytes.Clone(p[:n])
		w.end.Receive(piece)
		clear(piece)
		w.flush(ws.EndRound)
		p = p[n:]
	}
	if !w.end.Over() {
		t.Errorf("the connection is not over; heard %q", rec.Heard)
	}
	w.end.TellGone()
	w.end.TellGone()
	got, err := wstest.ReadAll(io.Reader(&w.sent))
	if err != nil {
		t.Errorf("read what was sent: %v", err)
	}
	return rec.Heard, got
}
