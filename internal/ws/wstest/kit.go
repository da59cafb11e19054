package wstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Subject is a transport to be tested, on a loop that runs.
type Subject struct {
	Loop      *loop.Loop
	Transport interface {
		ws.Transport
		SetPaused(bool)
	}
	// Pair returns both ends of a connection that the transport adopts.
	Pair func(t *testing.T) (client, server net.Conn)
}

// Run holds a transport to the contract. open makes a fresh one, and has it
// closed when the test ends.
func Run(t *testing.T, open func(t *testing.T) *Subject) {
	t.Run("Cases", func(t *testing.T) { runCases(t, open(t)) })
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Subject)
	}{
		{"HeadComesFirst", headComesFirst},
		{"RestIsHeardFirst", restIsHeardFirst},
		{"ServerClosesFirst", serverClosesFirst},
		{"HalfOpenUntilClose", halfOpenUntilClose},
		{"HalfOpenAfterFIN", halfOpenAfterFIN},
		{"PeerLeaves", peerLeaves},
		{"PeerLeavesInsideOfFrame", peerLeavesInsideOfFrame},
		{"PeerLeavesAfterOurClose", peerLeavesAfterOurClose},
		{"DropSendsNoClose", dropSendsNoClose},
		{"DropInsideOfMessage", dropInsideOfMessage},
		{"CloseInsideOfMessage", closeInsideOfMessage},
		{"LongReasonIsCut", longReasonIsCut},
		{"SlowReaderIsClosed", slowReaderIsClosed},
		{"SlowReaderLosesNothing", slowReaderLosesNothing},
		{"DrainedAtOnce", drainedAtOnce},
		{"PauseStopsAtOnce", pauseStopsAtOnce},
		{"PauseKeepsTheEnd", pauseKeepsTheEnd},
		{"ShardPauses", shardPauses},
		{"PingFloodIsBounded", pingFloodIsBounded},
		{"SharedGoesToAll", sharedGoesToAll},
		{"OrderIsKept", orderIsKept},
		{"LargeBothWays", largeBothWays},
		{"ManyComeAndGo", manyComeAndGo},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// runCases plays the table over real connections: each case in one piece, and
// in many. The protocol alone is tested more thoroughly in package ws.
func runCases(t *testing.T, s *Subject) {
	for _, c := range Cases() {
		for _, cut := range []struct {
			name string
			most int
		}{{"whole", len(c.Send)}, {"every byte", 1}, {"random", max(1, len(c.Send)/10)}} {
			if cut.most == 1 && len(c.Send) > 300 {
				continue
			}
			playCase(t, s, c, cut.name, cut.most)
		}
	}
}

func playCase(t *testing.T, s *Subject, c Case, cut string, most int) {
	t.Helper()
	rec := &Recorder{}
	gone := make(chan struct{})
	near, far := s.Pair(t)
	defer near.Close()
	adopt(t, s, far, nil, c.Options, &finishing{rec, gone}, &rec.Conn)
	near.SetDeadline(time.Now().Add(patience))
	wrote := make(chan error, 1)
	go func() {
		r := rand.New(rand.NewPCG(1, uint64(len(c.Send))))
		for p := c.Send; len(p) > 0; {
			n := len(p)
			if cut != "whole" {
				n = min(n, 1+r.IntN(most))
			}
			if _, err := near.Write(p[:n]); err != nil {
				wrote <- err // fine when the server has ended it before the last byte
				return
			}
			p = p[n:]
		}
		wrote <- nil
	}()
	got, err := ReadAll(near)
	near.Close()
	<-wrote
	<-gone
	what := c.String() + ", " + cut
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	Compare(t, what+": owner", rec.Heard, c.Heard)
	Compare(t, what+": client", got, c.Got)
}

// finishing is a Recorder that says when the last was heard.
type finishing struct {
	*Recorder
	gone chan struct{}
}

func (f *finishing) Gone(err error) {
	f.Recorder.Gone(err)
	close(f.gone)
}

// call runs f on the loop.
func call(t *testing.T, s *Subject, f func()) {
	t.Helper()
	if !s.Loop.Call(f) {
		t.Fatal("the loop has stopped")
	}
}

// owner is a Sink that tells a test what it hears. Its hooks run on the loop.
type owner struct {
	conn      ws.Conn
	events    chan string
	onMessage func(op ws.Opcode, payload []byte)
	onGone    func()
}

func newOwner() *owner { return &owner{events: make(chan string, 1<<16)} }

func (o *owner) Message(op ws.Opcode, payload []byte) {
	o.events <- message(op, payload)
	if o.onMessage != nil {
		o.onMessage(op, payload)
	}
}
func (o *owner) CloseFrame(code uint16, reason string) { o.events <- closing(code, reason) }
func (o *owner) Drained()                              { o.events <- "drained" }
func (o *owner) Gone(err error) {
	if o.onGone != nil {
		o.onGone()
	}
	o.events <- gone(err)
	close(o.events) // a second Gone, or anything after it, panics
}

// expect waits for exactly these events.
func (o *owner) expect(t *testing.T, want ...string) {
	t.Helper()
	for i, w := range want {
		select {
		case got, ok := <-o.events:
			if !ok {
				t.Fatalf("owner heard the last, want %s (%d of %d)", w, i+1, len(want))
			}
			if got != w {
				t.Fatalf("owner (%d of %d) heard %s, want %s", i+1, len(want), got, w)
			}
		case <-time.After(patience):
			t.Fatalf("owner waits in vain for %s (%d of %d)", w, i+1, len(want))
		}
	}
}

// silent checks that nothing has been heard up to now: rounds of the loop pass,
// and the bytes that were written before have had their chance in them.
func (o *owner) silent(t *testing.T, s *Subject) {
	t.Helper()
	settleDown(t, s)
	select {
	case got := <-o.events:
		t.Fatalf("owner heard %s, want nothing", got)
	default:
	}
}

// settleDown lets another connection say something and be heard: what was
// written on any connection before has then come to the loop, as far as a
// transport can be asked for it. It must not be called while all are paused.
func settleDown(t *testing.T, s *Subject) {
	t.Helper()
	o, c := dial(t, s, ws.Options{})
	for i := range 3 {
		c.write(t, text(fmt.Sprint(i)))
		o.expect(t, fmt.Sprintf("text %q", fmt.Sprint(i)))
	}
	c.Close()
	o.expect(t, "gone "+ws.ErrNoCloseFrame.Error())
}

// dial connects a client with an owner.
func dial(t *testing.T, s *Subject, o ws.Options) (*owner, client) {
	t.Helper()
	own := newOwner()
	return own, dialSink(t, s, nil, o, own, &own.conn)
}

func dialSink(t *testing.T, s *Subject, rest []byte, o ws.Options, sink ws.Sink, conn *ws.Conn) client {
	t.Helper()
	near, far := s.Pair(t)
	t.Cleanup(func() { near.Close() })
	adopt(t, s, far, rest, o, sink, conn)
	return client{near}
}

func adopt(t *testing.T, s *Subject, c net.Conn, rest []byte, o ws.Options, sink ws.Sink, conn *ws.Conn) {
	t.Helper()
	var err error
	call(t, s, func() { *conn, err = s.Transport.Adopt(c, rest, o, sink) })
	if err != nil {
		t.Fatal(err)
	}
}

func (c client) write(t *testing.T, parts ...[]byte) {
	t.Helper()
	c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.Write(join(parts...)); err != nil {
		t.Fatalf("client writes: %v", err)
	}
}

func (c client) want(t *testing.T, want ...string) {
	t.Helper()
	if err := c.expect(want...); err != nil {
		t.Fatal(err)
	}
}

// finishWriting sends the client's FIN, where the connection has such a thing.
func (c client) finishWriting() bool {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if ok {
		half.CloseWrite()
	}
	return ok
}

const lost = "gone WebSocket disconnected without sending Close frame."

func repeated(s string, n int) string { return strings.Repeat(s, n/len(s)+1)[:n] }
