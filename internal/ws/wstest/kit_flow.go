package wstest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// slowReaderIsClosed: a client that does not read costs its bound, no more, and
// what it reads later is whole frames.
func slowReaderIsClosed(t *testing.T, s *Subject) {
	const bound, size = 1 << 20, 100 << 10
	o, c := dial(t, s, ws.Options{MaxOutbound: bound})
	payload := []byte(repeated("slow ", size))
	most, over := 0, false
	for i := 0; !over; i++ {
		if i == 10000 {
			t.Fatal("the connection takes everything, although nobody reads")
		}
		call(t, s, func() {
			before := o.conn.Buffered()
			o.conn.Send(ws.OpBinary, payload)
			most = max(most, o.conn.Buffered())
			over = before > bound/2 && o.conn.Buffered() < before
		})
	}
	// wsstd has one chunk more in the hands of its writer.
	if most > bound+size+512<<10 {
		t.Errorf("%d bytes waited, want at most %d and a message", most, bound)
	}
	r := bufio.NewReader(c)
	c.SetReadDeadline(time.Now().Add(patience))
	var last string
	for what := ""; what != "end"; {
		var err error
		if last = what; what != "" && what != message(ws.OpBinary, payload) && what != closing(1013, "") {
			t.Fatalf("client got %s", what)
		}
		if what, err = readFrame(r); err != nil {
			t.Fatalf("client reads: %v", err)
		}
	}
	if last != closing(1013, "") {
		t.Errorf("the last frame is %s, want close 1013: the client read in time", last)
	}
	o.expect(t, "gone "+ws.ErrSlow.Error())
}

// slowReaderLosesNothing: a client that reads late gets everything, in order.
func slowReaderLosesNothing(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{MaxOutbound: 64 << 20})
	shared := ws.NewShared(ws.OpText, []byte(repeated("shared ", 3000)))
	var want []string
	call(t, s, func() {
		for i := range 3000 {
			switch i % 3 {
			case 0:
				p := []byte(repeated(fmt.Sprint("small ", i, " "), 100))
				want = append(want, message(ws.OpBinary, p))
				o.conn.Send(ws.OpBinary, p)
			case 1:
				p := []byte(repeated(fmt.Sprint("large ", i, " "), 20000))
				want = append(want, message(ws.OpText, p))
				o.conn.Send(ws.OpText, p)
				clear(p) // it was borrowed
			case 2:
				want = append(want, textLine(repeated("shared ", 3000)))
				o.conn.SendShared(shared)
			}
		}
		if o.conn.Buffered() == 0 {
			t.Error("all of it left, although nobody reads")
		}
		o.conn.NotifyDrained(0)
	})
	call(t, s, func() { o.conn.Send(ws.OpText, []byte("last")) })
	o.silent(t, s)
	c.want(t, append(want, `text "last"`)...)
	o.expect(t, "drained")
	call(t, s, func() {
		if n := o.conn.Buffered(); n != 0 {
			t.Errorf("%d bytes wait after Drained, want 0", n)
		}
	})
}

func drainedAtOnce(t *testing.T, s *Subject) {
	o, _ := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.conn.NotifyDrained(100)
		if len(o.events) != 0 {
			t.Error("Drained was called from within NotifyDrained")
		}
	})
	o.expect(t, "drained")
	o.silent(t, s)
}

// pauseStopsAtOnce: messages that came in one segment with the one that made the
// owner pause wait, too.
func pauseStopsAtOnce(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.onMessage = func(ws.Opcode, []byte) { o.conn.Pause() }
	})
	c.write(t, text("one"), text("two"), text("three")[:4])
	o.expect(t, `text "one"`)
	c.write(t, text("three")[4:], text("four"))
	o.silent(t, s)
	for _, want := range []string{"two", "three", "four"} {
		call(t, s, func() {
			o.conn.Resume()
			if len(o.events) != 0 {
				t.Error("Message was called from within Resume")
			}
		})
		o.expect(t, fmt.Sprintf("text %q", want))
		o.silent(t, s)
	}
	// Sending works all the same.
	call(t, s, func() { o.conn.Send(ws.OpText, []byte("answer")) })
	c.want(t, `text "answer"`)
}

// pauseKeepsTheEnd: what a client says before it leaves is heard after a pause,
// and only then its leaving.
func pauseKeepsTheEnd(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.onMessage = func(ws.Opcode, []byte) { o.conn.Pause() }
	})
	c.write(t, text("one"), text("two"))
	o.expect(t, `text "one"`)
	c.write(t, text("three"))
	c.Close()
	o.silent(t, s)
	call(t, s, func() { o.conn.Resume() })
	o.expect(t, `text "two"`)
	o.silent(t, s)
	call(t, s, func() { o.conn.Resume() })
	o.expect(t, `text "three"`)
	call(t, s, func() { o.conn.Resume() })
	o.expect(t, lost)
}

