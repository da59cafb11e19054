package host_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

func TestFirstMessageWakesAndHibernatesAgain(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.wantState(k, "idle")
		sleep(hibernateAfter)
		s.heard("hibernate 1 after 1 if-idle")
		s.wantState(k, "hibernated")
		if s.guest.Live() != 0 {
			t.Error("the instance is still there")
		}

		c.say("hello", "again")
		s.heard("start 2 [1.2 tags=amy]", "message 1.2 text hello", "message 1.2 text again")
		s.wantState(k, "idle")
		sleep(hibernateAfter - time.Second)
		s.wantState(k, "idle")
		sleep(2 * time.Second)
		s.heard("hibernate 2 after 2 if-idle")
		s.wantState(k, "hibernated")
	})
}

// TestTableOfAWake: everything that JavaScript can ask for after a wake comes
// with the start, the oldest socket first.
func TestTableOfAWake(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a := s.connect(k, "amy")
		b := s.connect(k, "ben")
		c := s.connect(k, "cat")
		i := s.guest.Last()
		s.on(func() {
			s.guest.Host.Attachment(s.guest, a.server, []byte("first"))
			s.guest.Host.Attachment(s.guest, a.server, []byte("red"))
			s.guest.Host.Attachment(s.guest, b.server, []byte{})
			s.guest.Host.Attachment(s.guest, c.server, []byte("gone"))
			s.guest.Host.Attachment(s.guest, c.server, nil)
			s.guest.Host.AutoResponse(s.guest, i.Object, &guest.Pair{Request: "ping", Response: "pong"})
			s.guest.Host.EventTimeout(s.guest, i.Object, time.Minute)
			s.guest.Host.Close(s.guest, b.server, 4000, "bye")
		})
		b.gets("close 4000 bye")
		sleep(hibernateAfter)
		s.heard("hibernate 1 after 3 if-idle")

		sleep(1500 * time.Millisecond) // the clock of a bubble begins at a full second
		c.say("ping")
		c.gets("pong")
		s.heard() // nobody woke
		a.say("hello")
		s.heard(
			"start 2 pair=ping/pong timeout=1m0s [1.2 tags=amy attachment=red] [1.4 we-closed tags=ben attachment=] [1.6 tags=cat stamp=11.500]",
			"message 1.2 text hello")
	})
}

// TestNameIsPartOfAnActivation: the object learns its name when a caller knows
// it, also after it has slept, but no name past the limit.
func TestNameIsPartOfAnActivation(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		fetch := func(k dormouse.Key, name string) {
			a := &answer{s: s}
			s.host.Fetch(k, 0, &name, get(), a)
			a.got("response 200")
		}
		fetch(key(0, "a"), "lobby")
		fetch(key(0, "b"), "")
		fetch(key(0, "c"), string(make([]byte, dormouse.MaxName+1)))
		s.heard("start 1 name=lobby", "request 2 of 1 GET http://x/", "start 2 name=", "request 4 of 2 GET http://x/",
			"start 3", "request 6 of 3 GET http://x/")
	})
}

// TestTasksKeepAnObjectInMemory: timers, fetches and the like; until the time
// after which it is evicted all the same, and its standard sockets with it.
func TestTasksKeepAnObjectInMemory(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.on(func() { s.guest.Last().Tasks(1) })
		sleep(hibernateAfter + time.Second)
		s.heard()
		s.wantState(k, "active")

		s.on(func() { s.guest.Last().Tasks(0) })
		sleep(hibernateAfter - time.Second)
		s.heard()
		s.on(func() { s.guest.Last().Tasks(1) })
		sleep(evictAfter - hibernateAfter)
		s.heard("hibernate 1 after 1 evict")
		s.wantState(k, "hibernated")
		c.gets()
	})
}

// TestAnObjectThatStaysAwake: a guest may know better, and rest begins anew.
func TestAnObjectThatStaysAwake(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.auto(false)
		sleep(hibernateAfter)
		s.heard("hibernate 1 after 1 if-idle")
		c.say("crossed")
		s.heard() // it waits for the answer
		i := s.guest.Last()
		s.on(func() { s.guest.Host.Awake(s.guest, i.Object) })
		s.heard("message 1.2 text crossed")
		s.on(s.guest.Turn)
		sleep(hibernateAfter)
		s.heard("hibernate 1 after 2 if-idle")

		c.say("one", "two")
		s.on(func() { i.Leave(); s.guest.Host.Asleep(s.guest, i.Object) })
		s.heard("start 2 [1.2 tags=amy]", "message 1.2 text one", "message 1.2 text two")
	})
}

