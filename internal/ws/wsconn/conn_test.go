package wsconn

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// fake is a Stream that a test plays the system for. It belongs to the loop.
type fake struct {
	conn Conn

	in       []byte
	inErr    error // after in
	room     int   // bytes that Write takes; negative for any number
	writes   [][]byte
	pieces   []int // of each write, how many segments it had
	writeErr error
	held     int // what Buffered says
	wantErr  error

	read, write   bool // as last wanted
	wants         int  // calls of Want
	shut, closed  bool
	afterTheClose int // calls that came after Close
}

func (f *fake) use() {
	if f.closed {
		f.afterTheClose++
	}
}

func (f *fake) Read(p []byte) (int, error) {
	f.use()
	if len(f.in) == 0 {
		return 0, f.inErr
	}
	n := copy(p, f.in)
	f.in = f.in[n:]
	return n, nil
}

func (f *fake) Write(segments [][]byte) (int, error) {
	f.use()
	if f.writeErr != nil {
		return 0, f.writeErr
	}
	var b []byte
	for _, segment := range segments {
		if f.room >= 0 {
			segment = segment[:min(len(segment), f.room)]
			f.room -= len(segment)
		}
		b = append(b, segment...)
	}
	f.writes = append(f.writes, b)
	f.pieces = append(f.pieces, len(segments))
	return len(b), nil
}

func (f *fake) Want(read, write bool) error {
	f.use()
	f.read, f.write = read, write
	f.wants++
	return f.wantErr
}

func (f *fake) Buffered() int      { return f.held }
func (f *fake) CloseWrite() error  { f.use(); f.shut = true; return nil }
func (f *fake) Close()             { f.use(); f.closed = true }
func (f *fake) RemoteAddr() string { return "fake" }
func (f *fake) written() []byte    { return slices.Concat(f.writes...) }

// sink remembers what it hears.
type sink struct {
	heard   []string
	ends    []error
	drained int
	hook    func()
}

func (s *sink) Message(_ ws.Opcode, p []byte) {
	s.heard = append(s.heard, string(p))
	if s.hook != nil {
		s.hook()
	}
}
func (s *sink) CloseFrame(_ uint16, r string) { s.heard = append(s.heard, "close "+r) }
func (s *sink) Drained()                      { s.drained++ }
func (s *sink) Gone(err error)                { s.ends = append(s.ends, err) }

// stage is a loop in a bubble with one connection on it.
type stage struct {
	loop  *loop.Loop
	shard *Shard
	f     *fake
	sink  *sink
}

// play runs a test on a loop in a synctest bubble.
func play(t *testing.T, o ws.Options, test func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{loop: loop.NewPortable(), f: &fake{room: -1}, sink: &sink{}}
		s.shard = NewShard(s.loop)
		s.loop.Start()
		defer s.loop.Stop()
		s.round(func() {
			if err := s.f.conn.Adopt(s.shard, s.f, nil, o, s.sink); err != nil {
				t.Error(err)
			}
		})
		test(t, s)
		if s.f.afterTheClose != 0 {
			t.Errorf("%d calls of the stream after Close", s.f.afterTheClose)
		}
		if len(s.sink.ends) > 1 {
			t.Errorf("Gone was called %d times", len(s.sink.ends))
		}
	})
}

// round runs f on the loop and waits until the loop has nothing more to do.
func (s *stage) round(f func()) {
	s.loop.Call(f)
	synctest.Wait()
}

// pass lets time pass. The empty round orders what the test has looked at before
// what the loop does then.
func (s *stage) pass(d time.Duration) {
	s.round(func() {})
	time.Sleep(d)
	synctest.Wait()
}

func frame(op ws.Opcode, payload string) []byte {
	b := ws.AppendFrame(nil, op, []byte(payload))
	b[1] |= 0x80
	return slices.Insert(b, 2, 0, 0, 0, 0) // masked with zeros; short payloads only
}