// shardPauses: nothing is heard on any connection, and all of it afterwards.
func shardPauses(t *testing.T, s *Subject) {
	var owners []*owner
	var clients []client
	for range 10 {
		o, c := dial(t, s, ws.Options{})
		owners, clients = append(owners, o), append(clients, c)
	}
	// The first message of each pauses all.
	call(t, s, func() {
		for _, o := range owners {
			o.onMessage = func(_ ws.Opcode, p []byte) { s.Transport.SetPaused(true) }
		}
	})
	for i, c := range clients {
		c.write(t, text(fmt.Sprint("a", i)), text(fmt.Sprint("b", i)))
	}
	clients[0].Close()
	late := newOwner()
	dialSink(t, s, text("rest"), ws.Options{}, late, &late.conn)
	call(t, s, func() { owners[1].conn.Send(ws.OpText, []byte("out")) })
	clients[1].want(t, `text "out"`)
	call(t, s, func() { owners[2].conn.Drop() })
	clients[2].want(t, "end")
	heard := 0
	call(t, s, func() {
		for i, o := range owners {
			o.onMessage = nil
			if i != 2 {
				heard += len(o.events)
			}
		}
		heard += len(late.events)
	})
	// The rest of late may have been heard in the round before the first pause.
	if heard > 2 {
		t.Errorf("%d events were heard on connections that are paused", heard)
	}
	call(t, s, func() { s.Transport.SetPaused(false) })
	for i, o := range owners {
		switch i {
		case 2: // dropped while paused
		case 0:
			o.expect(t, `text "a0"`, `text "b0"`, lost)
		default:
			o.expect(t, fmt.Sprintf("text %q", fmt.Sprint("a", i)), fmt.Sprintf("text %q", fmt.Sprint("b", i)))
		}
	}
	late.expect(t, `text "rest"`)
}

// pingFloodIsBounded: a client that pings and does not read gets the answer to
// its last ping, and costs nothing in between.
func pingFloodIsBounded(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	const floods, each = 300, 500
	most := 0
	for range floods {
		var flood []byte
		for range each {
			flood = append(flood, ping(repeated("flood", 125))...)
		}
		c.write(t, flood)
		call(t, s, func() { most = max(most, o.conn.Buffered()) })
	}
	c.write(t, ping("the last"), text("done"))
	o.expect(t, `text "done"`)
	// A read buffer's worth of answers at once, and what wsstd's writer holds.
	if limit := 512 << 10; most > limit {
		t.Errorf("%d bytes of answers waited, want less than %d", most, limit)
	}
	r := bufio.NewReader(c)
	c.SetReadDeadline(time.Now().Add(patience))
	for n := 0; ; n++ {
		what, err := readFrame(r)
		if err != nil {
			t.Fatalf("after %d pongs: %v", n, err)
		}
		if what == `pong "the last"` {
			break
		}
		if what != "pong "+show([]byte(repeated("flood", 125))) {
			t.Fatalf("client got %s", what)
		}
	}
}

func sharedGoesToAll(t *testing.T, s *Subject) {
	messages := []string{"", "small", repeated("medium ", 500), repeated("large ", 5000), repeated("huge ", 1<<20)}
	options := []ws.Options{{}, {Deflate: &ws.DeflateParams{ServerBits: 15, ClientBits: 15}}, {Deflate: &ws.DeflateParams{ServerBits: 9, ClientBits: 15}}}
	var owners []*owner
	var clients []client
	for i := range 30 {
		o, c := dial(t, s, options[i%len(options)])
		owners, clients = append(owners, o), append(clients, c)
	}
	call(t, s, func() {
		for _, m := range messages {
			payload := []byte(m)
			shared := ws.NewShared(ws.OpText, payload)
			clear(payload) // it was copied
			for _, o := range owners {
				o.conn.SendShared(shared)
			}
		}
	})
	for i, c := range clients {
		for _, m := range messages {
			want := textLine(m)
			if i%len(options) > 0 && len(m) >= 1024 {
				want = "compressed " + want
			}
			c.want(t, want)
		}
	}
}

// orderIsKept: messages of all sizes, shared or not, in rounds of all lengths,
// with Close behind them.
func orderIsKept(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{MaxOutbound: 1 << 30})
	var want []string
	sizes := []int{0, 1, 100, 125, 126, 127, 128, 1000, 5000, 16383, 16384, 20000, 65535, 65536, 100000}
	go func() {
		for round := range 40 {
			s.Loop.Call(func() {
				for i := range 1 + round*5 {
					n := sizes[(round*7+i*3)%len(sizes)]
					p := []byte(repeated(fmt.Sprintf("%d/%d ", round, i), n))
					want = append(want, message(ws.OpBinary, p))
					if (round+i)%4 == 0 {
						o.conn.SendShared(ws.NewShared(ws.OpBinary, p))
					} else {
						o.conn.Send(ws.OpBinary, p)
					}
					clear(p)
				}
			})
		}
		s.Loop.Call(func() { o.conn.Close(1000, "all") })
	}()
	r := bufio.NewReaderSize(c, 1<<16)
	c.SetReadDeadline(time.Now().Add(patience))
	var got []string
	for len(got) == 0 || got[len(got)-1] != closing(1000, "all") {
		what, err := readFrame(r)
		if err != nil {
			t.Fatalf("after %d frames: %v", len(got), err)
		}
		got = append(got, what)
	}
	call(t, s, func() { Compare(t, "client", got, append(want, closing(1000, "all"))) })
}

func largeBothWays(t *testing.T, s *Subject) {
	o, c := dial(t, s, ws.Options{})
	call(t, s, func() {
		o.onMessage = func(op ws.Opcode, p []byte) { o.conn.Send(op, p) }
	})
	payload := []byte(pattern(ws.DefaultMaxMessage))
	sent := make(chan error, 1)
	go func() {
		c.SetWriteDeadline(time.Now().Add(patience))
		_, err := io.Copy(c, bytes.NewReader(frame(fin|byte(ws.OpBinary), payload)))
		sent <- err
	}()
	o.expect(t, message(ws.OpBinary, payload))
	c.want(t, message(ws.OpBinary, payload))
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
