package ws

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// silentSink hears and forgets.
type silentSink struct{ end *Endpoint }

func (s silentSink) Message(op Opcode, p []byte) { s.end.Send(op, p) }
func (s silentSink) CloseFrame(uint16, string)   {}
func (s silentSink) Drained()                    {}
func (s silentSink) Gone(error)                  {}

// sendAll plays a system that takes everything, and appends it to sent.
func sendAll(e *Endpoint, sent *[]byte) (n int) {
	var segments [8][]byte
	for out := e.Unsent(); out != nil; out = e.Unsent() {
		k := 0
		for _, b := range out.Segments(segments[:0]) {
			k += len(b)
			if sent != nil {
				*sent = append(*sent, b...)
			}
		}
		e.Sent(k, true)
		n += k
	}
	return n
}

// TestQueueAgainstAModel sends at random to a system that takes as much as it
// likes. What comes out must be whole frames, in order, each once; Buffered must
// be true; a slow reader loses only what waits, at the edge of a frame.
func TestQueueAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pool Pool
		var e, other Endpoint
		other.Init(&pool, Options{}, silentSink{}) // whose bytes lie between in the arena
		const bound = 100 << 10
		head := []byte("HTTP/1.1 101\r\n\r\n")
		e.Init(&pool, Options{Head: head, MaxOutbound: bound}, silentSink{})
		var want, got []byte // all that was queued, and what has left
		want = append(want, head...)
		edges := []int{0, len(want)} // where frames end in want
		offer := func() {            // the system takes some of it, or all
			var segments [5][]byte
			e.Unstick()
			for out := e.Unsent(); out != nil; out = e.Unsent() {
				bytes := slices.Concat(out.Segments(segments[:0])...)
				n := len(bytes)
				if rapid.IntRange(0, 3).Draw(t, "all or some") == 0 {
					n = rapid.IntRange(0, n).Draw(t, "some")
				}
				got = append(got, bytes[:n]...)
				e.Sent(n, n == len(bytes))
			}
		}
		queued := func(u Urgency, frame []byte, borrowed []byte) {
			if e.Over() {
				return
			}
			want = append(want, frame...)
			edges = append(edges, len(want))
			if u == AtOnce {
				offer()
			}
			clear(borrowed) // it was
		}
		fill := byte(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if e.Over() {
				break
			}
			fill++
			n := rapid.SampledFrom([]int{0, 1, 125, 126, 1000, 16000, 16384, 40000, 66000}).Draw(t, "size")
			p := bytes.Repeat([]byte{fill}, n)
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				other.Send(OpText, []byte("other"))
			case 1, 2:
				frame := AppendFrame(nil, OpBinary, p)
				queued(e.Send(OpBinary, p), frame, p)
			case 3:
				m := NewShared(OpText, p)
				queued(e.SendShared(m), AppendFrame(nil, OpText, p), p)
			case 4:
				sendAll(&other, nil)
				offer() // the end of a round
				pool.EndRound()
				for i := range pool.arena.blocks { // its memory is used again
					b := pool.arena.blocks[i]
					fillWith(b[:cap(b)], 0xEE)
				}
			case 5:
				offer()
			}
			if waits := len(want) - len(got); !e.Over() && e.Buffered() != waits {
				t.Fatalf("Buffered is %d, want %d", e.Buffered(), waits)
			}
			if most := bound + 66000 + maxHeader; e.Buffered() > max(most, earlyFlush+66000) {
				t.Fatalf("%d bytes wait", e.Buffered())
			}
		}
		if !e.Over() {
			e.Unstick()
			sendAll(&e, &got)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d bytes came out, not the %d that went in", len(got), len(want))
			}
			return
		}
		// The bound was passed: what had begun to leave ends whole, then Close.
		e.Unstick()
		sendAll(&e, &got)
		closeFrame := AppendClose(nil, CloseTryAgainLater, "")
		rest, ok := bytes.CutSuffix(got, closeFrame)
		if !ok {
			t.Fatal("what came out does not end with a Close")
		}
		if !bytes.HasPrefix(want, rest) || !slices.Contains(edges, len(rest)) {
			t.Fatalf("%d bytes came out before the Close: not the first frames of those that went in", len(rest))
		}
	})
}

func fillWith(b []byte, with byte) {
	for i := range b {
		b[i] = with
	}
}