// receive plays input that is there at once.
func (s *stage) receive(in ...[]byte) {
	s.round(func() {
		s.f.in = append(s.f.in, slices.Concat(in...)...)
		s.f.conn.Ready(true, false)
	})
}

func TestOneWriteForARound(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		large := bytes.Repeat([]byte("x"), 5000)
		shared := ws.NewShared(ws.OpText, large)
		s.round(func() {
			for range 10 {
				s.f.conn.Send(ws.OpText, []byte("small"))
			}
			s.f.conn.SendShared(shared)
			s.f.conn.Send(ws.OpText, []byte("after"))
			s.f.conn.Close(1000, "")
			if len(s.f.writes) != 0 {
				t.Error("something was written before the end of the round")
			}
		})
		if len(s.f.writes) != 1 || s.f.pieces[0] != 3 {
			t.Errorf("%d writes, of %v pieces; want 1 of 3: the small ones together, the shared one, the rest", len(s.f.writes), s.f.pieces)
		}
		want := slices.Concat(bytes.Repeat(ws.AppendFrame(nil, ws.OpText, []byte("small")), 10),
			ws.AppendFrame(nil, ws.OpText, large), ws.AppendFrame(nil, ws.OpText, []byte("after")), ws.AppendClose(nil, 1000, ""))
		if !bytes.Equal(s.f.written(), want) {
			t.Error("what was written is not what was sent")
		}
	})
}

func TestAnswersToOneSegmentLeaveTogether(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.sink.hook = func() { s.f.conn.Send(ws.OpText, []byte("echo")) }
		s.receive(frame(ws.OpText, "a"), frame(ws.OpPing, "p"), frame(ws.OpText, "b"))
		want := slices.Concat(ws.AppendFrame(nil, ws.OpText, []byte("echo")),
			ws.AppendFrame(nil, ws.OpPong, []byte("p")), ws.AppendFrame(nil, ws.OpText, []byte("echo")))
		if len(s.f.writes) != 1 || !bytes.Equal(s.f.writes[0], want) {
			t.Errorf("got writes %q, want one: %q", s.f.writes, want)
		}
	})
}

func TestSharedBytesAreNotCopied(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		shared := ws.NewShared(ws.OpBinary, make([]byte, 1<<20))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s.round(func() {
			s.f.room = 0 // nobody reads: all of it has to wait
			for range 10 {
				s.f.conn.SendShared(shared)
			}
		})
		runtime.ReadMemStats(&after)
		if n := s.f.conn.Buffered(); n < 10<<20 {
			t.Fatalf("%d bytes wait, want ten messages", n)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<19 {
			t.Errorf("queueing a message of 1 MiB ten times took %d bytes of memory", n)
		}
	})
}

// TestRoundWithVeryMuch: a round that sends more than its share is sent in parts,
// so that its memory is bounded by what the peers do not take.
func TestRoundWithVeryMuch(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		const conns, messages = 4000, 60
		message := bytes.Repeat([]byte("x"), 110) // small enough to be copied
		all := make([]*fake, conns)
		s.round(func() {
			for i := range all {
				all[i] = &fake{room: -1}
				if err := all[i].conn.Adopt(s.shard, all[i], nil, ws.Options{}, &sink{}); err != nil {
					t.Error(err)
				}
			}
		})
		sent := 0
		s.round(func() {
			for range messages {
				m := ws.NewShared(ws.OpText, message)
				for _, f := range all {
					f.conn.SendShared(m)
				}
			}
			for _, f := range all {
				sent += len(f.written())
			}
		})
		total := conns * messages * len(ws.AppendFrame(nil, ws.OpText, message))
		if waited := total - sent; waited > 18<<20 {
			t.Errorf("%d of %d bytes waited for the end of the round", waited, total)
		}
		want := bytes.Repeat(ws.AppendFrame(nil, ws.OpText, message), messages)
		for i, f := range all {
			if !bytes.Equal(f.written(), want) {
				t.Errorf("connection %d did not get exactly what was sent", i)
			}
		}
	})
}

