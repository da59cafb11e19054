package nodeguest

import (
	"fmt"

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
		_, _, rest, ok, err := guestwire.Next(s.Bytes()[s.first:s.off])
		if err != nil || !ok {
			return fmt.Errorf("guest says it has handled %d frames; it has got %d", n, s.handled)
		}
		s.first = s.off - len(rest)
		s.handled++
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

// remains sorts what a dead process has not handled: the events of sockets that
// it may have begun, at most one run of marks, and those that it had not.
func (s *sent) remains() (begun, unbegun []guest.Event) {
	mark := s.marks.read()
	n := s.handled
	for b := s.Bytes()[s.first:]; ; {
		t, body, rest, ok, err := guestwire.Next(b)
		if err != nil || !ok {
			return begun, unbegun
		}
		b = rest
		n++
		e, ok := guestwire.ReadEvent(t, body)
		switch {
		case !ok:
		case n <= mark:
			begun = append(begun, e)
		default:
			unbegun = append(unbegun, e)
		}
	}
}
