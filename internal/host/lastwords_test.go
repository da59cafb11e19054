package host_test

import (
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
		s.heardBy(next, "start 1 [1.2 peer-closed tags=amy]", `closed 1.2 4001 "bye" clean ended`)
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