func TestAtRestNothingIsHeld(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.sink.hook = func() { s.f.conn.Send(ws.OpText, []byte("echo")) }
		half := frame(ws.OpText, "abc")
		s.receive(half[:5])
		if !s.f.conn.end.Partial() {
			t.Error("half a frame is held nowhere")
		}
		s.receive(half[5:])
		if s.f.conn.end.Partial() || s.f.conn.end.Buffered() != 0 {
			t.Error("a connection at rest holds a decoder or an outbox")
		}
	})
}

func TestStuckStreamIsWrittenWhenItCan(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		var want []byte
		s.round(func() {
			s.f.room = 7
			for i := range 100 {
				p := bytes.Repeat([]byte{byte(i)}, i*10)
				s.f.conn.Send(ws.OpBinary, p)
				want = ws.AppendFrame(want, ws.OpBinary, p)
			}
		})
		if !s.f.write || s.f.conn.Buffered() != len(want)-7 {
			t.Fatalf("want-write is %t and %d bytes wait, want true and %d", s.f.write, s.f.conn.Buffered(), len(want)-7)
		}
		for step := 1; s.f.write; step++ {
			s.round(func() {
				s.f.room = step * 13
				s.f.conn.Ready(false, true)
				if step%5 == 0 { // more comes meanwhile
					s.f.conn.Send(ws.OpText, []byte("more"))
					want = ws.AppendFrame(want, ws.OpText, []byte("more"))
				}
			})
		}
		if !bytes.Equal(s.f.written(), want) {
			t.Error("what was written is not what was sent")
		}
		if n := s.f.conn.Buffered(); n != 0 {
			t.Errorf("%d bytes wait, want 0", n)
		}
	})
}

func TestWriteFailsAndTheRestIsStillHeard(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.round(func() {
			s.f.writeErr = errors.New("broken pipe")
			s.f.conn.Send(ws.OpText, []byte("x"))
		})
		if len(s.sink.ends) != 0 || !s.f.read || s.f.write {
			t.Fatal("after a failed write the connection does not read on")
		}
		s.f.inErr = errors.New("connection reset")
		s.receive(frame(ws.OpText, "last words"))
		s.receive()
		if !slices.Equal(s.sink.heard, []string{"last words"}) || len(s.sink.ends) != 1 || s.sink.ends[0] != ws.ErrNoCloseFrame {
			t.Errorf("heard %q and then %v", s.sink.heard, s.sink.ends)
		}
		if !s.f.closed {
			t.Error("the stream is not closed")
		}
	})
}

func TestWriteOfOurCloseFails(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.receive(frame(ws.OpClose, "\x03\xe8"))
		s.round(func() {
			s.f.writeErr = errors.New("broken pipe")
			s.f.conn.Close(1000, "")
		})
		if !slices.Equal(s.sink.ends, []error{nil}) || !s.f.closed {
			t.Errorf("got ends %v and closed %t, want one clean end", s.sink.ends, s.f.closed)
		}
	})
}

func TestWatchingFails(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.f.wantErr = errors.New("no memory")
		s.round(func() { s.f.conn.Pause() })
		if !slices.Equal(s.sink.ends, []error{ws.ErrNoCloseFrame}) || !s.f.closed {
			t.Errorf("got ends %v and closed %t", s.sink.ends, s.f.closed)
		}
		other := &fake{wantErr: errors.New("no memory")}
		s.round(func() {
			if err := other.conn.Adopt(s.shard, other, nil, ws.Options{}, &sink{}); err != other.wantErr {
				t.Errorf("Adopt: got %v, want %v", err, other.wantErr)
			}
		})
	})
}

