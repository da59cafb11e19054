package goguest

import (
	"context"
	"sync"
	"time"

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
func (i *instance) nextLocked(r *runner) *event {
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
	e.left += len(p.said) - p.at
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
		e.text, e.data, e.rest, e.left = m.text, m.data, nil, 0
		e.i.taken += len(e.data)
		return
	}
	if e.i.timeout > 0 { // each has its own time
		e.text, e.data, m.data = brief.Split(m.data)
		e.rest, e.left = nil, 0
		e.i.taken += len(e.data)
		if m.run--; m.run == 0 {
			p.at++
		}
		return
	}
	p.at++
	e.run, e.left = brief.Run{Frames: m.data, N: m.run}, m.run-1
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

// slabContexts is how many contexts are made at once. Whoever keeps one keeps all
// of them.
const slabContexts = 32

// context is that of a message's event.
func (r *runner) context(e *event) *messageContext {
	if len(r.contexts) == 0 {
		r.contexts = make([]messageContext, min(e.left+1, slabContexts))
	}
	c := &r.contexts[0]
	r.contexts = r.contexts[1:]
	*c = messageContext{e, e.turn.now()}
	return c
}

// messageContext is the context of a handler of a message. Most handlers never
// look at it; the event of one who does is not used again.
type messageContext struct {
	e    *event
	turn turnNumber
}

var _ context.Context = (*messageContext)(nil)

// ended is the context of a handler that has returned without having asked for one.
var ended = func() context.Context {
	c, cancel := context.WithCancelCause(context.Background())
	cancel(errEnded)
	return c
}()

// eventLocked returns the event, nil when it is over.
func (c *messageContext) eventLocked() *event {
	if !c.e.turn.pinAt(c.turn) {
		return nil
	}
	return c.e
}

func (c *messageContext) event() *event {
	c.e.i.mu.Lock()
	defer c.e.i.mu.Unlock()
	return c.eventLocked()
}

// Deadline implements context.Context.
func (c *messageContext) Deadline() (time.Time, bool) {
	c.e.i.mu.Lock()
	defer c.e.i.mu.Unlock()
	if e := c.eventLocked(); e != nil {
		return e.deadlineLocked()
	}
	return time.Time{}, false
}

// Done implements context.Context.
func (c *messageContext) Done() <-chan struct{} { return c.context().Done() }

// Err implements context.Context.
func (c *messageContext) Err() error {
	c.e.i.mu.Lock()
	defer c.e.i.mu.Unlock()
	if e := c.eventLocked(); e != nil {
		return e.errLocked()
	}
	return context.Canceled
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
	c.e.i.mu.Lock()
	defer c.e.i.mu.Unlock()
	if e := c.eventLocked(); e != nil {
		return e.contextLocked()
	}
	return ended
}
