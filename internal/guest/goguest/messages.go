package goguest

import (
	"context"
	"sync"
	"time"
	"unsafe"

	"github.com/dormouse-dev/dormouse/internal/brief"
)

// Messages are most of what happens, and most handlers of messages are short. So
// messages that come one after another are one entry of the mail, a pile, and the
// events that they become use the same memory again. What a handler may keep beyond
// its end, the context, is its own.

// said is a message of a socket, or a run of them.
type said struct {
	socket *socket
	data   []byte // owned: the payload, or the frames of a run
	run    int    // messages that are left of a run; 0: it is none
	text   bool
}

// pile is an entry of an instance's mail: messages, oldest first.
type pile struct {
	node event // in the mail
	said []said
	at   int // of the first that is left
}

// maxPile is how long a pile is.
const maxPile = 256

var piles = sync.Pool{New: func() any { return new(pile) }}

// pile is where the next message goes. On the loop.
func (i *instance) pile() *pile {
	last := i.incoming.last
	if last == nil || last.pile == nil || len(last.pile.said) == maxPile {
		p := piles.Get().(*pile)
		p.node.pile = p
		last = &p.node
		i.deliver(last)
	}
	return last.pile
}

// nextLocked is the next event for the runner to handle.
func (i *instance) nextLocked() *event {
	first := i.mail.first
	if first == nil || first.pile == nil {
		return i.mail.pop()
	}
	p := first.pile
	e := i.used
	if e == nil {
		e = &event{i: i, work: onMessage{}, message: true}
	}
	i.used = nil
	e.take(p)
	if p.at == len(p.said) {
		i.mail.pop()
		p.free()
	}
	return e
}

// take makes an event of the first message that is left, and of its run.
func (e *event) take(p *pile) {
	m := &p.said[p.at]
	e.phase, e.socket = waiting, m.socket
	if m.run == 0 {
		p.at++
		e.text, e.data, e.rest = m.text, m.data, nil
		e.i.taken += len(e.data)
		return
	}
	if e.i.timeout > 0 { // each has its own time
		e.text, e.data, m.data = brief.Split(m.data)
		e.rest = nil
		e.i.taken += len(e.data)
		if m.run--; m.run == 0 {
			p.at++
		}
		return
	}
	p.at++
	e.run = brief.Run{Frames: m.data, N: m.run}
	e.text, e.data, e.rest = brief.Split(m.data)
}

func (p *pile) free() {
	clear(p.said)
	*p = pile{said: p.said[:0]}
	piles.Put(p)
}

// bytes is how many are left.
func (p *pile) bytes() (n int) {
	for _, m := range p.said[p.at:] {
		n += len(m.data) - m.run*brief.Header
	}
	return n
}

// contexts are those of messages that an event is one after another. A context is the
// address of its place in at, so that it costs the handler's garbage one byte and not
// two words. Whoever keeps one keeps all of them.
type contexts struct {
	e     *event
	first turnNumber // of at[0]
	at    [52]messageContext
}

// messageContext is the context of a handler of a message: its place in contexts, and
// what it holds is which place that is. Most handlers never look at it; the event of
// one who does is not used again.
type messageContext uint8

var _ context.Context = (*messageContext)(nil)

// places are the places in order.
var places = func() (at [len(contexts{}.at)]messageContext) {
	for n := range at {
		at[n] = messageContext(n)
	}
	return at
}()

// messageContext is that of the message that the event is. On the handler's goroutine.
func (e *event) messageContext() *messageContext {
	now := e.turn.now()
	if e.contexts == nil || now.since(e.contexts.first) >= uint32(len(places)) {
		e.contexts = &contexts{e: e, first: now, at: places}
	}
	return &e.contexts.at[now.since(e.contexts.first)]
}

// of returns what the context is one of, and whose it is.
func (c *messageContext) of() (e *event, n turnNumber) {
	all := (*contexts)(unsafe.Add(unsafe.Pointer(c), -int(unsafe.Offsetof(contexts{}.at))-int(*c)))
	return all.e, all.first + nextTurn*turnNumber(*c)
}

// ended is the context of a handler that has returned without having asked for one.
var ended = func() context.Context {
	c, cancel := context.WithCancelCause(context.Background())
	cancel(errEnded)
	return c
}()

// lock returns the event under its instance's lock, or nil and no lock when it is over.
func (c *messageContext) lock() *event {
	e, n := c.of()
	e.i.mu.Lock()
	if !e.turn.pinAt(n) {
		e.i.mu.Unlock()
		return nil
	}
	return e
}

func (c *messageContext) event() *event {
	e := c.lock()
	if e != nil {
		e.i.mu.Unlock()
	}
	return e
}

// Deadline implements context.Context.
func (c *messageContext) Deadline() (time.Time, bool) {
	e := c.lock()
	if e == nil {
		return time.Time{}, false
	}
	defer e.i.mu.Unlock()
	return e.deadlineLocked()
}

// Done implements context.Context.
func (c *messageContext) Done() <-chan struct{} { return c.context().Done() }

// Err implements context.Context.
func (c *messageContext) Err() error {
	e := c.lock()
	if e == nil {
		return context.Canceled
	}
	defer e.i.mu.Unlock()
	return e.errLocked()
}

// Value implements context.Context.
func (c *messageContext) Value(key any) any {
	if key == (eventKey{}) {
		if e := c.event(); e != nil {
			return e
		}
		return nil
	}
	return c.context().Value(key)
}

func (c *messageContext) context() context.Context {
	e := c.lock()
	if e == nil {
		return ended
	}
	defer e.i.mu.Unlock()
	return e.contextLocked()
}
