package host_test

import (
	"fmt"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// failStart ends the latest instance as a constructor does that throws.
func (s *shard) failStart() {
	i := s.guest.Last()
	s.on(func() {
		i.Leave()
		s.guest.Host.StartFailed(s.guest, i.Object, &dormouse.Error{Message: "no", Remote: true, ObjectReset: true})
	})
}

// TestLastWordsAreSaidOnceMore: a kept socket's Close that an instance had not
// begun reaches the next one, in front of what waits, and is given up and
// reported when that one fails too: a constructor that always throws is not tried
// for ever.
func TestLastWordsAreSaidOnceMore(t *testing.T) {
	inWorld(t, options{keep: true, autoReply: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c, d := s.connect(k, "amy"), s.connect(k, "ben")
		sleep(hibernateAfter)
		s.auto(false)
		s.take()
		c.close(4001, "bye")
		s.heard("start 2 [1.2 peer-closed tags=amy] [1.4 tags=ben]", `closed 1.2 4001 "bye" clean ended`)
		s.failStart()
		s.heard("start 3 [1.2 peer-closed tags=amy] [1.4 tags=ben]", `closed 1.2 4001 "bye" clean ended`)
		if n := s.host.Stats().Unfinished; n != 0 {
			t.Errorf("%d events are reported, want none", n)
		}
		s.failStart()
		s.heard()
		if n := s.host.Stats().Unfinished; n != 1 {
			t.Errorf("%d events are reported, want 1", n)
		}
		d.say("hello")
		s.heard("start 4 [1.4 tags=ben]", "message 1.4 text hello")
		s.on(s.guest.Turn)
		c.gets("close 4001 bye", "end")
	})
}

// TestLastWordsThatHaveBegunAreNotRepeated: not even when their handler ends the
// instance.
func TestLastWordsThatHaveBegunAreNotRepeated(t *testing.T) {
	inWorld(t, options{keep: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.auto(false)
		s.take()
		c.close(4001, "bye")
		s.heard(`closed 1.2 4001 "bye" clean`)
		i := s.guest.Last()
		i.Progress.Started++
		s.on(func() { i.Abort("enough") })
		s.heard()
		if got, _ := s.look(k); got.Sockets != 0 {
			t.Errorf("%d sockets are listed, want none", got.Sockets)
		}
	})
}

// TestRemainsOfEarlierInstances: what a dead guest still had for an instance that
// was gone before it is not said a third time, nor behind what came later.
func TestRemainsOfEarlierInstances(t *testing.T) {
	inWorld(t, options{keep: true, autoReply: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		sleep(hibernateAfter)
		s.auto(false)
		s.take()
		c.say("hello")
		c.close(4001, "bye")
		s.heard("start 2 [1.2 tags=amy]", "message 1.2 text hello", `closed 1.2 4001 "bye" clean ended`)
		old, i := s.guest, s.guest.Last()
		next := s.newGuest(false)
		s.on(func() {
			i.Leave()
			old.Host.StartFailed(old, i.Object, &dormouse.Error{Message: "no", Remote: true, ObjectReset: true})
		})
		s.heardBy(next, "start 1 [1.2 peer-closed tags=amy]", "message 1.2 text hello", `closed 1.2 4001 "bye" clean ended`)
		s.on(func() {
			s.host.Remains(old, nil, []guest.Event{
				{Socket: c.server, Text: true, Payload: []byte("hello")},
				{Socket: c.server, Kind: guest.ClosedEvent, Closing: guest.Closing{Code: 4001, Reason: "bye", Clean: true, Ended: true}},
			})
			old.Die(nil)
		})
		s.heardBy(next)
	})
}

// TestWhatWaitedInAnInstanceMoves: what had been taken and not begun when the code
// was updated, whatever ran, is delivered to the next instance: in order, in front
// of what has come since, and once.
func TestWhatWaitedInAnInstanceMoves(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c, d := s.connect(k, "amy"), s.connect(k, "ben")
		s.auto(false)
		s.take()
		c.say("one", "two")
		d.close(4001, "bye")
		c.say("three")
		s.heard("message 1.2 text one", "message 1.2 text two", `closed 1.4 4001 "bye" clean`, "message 1.2 text three")
		old, i := s.guest, s.guest.Last()
		next := s.newGuest(false)
		s.on(func() {
			i.Progress.Started++
			i.Tell()
			s.host.Retire(old, 0, func() {})
		})
		sleep(1)
		c.say("four")
		s.on(func() {
			i.Tell()
			i.Leave()
			old.Host.Asleep(old, i.Object)
		})
		s.heardBy(next, "start 1 [1.2 tags=amy] [1.4 peer-closed tags=ben]", "message 1.2 text two", `closed 1.4 4001 "bye" clean`,
			"message 1.2 text three", "message 1.2 text four")
		if n := s.host.Stats().Unfinished; n != 0 {
			t.Errorf("%d events are reported, want none", n)
		}
	})
}

// TestWhatWaitedInAnInstanceThatIsReset reaches the next one if the sockets stay,
// as often as an instance begins anything.
func TestWhatWaitedInAnInstanceThatIsReset(t *testing.T) {
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			inWorld(t, options{keep: keep}, func(t *testing.T, w *world) {
				s, k := w.one(), key(0, "lobby")
				c := s.connect(k, "amy")
				s.auto(false)
				s.take()
				c.say("one", "two", "three")
				s.heard("message 1.2 text one", "message 1.2 text two", "message 1.2 text three")
				if !keep {
					i := s.guest.Last()
					s.on(func() { i.Abort("enough") })
					s.heard()
					return
				}
				for n, rest := range [][]string{{"two", "three"}, {"three"}, nil} {
					i := s.guest.Last()
					s.on(func() {
						i.Progress.Started++
						i.Abort("enough")
					})
					var want []string
					if len(rest) > 0 {
						want = append(want, fmt.Sprintf("start %d [1.2 tags=amy]", n+2))
					}
					for _, text := range rest {
						want = append(want, "message 1.2 text "+text)
					}
					s.heard(want...)
				}
				if n := s.host.Stats().Unfinished; n != 0 {
					t.Errorf("%d events are reported, want none", n)
				}
			})
		})
	}
}
