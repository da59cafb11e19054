// Package nodeguest runs guests as Node processes: it starts one, speaks the
// guest protocol with it, watches it and replaces it when it ends. It knows
// processes and pipes, and never sees an object's state or a socket.
package nodeguest

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

const (
	// readBuffer is what one read from a guest may bring; keepBuffer what an
	// emptied buffer may go on to hold.
	readBuffer = 256 << 10
	keepBuffer = 4 << 20
	// hardBacklog ends a guest that takes nothing while others go on to speak to
	// it. Clients are stopped long before that.
	hardBacklog = 512 << 20
	// lastWords is how long the stream of a process that has ended may stay
	// open: by then it has been read, unless a child of the process has it.
	lastWords = time.Second
)

// Host is what a Process talks to, beyond the contract.
type Host interface {
	guest.Host
	// Taken tells that the guest has taken bytes, or has handled more.
	Taken(guest.Guest)
	// Remains is told right before Gone: the events of sockets that the guest
	// may have begun and never finished, and those that it had not begun.
	Remains(g guest.Guest, begun, unbegun []guest.Event)
	// Culprit is told right before Gone if the guest did not end by a hand from
	// outside: whose turn took long then; 0: nobody's, or that is not known.
	Culprit(g guest.Guest, o guest.Object)
	// Waited tells that an event has begun that had to wait for the object's
	// input gate.
	Waited(g guest.Guest, o guest.Object, d time.Duration)
	// InTrace tells the context of the session that is opened next; Blamed in which
	// event of an object's (of the Worker's: exchange or session) the error happened
	// that is logged next; Caused which exchange or session of the guest's own has
	// brought the error of the failure that comes next.
	InTrace(g guest.Guest, context string)
	Blamed(g guest.Guest, o guest.Object, event uint32)
	Caused(g guest.Guest, session bool, number uint32)
	// Direct tells of events that the guest has brought one of its objects itself
	// and that have ended; CausedDirectly in which one the error happened of the
	// failure that comes next.
	Direct(g guest.Guest, o guest.Object, events uint32, took time.Duration)
	CausedDirectly(g guest.Guest, o guest.Object, event uint32)
}

// stream carries bytes to and from a process. Its methods are called on the
// loop, and so are the functions that it was made with.
type stream interface {
	// write takes what it can of p without blocking.
	write(p []byte) (n int, err error)
	close()
}

// Process is one Node process as the host sees it. It is a guest.Guest.
type Process struct {
	incarnation uint32
	version     string
	loop        *loop.Loop
	host        Host
	stream      stream
	kill        func() // ends the process; any goroutine, any number of times

	// Owned by the loop.
	out    sent
	stuck  bool // the stream takes nothing now and will say when it does
	in     []byte
	ready  bool
	closed bool        // the stream
	exit   error       // how the process ended; nil: it has not
	late   *loop.Timer // since exit, until its last words have been read
	gone   bool
	failed error // the first reason to end it
	limit  int   // of backlog
	memory memory
	stall  stall
	inspection
	outside bool // none of its objects is to blame for the end

	PID    int
	code   *guest.Code   // what it runs
	done   chan error    // why it ended; buffered
	exited chan struct{} // closed when the process is gone
}

// Incarnation is the number of this process.
func (p *Process) Incarnation() uint32 { return p.incarnation }

// Version names the code that this process runs, for people.
func (p *Process) Version() string { return p.version }

// Backlog is the number of bytes that the process has not taken.
func (p *Process) Backlog() int { return p.out.backlog() }

// Told implements guest.Handler.
func (p *Process) Told() uint64 { return p.out.Frames() }

// Handled implements guest.Handler.
func (p *Process) Handled() uint64 { return p.out.handled }

// Break ends a guest that does not keep the contract.
func (p *Process) Break(err error) {
	if p.failed != nil {
		return
	}
	p.failed = err
	p.kill()
	if p.exit != nil {
		p.loop.Post(p.finish)
	}
}

// received takes bytes from the process. On the loop; b is borrowed.
func (p *Process) received(b []byte) {
	if p.failed != nil || p.gone {
		return
	}
	p.memory.worked()
	if len(p.in) > 0 {
		p.in = append(p.in, b...)
		b = p.in
	}
	rest := p.frames(b)
	switch {
	case len(rest) == 0:
		p.in = p.in[:0]
		if cap(p.in) > keepBuffer {
			p.in = nil
		}
	case len(p.in) > 0:
		p.in = p.in[:copy(p.in, rest)]
	default:
		p.in = append(p.in[:0], rest...)
	}
}