// closeBoth ends the conversation cleanly, with room for only so much.
func (s *stage) closeBoth(room int) {
	s.round(func() {
		s.f.room = room
		s.f.conn.Send(ws.OpText, []byte("some words"))
		s.f.conn.Close(1000, "")
	})
	s.receive(frame(ws.OpClose, "\x03\xe8"))
}

func TestLingerIsBounded(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.closeBoth(-1)
		if !s.f.shut || s.f.closed || !s.f.read {
			t.Fatalf("after both Closes: FIN %t, closed %t, reads %t; want a FIN, and reading on", s.f.shut, s.f.closed, s.f.read)
		}
		if !slices.Equal(s.sink.ends, []error{nil}) {
			t.Fatalf("got ends %v, want a clean one at once", s.sink.ends)
		}
		s.receive([]byte("the peer talks on"))
		s.pass(ws.LingerWait - time.Millisecond)
		if s.f.closed {
			t.Error("closed before its time")
		}
		s.pass(time.Millisecond)
		if !s.f.closed {
			t.Error("lingers for ever")
		}
	})
}

func TestLingerEndsWithThePeer(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.closeBoth(-1)
		s.f.inErr = io.EOF
		s.receive()
		if !s.f.closed {
			t.Error("lingers although the peer has left")
		}
	})
}

func TestFlushIsBounded(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.closeBoth(3)
		if s.f.shut || len(s.sink.ends) != 0 || !s.f.write || s.f.read {
			t.Fatal("the end came before everything had left")
		}
		s.pass(ws.FlushWait)
		if !s.f.shut || !slices.Equal(s.sink.ends, []error{nil}) {
			t.Errorf("after FlushWait: FIN %t, ends %v", s.f.shut, s.sink.ends)
		}
		s.pass(ws.LingerWait)
		if !s.f.closed {
			t.Error("lingers for ever")
		}
	})
}

func TestFlushThenLinger(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.closeBoth(3)
		s.pass(ws.FlushWait / 2)
		s.round(func() {
			s.f.room = -1
			s.f.conn.Ready(false, true)
		})
		if !s.f.shut || !slices.Equal(s.sink.ends, []error{nil}) {
			t.Errorf("after it could be written: FIN %t, ends %v", s.f.shut, s.sink.ends)
		}
	})
}

func TestEndWaitsForWhatTheStreamHolds(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.f.held = 100
		s.closeBoth(-1)
		if s.f.shut || len(s.sink.ends) != 0 {
			t.Fatal("the end came before everything had left")
		}
		s.round(func() {
			s.f.held = 0
			s.f.conn.Ready(false, true)
		})
		if !s.f.shut || len(s.sink.ends) != 1 {
			t.Error("the end did not come when everything had left")
		}
	})
}

func TestSlowReaderIsGivenUp(t *testing.T) {
	play(t, ws.Options{MaxOutbound: 1000}, func(t *testing.T, s *stage) {
		first := ws.AppendFrame(nil, ws.OpBinary, make([]byte, 600))
		s.round(func() {
			s.f.room = 10 // inside of the first frame
			for range 2 {
				s.f.conn.Send(ws.OpBinary, make([]byte, 600))
			}
		})
		s.round(func() { s.f.conn.Send(ws.OpBinary, make([]byte, 600)) })
		s.round(func() {
			s.f.room = -1
			s.f.conn.Ready(false, true)
		})
		// The frame that had begun, whole, and then only the Close.
		want := append(first, ws.AppendClose(nil, ws.CloseTryAgainLater, "")...)
		if !bytes.Equal(s.f.written(), want) {
			t.Errorf("%d bytes were written, want the first frame and a Close: %d", len(s.f.written()), len(want))
		}
		if !slices.Equal(s.sink.ends, []error{ws.ErrSlow}) {
			t.Errorf("got ends %v, want ErrSlow", s.sink.ends)
		}
	})
}