// TestOrderOfAMailbox: what comes while the object may not be spoken to comes
// later, in its order, whatever kind of event it is.
func TestOrderOfAMailbox(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		s.auto(false)
		sleep(hibernateAfter)
		s.heard("hibernate 1 after 2 if-idle")

		a.say("one")
		s.fetch(k, nil)
		b.close(1000, "bye")
		s.host.Alarm(k, 0, time.Now(), 3, func(host.AlarmEnd, *dormouse.Error) {})
		a.say("two")
		s.heard()
		if i, _ := s.look(k); i.Mail != 5 {
			t.Errorf("%d events wait, want 5", i.Mail)
		}
		i := s.guest.Last()
		s.on(func() { i.Leave(); s.guest.Host.Asleep(s.guest, i.Object) })
		s.heard("start 2 [1.2 tags=amy] [1.4 peer-closed tags=ben]",
			"message 1.2 text one", "request 6 of 2 GET http://x/", `closed 1.4 1000 "bye" clean`, "alarm 8 of 2 retry 3", "message 1.2 text two")
	})
}

// TestEventsWaitForAGuest: without a guest everything waits, and begins in order
// in the one that comes.
func TestEventsWaitForAGuest(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		sleep(hibernateAfter)
		s.on(func() { s.guest.Die(nil) })
		c.say("one")
		other := s.fetch(key(0, "other"), nil)
		worker := &answer{s: s}
		s.host.FetchWorker(get(), worker)
		mine := s.fetch(k, nil)
		c.say("two")
		g := s.newGuest(true)
		s.heardBy(g, "start 1 [1.2 tags=amy]", "message 1.2 text one", "request 2 of 1 GET http://x/", "message 1.2 text two",
			"start 2", "request 4 of 2 GET http://x/", "request 6 of 0 GET http://x/")
		for _, a := range []*answer{other, worker, mine} {
			a.got("response 200")
		}
	})
}

// TestForgottenWhenNothingSpeaksForIt: an object without sockets that has left
// memory costs nothing.
func TestForgottenWhenNothingSpeaksForIt(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		for n := range 10 {
			s.fetch(key(0, fmt.Sprint(n)), nil).got("response 200")
		}
		c := s.connect(key(0, "kept"), "amy")
		if n := s.known(); n != 11 {
			t.Errorf("%d objects are known, want 11", n)
		}
		sleep(hibernateAfter)
		if n := s.known(); n != 1 {
			t.Errorf("%d objects are known, want the one with a socket", n)
		}
		c.close(1000, "")
		sleep(hibernateAfter)
		if n := s.known(); n != 0 {
			t.Errorf("%d objects are known, want none", n)
		}
	})
}

// TestHibernateOnDemand is what an operator asks for.
func TestHibernateOnDemand(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		ask := func(force bool) (answer string) {
			t.Helper()
			s.on(func() { s.host.Hibernate(k, force, func(gone bool) { answer = fmt.Sprint(gone) }) })
			return answer
		}
		if got := ask(false); got != "true" {
			t.Errorf("an object that nobody knows: gone %s", got)
		}
		c := s.connect(k, "amy")
		s.on(func() { s.guest.Last().Tasks(2) })
		if got := ask(false); got != "false" {
			t.Errorf("with tasks: gone %q, want false", got)
		}
		if got := ask(true); got != "true" {
			t.Errorf("with force: gone %q, want true", got)
		}
		s.wantState(k, "hibernated")
		s.auto(false)
		c.say("hi")
		if got := ask(true); got != "false" {
			t.Errorf("with an event in progress: gone %q, want false", got)
		}
		s.on(s.guest.Turn)
		if got := ask(false); got != "" {
			t.Errorf("before the guest has answered: gone %q", got)
		}
		if got := ask(false); got != "false" {
			t.Errorf("asked twice: gone %q, want false", got)
		}
	})
}

// TestWhy: the guest's report comes back, and its death answers too.
func TestWhy(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		var got []string
		ask := func() { s.on(func() { s.host.Why(k, func(r []byte) { got = append(got, string(r)) }) }) }
		ask()
		s.connect(k, "amy")
		ask()
		ask()
		s.heard("why 1 of 1", "why 2 of 1")
		s.on(func() { s.guest.Host.Report(s.guest, 1, []byte(`["timer"]`)) })
		s.on(func() { s.guest.Host.Report(s.guest, 1, []byte(`["timer"]`)) })
		s.on(func() { s.guest.Host.Report(s.guest, 77, []byte(`["timer"]`)) })
		s.on(func() { s.guest.Die(nil) })
		same(t, "answers", got, []string{"", `["timer"]`, ""})
	})
}