// frames says every whole frame of b to the host and returns what is left.
func (p *Process) frames(b []byte) []byte {
	for p.failed == nil {
		t, body, rest, ok, err := guestwire.Next(b)
		if err != nil {
			p.Break(err)
			return nil
		}
		if !ok {
			return b
		}
		b = rest
		switch {
		case !p.ready && t != guestwire.Log: // a module may print while it is loaded
			p.handshake(t, body)
		case t == guestwire.Handled:
			err = p.handled(body)
		case t == guestwire.Lasting || t == guestwire.Over:
			err = p.stands(t, body)
		case t == guestwire.Waited:
			err = p.waited(body)
		case t == guestwire.Inspecting:
			err = p.inspection.answered(body)
		case t == guestwire.Direct:
			err = p.direct(body)
		case t == guestwire.Traced, t == guestwire.Blame, t == guestwire.Cause, t == guestwire.DirectCause:
			err = p.about(t, body)
		default:
			err = guestwire.Dispatch(p, p.host, t, body)
		}
		if err != nil {
			p.Break(err)
		}
	}
	return nil
}

func (p *Process) handshake(t guestwire.Type, body []byte) {
	r, err := guestwire.ReadReady(t, body)
	if err != nil {
		p.Break(err)
		return
	}
	p.ready = true
	p.out.handledUpTo(1) // the hello
	p.host.Ready(p, *r)
}

func (p *Process) handled(body []byte) error {
	n, err := guestwire.ReadHandled(body)
	if err != nil {
		return err
	}
	if err := p.out.handledUpTo(n); err != nil {
		return err
	}
	p.host.Taken(p)
	return nil
}

func (p *Process) waited(body []byte) error {
	o, d, err := guestwire.ReadWaited(body)
	if err == nil {
		p.host.Waited(p, o, d)
	}
	return err
}

func (p *Process) direct(body []byte) error {
	o, n, took, err := guestwire.ReadDirect(body)
	if err == nil {
		p.host.Direct(p, o, n, took)
	}
	return err
}

// flush writes what has gathered. It runs at the end of each round.
func (p *Process) flush() {
	backlog := p.Backlog()
	switch {
	case p.gone || p.closed || p.failed != nil || backlog == 0:
		return
	case backlog > p.limit:
		p.Break(fmt.Errorf("guest has left %d MiB unread", backlog>>20))
		return
	case p.stuck:
		return
	}
	p.memory.worked()
	p.stall.spoken()
	n, err := p.stream.write(p.out.unwritten())
	if err != nil {
		p.stuck = true // for ever: what it has said is still to be read, and then the end
		return
	}
	p.out.wrote(n)
	p.stuck = n < backlog
	if n > 0 {
		p.host.Taken(p)
	}
}

// writable tells that the stream takes bytes again.
func (p *Process) writable() {
	p.stuck = false
	p.flush()
}

// hungUp is the end of the stream. The process is ended if it has not ended by
// itself, and says why in ended.
func (p *Process) hungUp() {
	if p.closed {
		return
	}
	p.closed = true
	p.stream.close()
	p.kill()
	if p.exit != nil {
		p.finish()
	}
}

// ended is the end of the process. What it said last may not have been read yet.
func (p *Process) ended(how error) {
	p.exit = how
	if p.closed || p.stream == nil || p.failed != nil {
		p.finish()
		return
	}
	p.late = loop.NewTimer(p.finish)
	p.loop.Schedule(p.late, p.loop.Now().Add(lastWords))
}

// finish tells the host of the end.
func (p *Process) finish() {
	if p.gone {
		return
	}
	p.gone = true
	err := p.exit
	if p.failed != nil {
		err = p.failed
	}
	if p.memory.snapshot != "" {
		err = fmt.Errorf("%w; heap snapshot: %s", err, p.memory.snapshot)
	}
	if p.stream != nil && !p.closed {
		p.closed = true
		p.stream.close()
	}
	if p.late != nil {
		p.loop.Cancel(p.late)
	}
	p.memory.stop()
	p.stall.stop()
	begun, unbegun := p.out.remains()
	running := p.out.marks.running()
	p.out.marks.close()
	p.in, p.out = nil, sent{}
	p.inspection.over()
	p.host.Remains(p, begun, unbegun)
	if running != 0 || !p.outside {
		p.host.Culprit(p, running)
	}
	p.host.Gone(p, err)
	p.done <- err
}

