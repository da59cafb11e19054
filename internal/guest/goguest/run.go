package goguest

import (
	"sync/atomic"

	"github.com/dormouse-dev/dormouse/internal/brief"
)

// The messages of a run are one event that becomes the next message, and the
// instance's lock is taken for the first one and behind the last one only. In
// between one word says which message it is. Whoever has to do with the event, and is
// not its handler's runner, pins it first: a pinned event becomes no other message, so
// its runner takes the lock when the handler has returned, as it does for any event.
//
// Who pins: whoever uses the handler's context; what ends the instance, or changes how
// its next event begins; what was said and shall be handed over.

// turn is which message an event is, and whether it is pinned.
type turn struct{ word atomic.Uint32 }

// turnNumber counts the messages that an event has been. It wraps; the lowest bit is
// not of it.
type turnNumber uint32

const (
	pinnedBit = 1
	nextTurn  = 2
)

// now is the number of the message.
func (t *turn) now() turnNumber { return turnNumber(t.word.Load() &^ pinnedBit) }

// since counts the messages from one to another.
func (n turnNumber) since(from turnNumber) uint32 { return uint32(n-from) / nextTurn }

// next makes the event the next message, unless it is pinned.
func (t *turn) next() bool {
	w := t.word.Load()
	return w&pinnedBit == 0 && t.word.CompareAndSwap(w, w+nextTurn)
}

// pin keeps the event the message that it is.
func (t *turn) pin() { t.word.Or(pinnedBit) }

// pinAt is pin if it is still the message with this number.
func (t *turn) pinAt(n turnNumber) bool {
	w := uint32(n)
	return t.word.CompareAndSwap(w, w|pinnedBit) || t.word.Load() == w|pinnedBit
}

// pinHolderLocked has the event that runs, if one does, end under the lock.
func (i *instance) pinHolderLocked() {
	if i.holder != nil {
		i.holder.turn.pin()
	}
}

// goOn makes e the next message of its run, when its handler has returned. On the
// handler's goroutine.
func (e *event) goOn(r *runner) bool {
	if len(e.rest) == 0 || r.own.Load() || r.tired.Load() || !e.turn.next() {
		return false
	}
	e.text, e.data, e.rest = brief.Split(e.rest)
	return true
}

// countLocked brings progress up to the message that the event which runs has become.
func (i *instance) countLocked() {
	e := i.holder
	if e == nil || !e.message {
		return
	}
	now := e.turn.now()
	n := now.since(e.told)
	e.told = now
	i.turns += n
	i.progress.Started += n
	i.progress.Finished += n
}

// settleLocked ends the run of an event that gives its object up: what has not begun
// goes back to the front of the mail. The event is pinned or its handler has returned.
func (i *instance) settleLocked(e *event) {
	i.countLocked()
	if e.run.N == 0 {
		return
	}
	begun, rest := 1+e.turn.now().since(e.first), e.run.Frames
	if int(begun) == e.run.N {
		rest = nil
	} else {
		for range begun {
			_, _, rest = brief.Split(rest)
		}
	}
	left := brief.Run{Frames: rest, N: e.run.N - int(begun)}
	i.taken += e.run.Size() - left.Size()
	e.run = brief.Run{}
	switch {
	case left.N == 0:
	case i.dead != nil:
		i.taken += left.Size() // nobody waits for what becomes of messages
	default:
		i.mail.pushSaid(said{socket: e.socket, data: left.Frames, run: left.N})
	}
}

// pushSaid puts what a pile has begun with back to the front.
func (m *mail) pushSaid(s said) {
	if first := m.first; first != nil && first.pile != nil && first.pile.at > 0 {
		p := first.pile
		p.at--
		p.said[p.at] = s
		return
	}
	p := piles.Get().(*pile)
	p.node.pile, p.node.next = p, m.first
	p.said = append(p.said, s)
	if m.first = &p.node; m.last == nil {
		m.last = m.first
	}
}