// TestAlarmPassesTheGate: an alarm is done when what it wrote is on disk.
func TestAlarm(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		done := make(map[int]string)
		alarm := func(retry int) {
			s.host.Alarm(k, 0, time.Now(), retry, func(end host.AlarmEnd, e *dormouse.Error) {
				done[retry] += []string{"interrupted: ", "ran", "failed: ", "failed for good: "}[end]
				if e != nil {
					done[retry] += e.Error() + guesttest.Flags(e)
				}
			})
		}
		alarm(0)
		s.heard("start 1", "alarm 2 of 1 retry 0")
		i := s.guest.Last()
		s.on(func() {
			s.guest.Turn()
			i.Commit()
			s.guest.Host.Done(s.guest, 2)
		})
		if done[0] != "" {
			t.Error("the alarm was done before its commit was durable:", done[0])
		}
		s.sync(1, nil)
		alarm(1)
		s.on(func() { s.guest.Peer().Failure(4, &dormouse.Error{Message: "boom", Remote: true}) })
		alarm(2)
		s.on(func() { s.guest.Die(nil) })
		want := map[int]string{0: "ran", 1: "failed: boom remote", 2: "interrupted: The process that ran this Durable Object ended, and the object was reset. retryable reset"}
		for n, what := range want {
			if done[n] != what {
				t.Errorf("alarm %d: got %q, want %q", n, done[n], what)
			}
		}
		s.on(func() { s.guest.Host.SetAlarm(s.guest, i.Object, time.UnixMilli(1), true) })
		same(t, "alarms set by a guest that is gone", s.wakes, []string{"lobby doubt"})
	})
}

// TestAlarmsArePassedOn to whom they concern.
func TestAlarmsArePassedOn(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		s.fetch(key(0, "lobby"), nil)
		o := s.guest.Last().Object
		s.on(func() {
			s.guest.Host.SetAlarm(s.guest, o, time.UnixMilli(1000), false)
			s.guest.Host.SetAlarm(s.guest, o, time.UnixMilli(2000), true)
			s.guest.Host.SetAlarm(s.guest, o+1, time.UnixMilli(3000), true)
			s.guest.Host.FoundAlarm(s.guest, o, time.UnixMilli(4000))
			s.guest.Host.FoundAlarm(s.guest, o+1, time.UnixMilli(5000))
		})
		same(t, "alarms", s.wakes, []string{"lobby earlier 1000", "lobby is 2000", "lobby durable 2000", "lobby found 4000"})
	})
}

// TestSleepsSoonAfterItsTasks: the time that an object with tasks may stay does
// not count for one whose tasks have ended.
func TestSleepsSoonAfterItsTasks(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.connect(k, "amy")
		s.on(func() { s.guest.Last().Tasks(1) })
		sleep(hibernateAfter)
		s.wantState(k, "active")
		s.on(func() { s.guest.Last().Tasks(0) })
		sleep(hibernateAfter)
		s.heard("hibernate 1 after 1 if-idle")
		s.wantState(k, "hibernated")
	})
}

// TestClassStats: what hibernation has saved is the time that objects with
// sockets were not in memory.
func TestClassStats(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		a, b := s.connect(key(0, "a"), "amy"), s.connect(key(0, "b"), "ben")
		s.on(func() { s.guest.OnRequest = nil })
		s.fetch(key(0, "c"), nil) // has no sockets: it sleeps, and nothing is saved
		sleep(hibernateAfter)
		sleep(time.Minute) // of a and b
		a.say("hello")
		sleep(5 * time.Second) // of b
		b.leave()              // which wakes b
		a.say("bye")
		var got []host.ClassStats
		s.on(func() { got = s.host.ClassStats() })
		want := host.ClassStats{
			Name:  "Room",
			Wakes: 5, Constructions: 5, Constructor: 5 * time.Millisecond, ConstructorMax: time.Millisecond,
			InMemory: 2, Memory: 3*hibernateAfter + 5*time.Second, Saved: 2*time.Minute + 5*time.Second,
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		a.leave()
		sleep(time.Hour)
		s.on(func() { got = s.host.ClassStats() })
		if got[0].InMemory != 0 || got[0].Hibernated != 0 || got[0].Saved != want.Saved {
			t.Errorf("after all have left: %+v", got[0])
		}
	})
}

// TestWordsOfAnActivationThatHasEnded are not taken for the next one's, however
// soon they come.
func TestWordsOfAnActivationThatHasEnded(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		sleep(hibernateAfter)
		s.heard("hibernate 1 after 1 if-idle")
		c.say("hello")
		s.heard("start 2 [1.2 tags=amy]", "message 1.2 text hello")
		s.on(func() {
			s.guest.Host.Progress(s.guest, 1, guest.Progress{Started: 7, Finished: 7, Tasks: 1})
			s.guest.Host.Asleep(s.guest, 1)
		})
		if s.guest.Broken != nil {
			t.Errorf("the guest is held to what an earlier instance said: %v", s.guest.Broken)
		}
		s.wantState(k, "idle")
		sleep(hibernateAfter)
		s.heard("hibernate 2 after 1 if-idle")
		s.wantState(k, "hibernated")
	})
}