func TestSlowReaderHasLittleTime(t *testing.T) {
	play(t, ws.Options{MaxOutbound: 1000}, func(t *testing.T, s *stage) {
		s.round(func() {
			s.f.room = 10
			s.f.conn.Send(ws.OpBinary, make([]byte, 2000))
		})
		s.round(func() { s.f.conn.Send(ws.OpBinary, make([]byte, 600)) })
		if n := s.f.conn.Buffered(); n > 2010 || len(s.sink.ends) != 0 {
			t.Errorf("%d bytes wait and the ends are %v", n, s.sink.ends)
		}
		s.pass(ws.LingerWait)
		if !slices.Equal(s.sink.ends, []error{ws.ErrSlow}) {
			t.Errorf("got ends %v, want ErrSlow", s.sink.ends)
		}
	})
}

func TestDropWhileFlushing(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.closeBoth(3)
		s.round(func() { s.f.conn.Drop() })
		if !s.f.shut || !slices.Equal(s.sink.ends, []error{nil}) {
			t.Errorf("FIN %t, ends %v; want both at once, and the end that had come before", s.f.shut, s.sink.ends)
		}
	})
}

func TestTooManyLinger(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		var all []*fake
		s.round(func() {
			for range maxLingering + 10 {
				f := &fake{room: -1}
				if err := f.conn.Adopt(s.shard, f, nil, ws.Options{}, &sink{}); err != nil {
					t.Error(err)
				}
				f.conn.Drop()
				all = append(all, f)
			}
		})
		open := 0
		for _, f := range all {
			if !f.closed {
				open++
			}
		}
		if open != maxLingering {
			t.Errorf("%d linger, want %d", open, maxLingering)
		}
		s.round(s.shard.Close)
		for _, f := range all {
			if !f.closed {
				t.Fatal("Shard.Close leaves one open")
			}
		}
	})
}

// TestPausedShardDisarms: what is readable while the shard is paused is told
// once, and then not watched until the shard resumes.
func TestPausedShardDisarms(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.round(func() { s.shard.SetPaused(true) })
		if !s.f.read {
			t.Error("a connection with nothing to say was disarmed")
		}
		s.receive(frame(ws.OpText, "a"))
		if s.f.read || len(s.sink.heard) != 0 {
			t.Errorf("watched for reading: %t, heard %q; want neither", s.f.read, s.sink.heard)
		}
		wants := s.f.wants
		s.round(func() { s.f.conn.Send(ws.OpText, []byte("x")) })
		if s.f.read || s.f.wants != wants {
			t.Error("sending armed it again")
		}
		s.round(func() { s.shard.SetPaused(false) })
		if !s.f.read {
			t.Error("not armed after the pause")
		}
		s.receive()
		if !slices.Equal(s.sink.heard, []string{"a"}) {
			t.Errorf("heard %q, want a", s.sink.heard)
		}
	})
}

// TestResumedConnOfPausedShardWaits: both pauses must be over.
func TestResumedConnOfPausedShardWaits(t *testing.T) {
	play(t, ws.Options{}, func(t *testing.T, s *stage) {
		s.sink.hook = func() {
			s.f.conn.Pause()
			s.shard.SetPaused(true)
		}
		s.receive(frame(ws.OpText, "a"), frame(ws.OpText, "b"))
		s.round(func() { s.f.conn.Resume() })
		if len(s.sink.heard) != 1 {
			t.Fatalf("heard %q during the shard's pause", s.sink.heard)
		}
		s.round(func() { s.shard.SetPaused(false) })
		if !slices.Equal(s.sink.heard, []string{"a", "b"}) {
			t.Errorf("heard %q, want both", s.sink.heard)
		}
		// The hook has paused both again; the other order.
		s.round(func() { s.shard.SetPaused(false) })
		s.receive(frame(ws.OpText, "c"))
		s.round(func() { s.f.conn.Resume() })
		s.receive()
		if !slices.Equal(s.sink.heard, []string{"a", "b", "c"}) {
			t.Errorf("heard %q, want all three", s.sink.heard)
		}
	})
}
