package ws_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

// TestCasesAcrossProcesses runs the table with a new endpoint for each piece of
// input: what one saves, the next restores, and no case may come out otherwise.
func TestCasesAcrossProcesses(t *testing.T) {
	for _, c := range wstest.Cases() {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			for name, cut := range cuts(len(c.Send)) {
				if name == "every byte" && len(c.Send) > 4<<10 {
					continue // each move copies what has come so far
				}
				heard, got := playMoving(t, c, cut)
				wstest.Compare(t, name+": owner", heard, c.Heard)
				wstest.Compare(t, name+": client", got, c.Got)
			}
		})
	}
}

func playMoving(t *testing.T, c wstest.Case, cut func() int) (heard, got []string) {
	t.Helper()
	rec := &wstest.Recorder{}
	sent := new(bytes.Buffer)
	w := newWire(c.Options, rec)
	rec.Conn = conn{wire: w}
	for p := c.Send; len(p) > 0; {
		n := min(cut(), len(p))
		w.end.Receive(bytes.Clone(p[:n]))
		w.flush(ws.EndRound)
		p = p[n:]
		saved, ok := w.end.Save()
		if !ok {
			continue
		}
		next := &wire{}
		if err := next.end.Restore(&next.pool, c.Options, &saved, rec); err != nil {
			t.Fatalf("restore %+v: %v", saved, err)
		}
		sent.Write(w.sent.Bytes())
		w, rec.Conn = next, conn{wire: next}
	}
	w.end.TellGone()
	sent.Write(w.sent.Bytes())
	got, err := wstest.ReadAll(io.Reader(sent))
	if err != nil {
		t.Errorf("read what was sent: %v", err)
	}
	return rec.Heard, got
}

// TestUnsentBytesMove: a system that takes a few bytes at a time, and a move
// whenever it has taken some, lose and double nothing.
func TestUnsentBytesMove(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, seed))
		o := ws.Options{Head: []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"), MaxOutbound: 4 << 10}
		if seed%2 == 0 {
			o.Deflate = &ws.DeflateParams{ServerBits: 12, ClientBits: 15}
		}
		sink := &ends{}
		pool := &ws.Pool{}
		end := &ws.Endpoint{}
		end.Init(pool, o, sink)
		var left bytes.Buffer
		said := 0
		for range 60 {
			end.Send(ws.OpText, fmt.Appendf(nil, "%d %s", said, bytes.Repeat([]byte("x"), r.IntN(300))))
			if !end.Over() {
				said++
			}
			take(end, &left, r.IntN(400))
			pool.EndRound()
			if r.IntN(2) == 0 {
				saved, ok := end.Save()
				if !ok {
					break // too much waited
				}
				pool, end = &ws.Pool{}, &ws.Endpoint{}
				if err := end.Restore(pool, o, &saved, sink); err != nil {
					t.Fatalf("seed %d: restore: %v", seed, err)
				}
			}
		}
		end.Close(1000, "")
		end.Unstick()
		take(end, &left, 1<<20)
		out, ok := bytes.CutPrefix(left.Bytes(), o.Head)
		if !ok {
			t.Fatalf("seed %d: the answer to the upgrade request is not whole", seed)
		}
		got := messages(t, out)
		if !end.Over() && len(got) != said {
			t.Errorf("seed %d: %d messages left, want %d", seed, len(got), said)
		}
		for i, m := range got {
			if want := fmt.Sprint(i, " "); !bytes.HasPrefix(m, []byte(want)) {
				t.Fatalf("seed %d: message %d is %.40q", seed, i, m)
			}
		}
	}
}

// messages decodes what a server has sent, up to its Close.
func messages(t *testing.T, b []byte) (list [][]byte) {
	t.Helper()
	d := (&ws.Pool{}).Decoder(ws.Terms{MaxMessage: 1 << 20, Inflate: true, FromServer: true})
	for {
		op, payload, n, err := d.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		switch b = b[n:]; op {
		case ws.OpClose:
			return list
		case ws.OpText:
			list = append(list, bytes.Clone(payload))
		default:
			t.Fatalf("the stream ends within a frame, or has one of kind %d", op)
		}
	}
}

// take plays a system that takes n bytes now.
func take(end *ws.Endpoint, left *bytes.Buffer, n int) {
	end.Unstick()
	for out := end.Unsent(); out != nil; out = end.Unsent() {
		took, all := 0, 0
		for _, b := range out.Segments(make([][]byte, 0, 8)) {
			k := min(len(b), n-took)
			left.Write(b[:k])
			took, all = took+k, all+len(b)
		}
		n -= took
		end.Sent(took, took == all)
	}
}

// ends is a Sink that expects nothing but an end.
type ends struct{ ws.Sink }

func (*ends) Drained() {}

// TestRestoreRefuses: what another process says is not believed.
func TestRestoreRefuses(t *testing.T) {
	partial := func(q ws.Partial) ws.Saved { return ws.Saved{Partial: &q} }
	for name, s := range map[string]ws.Saved{
		"begun past the end":    {Unsent: []byte{0x81, 0}, Begun: 3},
		"begun before it":       {Unsent: []byte{0x81, 0}, Begun: -1},
		"no frames":             {Unsent: []byte{0x81, 5, 'a'}},
		"half a header":         {Unsent: []byte{0x81}},
		"a masked frame":        {Unsent: []byte{0x81, 0x80, 0, 0, 0, 0}},
		"an endless frame":      {Unsent: []byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"muted with bytes":      {Mute: true, Unsent: []byte{0x81, 0}},
		"a pong alone":          {Pong: []byte{0x8a, 0}},
		"a wide window":         {Deflate: ws.DeflateParams{ServerBits: 16}},
		"a whole header":        partial(ws.Partial{Head: []byte{0x81, 0x80, 1, 2, 3, 4}}),
		"a header in a frame":   partial(ws.Partial{Head: []byte{0x81}, Message: ws.OpText, Frame: &ws.Frame{Op: ws.OpText}}),
		"a message of no kind":  partial(ws.Partial{Message: 7}),
		"a body of nothing":     partial(ws.Partial{Body: []byte("a")}),
		"a frame of no message": partial(ws.Partial{Frame: &ws.Frame{Op: ws.OpText, Left: 1}}),
		"a negative frame":      partial(ws.Partial{Message: ws.OpText, Frame: &ws.Frame{Op: ws.OpText, Left: -1}}),
		"a frame without bound": partial(ws.Partial{Message: ws.OpText, Frame: &ws.Frame{Op: ws.OpText, Left: 1 << 40}}),
		"a long control frame":  partial(ws.Partial{Frame: &ws.Frame{Op: ws.OpPing, Left: 126}}),
		"a control frame short": partial(ws.Partial{Frame: &ws.Frame{Op: ws.OpPing, Got: 3, Left: 2, Control: []byte("a")}}),
		"an unknown frame":      partial(ws.Partial{Message: ws.OpText, Frame: &ws.Frame{Op: 5}}),
	} {
		var e ws.Endpoint
		if err := e.Restore(&ws.Pool{}, ws.Options{}, &s, &ends{}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}
