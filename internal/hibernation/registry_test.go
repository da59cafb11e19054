package hibernation

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// The registry and its host are tested together in package host. Here is what
// only this package can see.

// recipient writes down what it hears.
type recipient struct {
	heard   []string
	closed  bool // the gate
	held    []func()
	emptied int
	arrived uint64
	begun   uint64
	behind  int
	waiting []int // as told by Buffered
}

func (r *recipient) hear(format string, args ...any) {
	r.heard = append(r.heard, fmt.Sprintf(format, args...))
}
func (r *recipient) Message(s dormouse.SocketID, _ bool, p []byte) {
	r.arrived++
	r.hear("%d %s", s, p)
}
func (r *recipient) Several() bool                               { return false }
func (r *recipient) Messages(dormouse.SocketID, brief.Run) bool  { return false }
func (r *recipient) Closed(s dormouse.SocketID, c guest.Closing) { r.hear("%d closed %d", s, c.Code) }
func (r *recipient) Errored(s dormouse.SocketID, m string)       { r.hear("%d %s", s, m) }
func (r *recipient) Buffered(s dormouse.SocketID, n int)         { r.waiting = append(r.waiting, n) }
func (r *recipient) Behind() int                                 { return r.behind }
func (r *recipient) Stamped()                                    {}
func (r *recipient) Open() bool                                  { return !r.closed }
func (r *recipient) Hold(_ int, release func())                  { r.held = append(r.held, release) }
func (r *recipient) Emptied()                                    { r.emptied++ }
func (r *recipient) Arrived() uint64                             { return r.arrived }
func (r *recipient) Begun(n uint64) bool                         { return r.begun >= n }

// conn is a connection that writes down what is sent.
type conn struct {
	sink   ws.Sink
	sent   []string
	paused bool
	gone   bool
	waits  int // bytes
	low    int // as NotifyDrained was told last
}

func (c *conn) Send(_ ws.Opcode, p []byte)  { c.sent = append(c.sent, string(p)) }
func (c *conn) SendShared(*ws.Shared)       { c.sent = append(c.sent, "shared") }
func (c *conn) Close(code uint16, _ string) { c.sent = append(c.sent, fmt.Sprint("close ", code)) }
func (c *conn) Drop()                       { c.gone = true }
func (c *conn) Pause()                      { c.paused = true }
func (c *conn) Resume()                     { c.paused = false }
func (c *conn) Buffered() int               { return c.waits }
func (c *conn) NotifyDrained(low int)       { c.low = low }
func (c *conn) RemoteAddr() string          { return "client" }

// transport makes conns.
type transport struct{ made []*conn }

func (t *transport) Adopt(_ net.Conn, _ []byte, _ ws.Options, sink ws.Sink) (ws.Conn, error) {
	c := &conn{sink: sink}
	t.made = append(t.made, c)
	return c, nil
}

// rig is a registry whose loop is not started: this test is the loop.
type rig struct {
	t   testing.TB
	reg *Registry
	tr  transport
	rec recipient
	set *Set
}

func newRig(t testing.TB, autoReply bool) *rig {
	r := &rig{t: t}
	r.reg = New(Config{
		Loop: loop.NewPortable(), Transport: &r.tr, MaxSockets: 1 << 15, AutoReply: autoReply,
		Home: func(uint32) *Registry { return r.reg },
	})
	r.set = r.reg.NewSet(&r.rec, true)
	return r
}