// The rest is the contract, one frame for each method.

// alive says whether what is said to the process counts: until its end is known,
// also while it is being ended, so that Remains has it.
func (p *Process) alive() bool { return !p.gone }

func (p *Process) Start(a guest.Activation) {
	if p.alive() {
		p.out.Start(&a)
	}
}

func (p *Process) Message(s dormouse.SocketID, text bool, payload []byte) {
	if p.alive() {
		p.out.Message(s, text, payload)
	}
}

func (p *Process) Closed(s dormouse.SocketID, c guest.Closing) {
	if p.alive() {
		p.out.Closed(s, c)
	}
}

func (p *Process) Errored(s dormouse.SocketID, message string) {
	if p.alive() {
		p.out.Errored(s, message)
	}
}

// Trace implements guest.Tracing.
func (p *Process) Trace(context string) {
	if p.alive() {
		p.out.Trace(context)
	}
}

func (p *Process) Request(x guest.Exchange, o guest.Object, r *guest.Request) {
	if p.alive() {
		p.out.Request(x, o, r)
	}
}

func (p *Process) Alarm(x guest.Exchange, o guest.Object, scheduled time.Time, retry int) {
	if p.alive() {
		p.out.Alarm(x, o, scheduled, retry)
	}
}

func (p *Process) Hibernate(o guest.Object, delivered uint32, m guest.Mode) {
	if p.alive() {
		p.out.Hibernate(o, delivered, m)
	}
}

func (p *Process) Reset(o guest.Object, e *dormouse.Error) {
	if p.alive() {
		p.out.ResetObject(o, e)
	}
}

func (p *Process) Durable(o guest.Object, commit uint32) {
	if p.alive() {
		p.out.Durable(o, commit)
	}
}

func (p *Process) Why(query uint32, o guest.Object) {
	if p.alive() {
		p.out.Why(query, o)
	}
}

func (p *Process) Checkpoint(o guest.Object, s guest.CheckpointStep) {
	if p.alive() {
		p.out.Checkpoint(o, s)
	}
}

func (p *Process) CloseDatabase(o guest.Object) {
	if p.alive() {
		p.out.CloseDatabase(o)
	}
}

func (p *Process) Past(o guest.Object, question uint32, ok bool, text string) {
	if p.alive() {
		p.out.Past(o, question, ok, text)
	}
}

func (p *Process) Stamps(stamps []guest.Stamp) {
	if p.alive() {
		p.out.Stamps(stamps)
	}
}

func (p *Process) Buffered(s dormouse.SocketID, bytes int) {
	if p.alive() {
		p.out.Buffered(s, bytes)
	}
}

// Clock sets how far the guest's wall clock is ahead of the machine's: for tests
// of an author's own.
func (p *Process) Clock(ahead time.Duration) {
	if p.alive() {
		p.out.Clock(ahead)
	}
}

func (p *Process) Response(x guest.Exchange, r *guest.Response) {
	if p.alive() {
		p.out.Response(x, r)
	}
}

func (p *Process) Body(x guest.Exchange, b []byte) {
	if p.alive() {
		p.out.Body(x, b)
	}
}

func (p *Process) BodyEnd(x guest.Exchange) {
	if p.alive() {
		p.out.BodyEnd(x)
	}
}

func (p *Process) BodyAbort(x guest.Exchange, reason string) {
	if p.alive() {
		p.out.BodyAbort(x, reason)
	}
}

func (p *Process) Credit(x guest.Exchange, n uint32) {
	if p.alive() {
		p.out.Credit(x, n)
	}
}

func (p *Process) Cancel(x guest.Exchange, reason string) {
	if p.alive() {
		p.out.Cancel(x, reason)
	}
}

func (p *Process) Failure(x guest.Exchange, e *dormouse.Error) {
	if p.alive() {
		p.out.Failure(x, e)
	}
}
