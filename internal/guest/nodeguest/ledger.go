package nodeguest

import (
	"maps"
	"slices"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
)

// maxLasting is of how many events of an activation that have begun and last it is
// known which they are. Of more of them only the number is.
const maxLasting = 1024

// ledger is the account of one activation. What the process has been sent and has
// not handled is in its buffer; here is what the process holds: events that wait
// for their turn, and events whose handlers go on.
//
// Invariant: waiting is in the order of the events, and those that have begun are
// not in it, as far as the process has told.
type ledger struct {
	out     *sent
	object  guest.Object
	begun   uint32           // events, as far as the process has told
	waiting []numbered       // whole
	lasting map[uint32]entry // by the number of the event
	closed  bool
}

// numbered is an event with its number.
type numbered struct {
	event uint32
	guest.Event
}

// entry is an event that lasts. Its payload is not kept: it is not said again.
type entry struct {
	guest.Event
	known bool // false: the process has not said that it has handled its frame
}

// Ledger opens the account of an activation.
func (p *Process) Ledger(o guest.Object) guest.Ledger {
	l := &ledger{out: &p.out, object: o}
	if p.out.ledgers == nil {
		p.out.ledgers = make(map[guest.Object]*ledger)
	}
	p.out.ledgers[o] = l
	return l
}

// Next notes the frame that comes next.
func (l *ledger) Next(event, message uint32) {
	if !l.closed {
		l.out.note(sentEvent{l.out.Frames() + 1, l, event, message})
	}
}

// Begun forgets what waits no longer.
func (l *ledger) Begun(event uint32) {
	l.begun = event
	n := 0
	for n < len(l.waiting) && int32(event-l.waiting[n].event) >= 0 {
		n++
	}
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
}

// lasts tells that an event has begun and has not finished. What it is says its
// frame, when that has been handled, unless the event has waited since.
func (l *ledger) lasts(event uint32) {
	if l.lasting == nil {
		l.lasting = make(map[uint32]entry)
	}
	if len(l.lasting) >= maxLasting {
		return
	}
	l.lasting[event] = entry{}
	for i := range l.waiting {
		if l.waiting[i].event == event {
			l.lasting[event] = entryOf(l.waiting[i].Event)
			return
		}
	}
}

// over pairs with lasts.
func (l *ledger) over(event uint32) {
	if delete(l.lasting, event); len(l.lasting) == 0 {
		l.lasting = nil
	}
}

// stands takes the process's word that an event lasts, or is over.
func (p *Process) stands(t guestwire.Type, body []byte) error {
	o, event, err := guestwire.ReadEventOf(t, body)
	if err != nil {
		return err
	}
	switch l := p.out.ledgers[o]; {
	case l == nil: // it has been closed, and this has crossed
	case t == guestwire.Lasting:
		l.lasts(event)
	default:
		l.over(event)
	}
	return nil
}

// taken keeps of an event that the process has handled what may be needed of it.
func (s *sentEvent) taken(t guestwire.Type, body []byte) {
	l := s.ledger
	if l.closed {
		return
	}
	waits := int32(s.event-l.begun) > 0
	_, lasts := l.lasting[s.event]
	if !waits && !lasts {
		return
	}
	e, ok := s.read(t, body)
	switch {
	case !ok:
	case waits:
		l.waiting = append(l.waiting, numbered{s.event, e})
	default:
		l.lasting[s.event] = entryOf(e)
	}
}

// read reads an event back from its frame.
func (s *sentEvent) read(t guestwire.Type, body []byte) (guest.Event, bool) {
	e, ok := guestwire.ReadEvent(t, body)
	e.Number = s.message
	return e, ok
}

func entryOf(e guest.Event) entry {
	e.Size, e.Payload = len(e.Payload), nil
	return entry{e, true}
}

// Close returns what waits in the process, and behind it what the process has not
// handled and will not find a taker for.
func (l *ledger) Close() (unbegun []guest.Event) {
	if l.closed {
		return nil
	}
	delete(l.out.ledgers, l.object)
	for _, w := range l.waiting {
		unbegun = append(unbegun, w.Event)
	}
	l.out.each(func(_ uint64, s *sentEvent, e guest.Event) {
		if s.ledger == l && int32(s.event-l.begun) > 0 {
			unbegun = append(unbegun, e)
		}
	})
	l.closed, l.waiting, l.lasting = true, nil, nil
	return unbegun
}

// remains says, after the process has died, which of the events that it held it had
// begun, as far as it has marked, and which it had not.
func (l *ledger) remains(marked func(event uint32) bool) (begun, unbegun []guest.Event) {
	for _, n := range slices.Sorted(maps.Keys(l.lasting)) {
		if e := l.lasting[n]; e.known {
			begun = append(begun, e.Event)
		}
	}
	for _, w := range l.waiting {
		switch {
		case l.lasting[w.event].known:
		case marked(w.event):
			begun = append(begun, w.Event)
		default:
			unbegun = append(unbegun, w.Event)
		}
	}
	return begun, unbegun
}