// accept makes the n-th socket, with a client.
func (r *rig) accept(n int) *conn {
	r.t.Helper()
	id := dormouse.SocketID(2 * n)
	if err := r.reg.Accept(r.set, id, []string{fmt.Sprint(n)}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.reg.Attach(id.Peer(), nil, nil, ws.Options{}); err != nil {
		r.t.Fatal(err)
	}
	return r.tr.made[len(r.tr.made)-1]
}

// tags lists the sockets by their tag.
func (r *rig) tags() (list []string) {
	for _, row := range r.set.Table() {
		list = append(list, row.Tags[0])
	}
	return list
}

// leave ends the n-th socket, from both sides.
func (r *rig) leave(n int, c *conn) {
	c.sink.Gone(ws.ErrNoCloseFrame)
	r.set.Ended(dormouse.SocketID(2 * n))
}

// TestTableKeepsItsOrder whoever leaves and comes.
func TestTableKeepsItsOrder(t *testing.T) {
	r := newRig(t, false)
	conns := map[int]*conn{}
	var want []string
	for n := range 40 {
		conns[n] = r.accept(n)
	}
	for n := range 40 {
		if n%3 > 0 {
			r.leave(n, conns[n])
		} else {
			want = append(want, fmt.Sprint(n))
		}
	}
	for n := 40; n < 50; n++ {
		conns[n] = r.accept(n)
		want = append(want, fmt.Sprint(n))
	}
	if got := r.tags(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var info []string
	for _, i := range r.set.Info(3) {
		info = append(info, i.Tags[0]+" at "+i.Remote)
	}
	if wantInfo := []string{"0 at client", "3 at client", "6 at client"}; !slices.Equal(info, wantInfo) {
		t.Errorf("got %v, want %v", info, wantInfo)
	}
	if r.set.Len() != len(want) || len(r.set.sockets) > 2*len(want) {
		t.Errorf("%d sockets in a list of %d, want %d", r.set.Len(), len(r.set.sockets), len(want))
	}
	for n, c := range conns {
		if n%3 == 0 || n >= 40 {
			r.leave(n, c)
		}
	}
	if r.set.Len() != 0 || r.rec.emptied != 1 || len(r.reg.sockets) != 0 {
		t.Errorf("%d sockets, emptied %d times, %d in the registry", r.set.Len(), r.rec.emptied, len(r.reg.sockets))
	}
}

// What does it cost that 32,768 clients of one object leave at once, each?
func BenchmarkAllLeave(b *testing.B) {
	const n = 1 << 15
	r := newRig(b, false)
	var conns []*conn
	for b.Loop() {
		if len(conns) == 0 {
			b.StopTimer()
			for i := range n {
				conns = append(conns, r.accept(i))
			}
			b.StartTimer()
		}
		i := n - len(conns)
		r.leave(i, conns[0])
		conns = conns[1:]
	}
}

// TestHalfOpenSocketsDoNotGather in an object that lives long and answers each.
func TestHalfOpenSocketsDoNotGather(t *testing.T) {
	r := newRig(t, false)
	for n := range 10_000 {
		c := r.accept(n)
		c.sink.CloseFrame(1000, "")
		r.set.Ended(dormouse.SocketID(2 * n))
		r.reg.Close(dormouse.SocketID(2*n), 1000, "")
		c.sink.Gone(nil)
	}
	if n := len(r.set.halfOpen); n > 16 {
		t.Errorf("%d sockets that have ended are remembered", n)
	}
	if n := len(r.reg.sockets); n != 0 {
		t.Errorf("%d sockets are in the registry", n)
	}
}

func TestGravesHaveABound(t *testing.T) {
	var g graves
	for n := range dormouse.SocketID(3 * maxGraves) {
		g.add(n)
		g.add(n)
	}
	if len(g.ids) != maxGraves || len(g.ring) != maxGraves {
		t.Errorf("%d ids in a ring of %d, want %d", len(g.ids), len(g.ring), maxGraves)
	}
	for n := range dormouse.SocketID(3 * maxGraves) {
		if got, want := g.has(n), n >= 2*maxGraves; got != want {
			t.Fatalf("%d: got %v, want %v", n, got, want)
		}
	}
}

// TestCloseCodesAreCountedWithABound: a client chooses the code.
func TestCloseCodesAreCounted(t *testing.T) {
	r := newRig(t, true)
	for n := range 1000 {
		c := r.accept(n)
		c.sink.CloseFrame(uint16(3000+n), "")
	}
	counts := r.reg.Counts()
	total := uint64(0)
	for _, n := range counts.Closes {
		total += n
	}
	if total != 1000 || len(counts.Closes) > 65 {
		t.Errorf("%d closes of %d kinds", total, len(counts.Closes))
	}
}

// TestPausedSets: sockets that come while their object is behind wait as well.
func TestPausedSets(t *testing.T) {
	r := newRig(t, false)
	before := r.accept(1)
	r.set.Pause()
	during := r.accept(2)
	if err := r.reg.Attach(2*3+1, nil, nil, ws.Options{}); err != nil {
		t.Fatal(err)
	}
	taken := r.tr.made[2]
	if !before.paused || !during.paused || !taken.paused {
		t.Errorf("paused %v %v %v", before.paused, during.paused, taken.paused)
	}
	if err := r.reg.Accept(r.set, 2*3, nil); err != nil {
		t.Fatal(err)
	}
	if !taken.paused {
		t.Error("a socket that was taken by a paused set is read")
	}
	r.set.Resume()
	if before.paused || during.paused || taken.paused {
		t.Errorf("paused %v %v %v", before.paused, during.paused, taken.paused)
	}
}

// TestMessagesInLine: a match waits for what the socket said before it, in order,
// and not without a bound.
func TestMessagesInLine(t *testing.T) {
	r := newRig(t, false)
	c := r.accept(1)
	r.set.SetPair(&guest.Pair{Request: "ping", Response: "pong"})
	say := func(texts ...string) {
		for _, text := range texts {
			c.sink.Message(ws.OpText, []byte(text))
		}
	}
	say("one", "ping", "two", "ping")
	if want := []string{"2 one"}; !slices.Equal(r.rec.heard, want) || len(c.sent) != 0 {
		t.Errorf("heard %v, sent %v", r.rec.heard, c.sent)
	}
	r.rec.begun = 1
	r.set.Progress()
	if want := []string{"2 one", "2 two"}; !slices.Equal(r.rec.heard, want) || !slices.Equal(c.sent, []string{"pong"}) {
		t.Errorf("heard %v, sent %v", r.rec.heard, c.sent)
	}
	r.rec.begun = 2
	r.set.Progress()
	if !slices.Equal(c.sent, []string{"pong", "pong"}) || len(r.set.lines) != 0 {
		t.Errorf("sent %v, %d lines", c.sent, len(r.set.lines))
	}
	say("three", "ping")
	for range 2 * maxLine {
		say("more")
	}
	if n := len(r.rec.heard); n < maxLine {
		t.Errorf("%d messages were heard, and the rest waits without a bound", n)
	}
	say("four", "ping", "five")
	c.sink.Gone(ws.ErrNoCloseFrame)
	if last := r.rec.heard[len(r.rec.heard)-2:]; !slices.Equal(last, []string{"2 five", "2 closed 1006"}) {
		t.Errorf("last heard %v", last)
	}
}

// TestDeliverAgain: what a dead guest had not begun counts as the last word of
// its socket.
func TestDeliverAgain(t *testing.T) {
	r := newRig(t, false)
	c := r.accept(1)
	r.set.SetPair(&guest.Pair{Request: "ping", Response: "pong"})
	r.reg.Deliver(guest.Event{Socket: 2, Text: true, Payload: []byte("again")})
	c.sink.Message(ws.OpText, []byte("ping"))
	if len(c.sent) != 0 {
		t.Errorf("%v overtook a message that has not begun", c.sent)
	}
	r.reg.Deliver(guest.Event{Socket: 99, Text: true})
}

// TestRelaysAcrossLoops is for the race detector: two loops, each with one end of
// many pairs, speak, close, drop and release as they like.
func TestRelaysAcrossLoops(t *testing.T) {
	const pairs = 200
	var regs [2]*Registry
	var recs [2]recipient
	var sets [2]*Set
	for i := range regs {
		regs[i] = New(Config{
			Loop: loop.NewPortable(), MaxSockets: pairs, AutoReply: i == 0,
			Home: func(uint32) *Registry { return regs[0] },
		})
		sets[i] = regs[i].NewSet(&recs[i], true)
	}
	for _, r := range regs {
		r.cfg.Loop.Start()
	}
	var wait sync.WaitGroup
	for i, r := range regs {
		wait.Go(func() {
			for n := range pairs {
				id := dormouse.SocketID(2*n + i)
				r.cfg.Loop.Call(func() {
					if n%7 != 6 || i == 0 {
						if err := r.Accept(sets[i], id, nil); err != nil {
							t.Error(err)
						}
					}
					for range 5 {
						r.Send(id, true, []byte("hello"))
					}
				})
				r.cfg.Loop.Call(func() {
					switch (n + i) % 5 {
					case 0:
						r.Close(id, 1000, "")
					case 1, 2:
						r.Release(id)
					}
				})
			}
		})
	}
	wait.Wait()
	// What is still open ends now, and then nothing is left.
	for range 3 {
		for i, r := range regs {
			r.cfg.Loop.Call(func() { sets[i].CloseAll(1012, "") })
		}
	}
	for end := time.Now().Add(10 * time.Second); ; {
		left := 0
		for _, r := range regs {
			r.cfg.Loop.Call(func() {
				for _, s := range r.sockets {
					if s.set != nil || s.conn != nil {
						left++
					}
				}
			})
		}
		if left == 0 || time.Now().After(end) {
			if left > 0 {
				t.Errorf("%d ends are left", left)
			}
			break
		}
	}
	for _, r := range regs {
		r.cfg.Loop.Stop()
	}
}

// texts are a run of them.
func texts(list ...string) (run brief.Run) {
	for _, s := range list {
		run.Add(true, []byte(s))
	}
	return run
}

// TestSendAll is Send for each, also where they wait: behind a closed gate, and
// for somebody who takes the other end.
func TestSendAll(t *testing.T) {
	r := newRig(t, false)
	c := r.accept(1)
	r.reg.Send(2, true, []byte("a"))
	r.reg.SendAll(2, texts("b", "c"))
	r.rec.closed = true
	r.reg.SendAll(2, texts("d", "e"))
	if got, want := strings.Join(c.sent, ""), "abc"; got != want {
		t.Errorf("before the gate opens %q was sent, want %q", got, want)
	}
	r.rec.closed = false
	for _, release := range r.rec.held {
		release()
	}
	r.reg.SendAll(2, texts("f"))
	if got, want := strings.Join(c.sent, ""), "abcdef"; got != want {
		t.Errorf("%q was sent, want %q", got, want)
	}
	if n := r.reg.Counts(); n.Sent != 6 || n.SentBytes != 6 {
		t.Errorf("%d messages of %d bytes were counted, want 6 of 6", n.Sent, n.SentBytes)
	}
	if err := r.reg.Accept(r.set, 4, nil); err != nil {
		t.Fatal(err)
	}
	r.reg.SendAll(4, texts("x", "y"))
	if err := r.reg.Attach(5, nil, nil, ws.Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(r.tr.made[1].sent, ""), "xy"; got != want {
		t.Errorf("whoever came late got %q, want %q", got, want)
	}
	r.reg.SendAll(99, texts("nobody"))
}

// TestSocketsThatShareAPlace among those spoken on lately are told apart, also when
// one of them ends.
func TestSocketsThatShareAPlace(t *testing.T) {
	r := newRig(t, false)
	one, other := r.accept(1), r.accept(1+recents)
	ids := []dormouse.SocketID{2, 2 + 2*recents}
	if place(ids[0]) != place(ids[1]) {
		t.Fatal("they do not share one: this tests nothing")
	}
	for i := range 3 {
		one.sink.Message(ws.OpText, []byte("to one"))
		r.reg.Send(ids[1], true, fmt.Append(nil, "other ", i))
		r.reg.Send(ids[0], true, fmt.Append(nil, "one ", i))
		other.sink.Message(ws.OpText, []byte("to other"))
		r.reg.Send(ids[0], true, []byte("one again"))
	}
	if want := []string{"one 0", "one again", "one 1", "one again", "one 2", "one again"}; !slices.Equal(one.sent, want) {
		t.Errorf("one was sent %q, want %q", one.sent, want)
	}
	if want := []string{"other 0", "other 1", "other 2"}; !slices.Equal(other.sent, want) {
		t.Errorf("the other was sent %q, want %q", other.sent, want)
	}
	r.leave(1, one)
	r.reg.Send(ids[0], true, []byte("too late"))
	r.reg.Send(ids[1], true, []byte("still"))
	if n := len(one.sent); n != 6 {
		t.Errorf("one was sent %q after its end", one.sent[6:])
	}
	if last := other.sent[len(other.sent)-1]; last != "still" {
		t.Errorf("the other was sent %q last", last)
	}
}