// TestPongsInAQueue: while the system takes nothing, a flood of pings is answered
// for a while, and then only its last one is remembered.
func TestPongsInAQueue(t *testing.T) {
	var pool Pool
	var e Endpoint
	e.Init(&pool, Options{}, silentSink{})
	stuck := AppendFrame(nil, OpText, make([]byte, maxStuckPongs))
	flood := func() {
		e.Send(OpText, make([]byte, maxStuckPongs))
		e.Sent(1, false)
		for i := range 1000 {
			e.Receive(maskedFrame(OpPing, fmt.Append(nil, i)))
		}
		if n, limit := e.Buffered(), len(stuck)-1; n != limit {
			t.Errorf("%d bytes wait, want %d: pings add nothing", n, limit)
		}
	}
	drain := func() (sent []byte) {
		e.Unstick()
		sendAll(&e, &sent)
		if e.out != nil {
			t.Error("the outbox was not given back")
		}
		return sent
	}
	flood()
	if got, want := drain(), AppendFrame(stuck[1:], OpPong, []byte("999")); !bytes.Equal(got, want) {
		t.Errorf("%d bytes were sent, want %d: what waited, and one pong", len(got), len(want))
	}
	// While little waits, all are answered.
	e.Send(OpText, nil)
	e.Sent(1, false)
	for range 3 {
		e.Receive(maskedFrame(OpPing, nil))
	}
	if got, want := drain(), []byte("\x00\x8a\x00\x8a\x00\x8a\x00"); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// The last Pong leaves before our Close, and none after it.
	flood()
	e.Close(1000, "")
	e.Receive(maskedFrame(OpPing, []byte("late")))
	want := AppendClose(AppendFrame(stuck[1:], OpPong, []byte("999")), 1000, "")
	if got := drain(); !bytes.Equal(got, want) {
		t.Errorf("%d bytes were sent, want %d: what waited, one pong, Close", len(got), len(want))
	}
}

func TestSharedIsCompressedOnce(t *testing.T) {
	var pool Pool
	m := NewShared(OpText, bytes.Repeat([]byte("broadcast "), 1000))
	frame := m.encoded(&pool.deflate, 15)
	if len(frame) >= len(m.plain) || frame[0] != 0x80|bitRSV1|byte(OpText) {
		t.Fatalf("%d bytes with first byte %x, want a shorter compressed frame", len(frame), frame[0])
	}
	if again := m.encoded(&pool.deflate, 15); &again[0] != &frame[0] {
		t.Error("compressed again for the second connection")
	}
	if small := m.encoded(&pool.deflate, 9); &small[0] == &frame[0] {
		t.Error("a smaller window got the bytes of the largest")
	}
	if plain := m.encoded(&pool.deflate, 0); &plain[0] != &m.plain[0] {
		t.Error("without compression the plain frame was copied")
	}
	// A window that holds all of the message is as good as the largest.
	n := NewShared(OpText, bytes.Repeat([]byte("broadcast "), 200))
	if a, b := n.encoded(&pool.deflate, 12), n.encoded(&pool.deflate, 15); &a[0] != &b[0] {
		t.Error("compressed twice although every window holds the message")
	}
}

func TestCutReason(t *testing.T) {
	for _, test := range []struct{ reason, want string }{
		{"", ""},
		{string(bytes.Repeat([]byte("a"), 123)), string(bytes.Repeat([]byte("a"), 123))},
		{string(bytes.Repeat([]byte("a"), 124)), string(bytes.Repeat([]byte("a"), 123))},
		{string(bytes.Repeat([]byte("\u20ac"), 50)), string(bytes.Repeat([]byte("\u20ac"), 41))},
		{string(bytes.Repeat([]byte("\x80"), 200)), ""}, // not text at all
	} {
		if got := cutReason(test.reason); got != test.want {
			t.Errorf("%q: got %q, want %q", test.reason, got, test.want)
		}
	}
}

// echoEndpoint is an endpoint that answers what it hears.
func echoEndpoint(pool *Pool, o Options) *Endpoint {
	e := &Endpoint{}
	e.Init(pool, o, silentSink{e})
	return e
}

func TestEchoDoesNotAllocate(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		payload []byte
	}{
		"small":      {Options{}, []byte("a small message")},
		"compressed": {Options{Deflate: &DeflateParams{ServerBits: 15, ClientBits: 15}}, bytes.Repeat([]byte("compress "), 500)},
	} {
		var pool Pool
		e := echoEndpoint(&pool, test.options)
		source := maskedFrame(OpText, test.payload)
		in := make([]byte, len(source))
		round := func() {
			copy(in, source)
			e.Receive(in)
			sendAll(e, nil)
			pool.EndRound()
		}
		round() // makes what is pooled
		if got := testing.AllocsPerRun(1000, round); got != 0 {
			t.Errorf("%s: %v allocations to hear and answer, want none", name, got)
		}
	}
}

// What do the two directions of the protocol cost together?
func BenchmarkEcho(b *testing.B) {
	for _, n := range []int{16, 125, 1024, 16000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var pool Pool
			e := echoEndpoint(&pool, Options{})
			source := maskedFrame(OpText, bytes.Repeat([]byte("a"), n))
			in := make([]byte, len(source))
			b.ReportAllocs()
			for b.Loop() {
				copy(in, source)
				e.Receive(in)
				sendAll(e, nil)
				pool.EndRound()
			}
		})
	}
}

// What does a broadcast cost for each connection, but for the system's part?
func BenchmarkSendShared(b *testing.B) {
	for _, n := range []int{16, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var pool Pool
			ends := make([]*Endpoint, 200)
			for i := range ends {
				ends[i] = echoEndpoint(&pool, Options{})
			}
			payload := make([]byte, n)
			b.ReportAllocs()
			for b.Loop() {
				m := NewShared(OpBinary, payload)
				for _, e := range ends {
					e.SendShared(m)
				}
				for _, e := range ends {
					sendAll(e, nil)
				}
				pool.EndRound()
			}
		})
	}
}
