package host_test

import (
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// evict asks for an object to leave, and returns how it went, "" while it has
// not been answered.
func (s *shard) evict(k dormouse.Key, drop bool) *string {
	outcome := new(string)
	s.on(func() {
		s.host.Evict(k, drop, 30*time.Second, func(e *dormouse.Error) {
			if *outcome != "" {
				s.t.Errorf("answered twice: %q", *outcome)
			}
			*outcome = "gone"
			if e != nil {
				*outcome = e.Message
			}
		})
	})
	return outcome
}

func TestEvictWaitsUntilTheObjectIsIdle(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		want := func(outcome *string, want string) {
			t.Helper()
			var got string
			s.on(func() { got = *outcome })
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		want(s.evict(k, false), "Cannot evict Durable Object: it is not currently running.")

		c := s.connect(k, "amy")
		want(s.evict(k, false), "gone")
		s.wantState(k, "hibernated")

		c.say("hello")
		s.on(func() { s.guest.Last().Tasks(1) })
		outcome := s.evict(k, false)
		sleep(time.Second)
		want(outcome, "")
		s.on(func() { s.guest.Last().Tasks(0) })
		want(outcome, "gone")
		s.wantState(k, "hibernated")

		c.say("hello again")
		s.on(func() { s.guest.Last().Tasks(1) })
		outcome = s.evict(k, false)
		sleep(31 * time.Second)
		want(outcome, "Timed out waiting to evict Durable Object: it still has active references.")
		s.on(func() { s.guest.Last().Tasks(0) })

		c.say("once more")
		want(s.evict(k, true), "gone") // with its socket
		c.gets("end")
		s.wantState(k, "unknown")
	})
}

// TestNothingStartsWhileFrozen: what comes for an object waits.
func TestNothingStartsWhileFrozen(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, awake, asleep := w.one(), key(0, "lobby"), key(0, "attic")
		b := s.connect(asleep, "ben")
		sleep(hibernateAfter)
		a := s.connect(awake, "amy")
		s.take()
		aborted, closed := false, false
		s.on(func() {
			s.host.Freeze()
			s.host.AbortAll(&dormouse.Error{Message: "on purpose"}, func() { aborted = true })
		})
		a.gets("end")
		b.gets("end")
		s.on(func() {
			if !aborted {
				t.Error("the objects have not left")
			}
			s.host.CloseDatabases(func() { closed = true })
		})
		s.heard("reset 2 on purpose", "close-database 1", "close-database 2")
		s.on(func() {
			if closed {
				t.Error("the databases are closed, and nobody has said so")
			}
			s.guest.Host.DatabaseClosed(s.guest, 1)
			s.guest.Host.DatabaseClosed(s.guest, 2)
		})

		call := &answer{s: s}
		s.host.Fetch(awake, 0, nil, get(), call)
		call.got()
		s.heard()
		s.on(func() {
			if !closed {
				t.Error("the databases are not closed")
			}
			s.host.Thaw()
		})
		s.heard("start 3", "request 6 of 3 GET http://x/")
	})
}
