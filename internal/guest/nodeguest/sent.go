package nodeguest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
)

// sent is what goes to a process, kept until the process says that it has
// handled it: if the process dies, what it had not begun can be given to
// another one. Frames are numbered from 1, the hello.
//
// Invariant: first <= off <= len(Bytes()); the frame at first has the number
// handled+1, or first == len(Bytes()).
type sent struct {
	guestwire.Writer
	first   int // the first frame that has not been handled
	off     int // the first byte that has not been written
	handled uint64
	marks   marks

	// Events of sockets among the frames; those from next on have not been handled.
	events  []sentEvent
	next    int
	ledgers map[guest.Object]*ledger // of activations that have not ended
}

// sentEvent is an event of a socket among the frames.
type sentEvent struct {
	frame          uint64
	ledger         *ledger
	event, message uint32
}

// outstanding says whether there is anything to handle.
func (s *sent) outstanding() bool { return s.first < len(s.Bytes()) }

// backlog is what has not been written.
func (s *sent) backlog() int { return len(s.Bytes()) - s.off }

// unwritten is what backlog counts.
func (s *sent) unwritten() []byte { return s.Bytes()[s.off:] }

// wrote tells that n bytes have been written.
func (s *sent) wrote(n int) {
	s.off += n
	s.compact()
}

// handledUpTo takes the process's word that it has handled n frames.
func (s *sent) handledUpTo(n uint64) error {
	for s.handled < n {
		t, body, rest, ok, err := guestwire.Next(s.Bytes()[s.first:s.off])
		if err != nil || !ok {
			return fmt.Errorf("guest says it has handled %d frames; it has got %d", n, s.handled)
		}
		s.first = s.off - len(rest)
		s.handled++
		if s.next < len(s.events) && s.events[s.next].frame == s.handled {
			s.events[s.next].taken(t, body)
			s.events[s.next].ledger = nil
			s.next++
		}
	}
	s.compact()
	return nil
}

// compact forgets what has been handled when that is all, or much.
func (s *sent) compact() {
	switch {
	case s.first == len(s.Bytes()):
		s.Reset(keepBuffer)
	case s.first > keepBuffer/4 && s.first > len(s.Bytes())/2:
		s.Consume(s.first)
	default:
		return
	}
	s.off -= s.first
	s.first = 0
}

// keepEvents is how many notes an emptied list may go on to hold.
const keepEvents = 4096

// note remembers an event whose frame comes next.
func (s *sent) note(e sentEvent) {
	switch {
	case s.next < len(s.events):
		if s.next > keepEvents/4 && s.next > len(s.events)/2 {
			s.events = s.events[:copy(s.events, s.events[s.next:])]
			s.next = 0
		}
	case cap(s.events) > keepEvents:
		s.events, s.next = nil, 0
	default:
		s.events, s.next = s.events[:0], 0
	}
	s.events = append(s.events, e)
}

// each calls f for the events among the frames that have not been handled, with
// the number of the frame. The payload is owned.
func (s *sent) each(f func(frame uint64, n *sentEvent, e guest.Event)) {
	n := s.handled
	events := s.events[s.next:]
	for b := s.Bytes()[s.first:]; len(events) > 0; {
		t, body, rest, ok, err := guestwire.Next(b)
		if err != nil || !ok {
			return
		}
		b = rest
		if n++; events[0].frame != n {
			continue
		}
		if !events[0].ledger.closed {
			if e, ok := events[0].read(t, body); ok {
				f(n, &events[0], e)
			}
		}
		events = events[1:]
	}
}

// remains sorts what a dead process has not finished: the events of sockets that
// it may have begun, and those that it had not. It is the end of all accounts.
func (s *sent) remains() (begun, unbegun []guest.Event) {
	waited, wentFirst := s.marks.begun()
	for _, o := range slices.Sorted(maps.Keys(s.ledgers)) {
		b, u := s.ledgers[o].remains(func(event uint32) bool { return waited(o, event) })
		begun, unbegun = append(begun, b...), append(unbegun, u...)
	}
	mark := s.marks.read()
	s.each(func(frame uint64, n *sentEvent, e guest.Event) {
		l := n.ledger
		_, lasts := l.lasting[n.event]
		switch {
		case int32(l.begun-n.event) >= 0 && !lasts: // it went before others, and is over
		case frame <= mark || lasts || wentFirst(l.object, n.event):
			begun = append(begun, e)
		default:
			unbegun = append(unbegun, e)
		}
	})
	for _, l := range s.ledgers {
		l.closed = true
	}
	s.ledgers = nil
	return begun, unbegun
}
