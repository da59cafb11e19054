package host_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

const died = "The process that ran this Durable Object ended, and the object was reset. retryable reset"

// TestGuestDeath: hibernatable sockets stay, standard ones are closed, calls
// fail, and what comes next goes to the next guest.
func TestGuestDeath(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		g, i := s.guest, s.guest.Last()
		std, far := g.Pair()
		of, ofFar := g.Pair()
		s.on(func() {
			i.Open(std)
			g.Host.Open(g, of, 0)
			g.Host.Attachment(g, c.server, []byte("red"))
		})
		standard, workers := s.attach(far), s.attach(ofFar)
		s.auto(false)
		call, worker := s.fetch(k, nil), &answer{s: s}
		s.host.FetchWorker(post(), worker)
		s.on(func() {
			g.Peer().Response(6, body())
			g.Peer().Body(6, []byte("half"))
			g.Ask(i, target("other"), post())
		})
		worker.got("response 200", "body half")
		s.on(func() { g.Die(nil) })
		call.got("failure " + died)
		worker.got("abort The process that ran this Durable Object ended, and the object was reset.")
		standard.gets("close 1012 ")
		workers.gets("close 1012 ")
		c.gets()
		s.wantState(k, "hibernated")
		wantNothingLeft(t, w)

		next := s.newGuest(true)
		c.say("hello")
		s.heardBy(next, "start 1 [1.2 tags=amy attachment=red]", "message 1.2 text hello")
		var stats host.Stats
		s.on(func() { stats = s.host.Stats() })
		if stats.GuestDeaths != 1 {
			t.Errorf("%d deaths are counted, want 1", stats.GuestDeaths)
		}
		s.on(func() { g.Host.Gone(g, nil); g.Send(c.server, "from the grave") })
	})
}

// TestEventsThatADeadGuestHadNotBegun come first in the next one, before what
// has waited since; those it had begun are not said twice.
func TestEventsThatADeadGuestHadNotBegun(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b, c, d := s.connect(k, "a"), s.connect(k, "b"), s.connect(k, "c"), s.connect(k, "d")
		g := s.guest
		s.auto(false)
		a.say("begun", "not begun", "nor this")
		b.close(1000, "begun")
		c.close(1000, "not begun")
		begun := []guest.Event{
			{Socket: a.server, Text: true, Payload: []byte("begun")},
			{Socket: b.server, Kind: guest.ClosedEvent, Closing: guest.Closing{Code: 1000, Reason: "begun", Clean: true}},
		}
		unbegun := []guest.Event{
			{Socket: a.server, Text: true, Payload: []byte("not begun")},
			{Socket: a.server, Text: true, Payload: []byte("nor this")},
			{Socket: c.server, Kind: guest.ClosedEvent, Closing: guest.Closing{Code: 1000, Reason: "not begun", Clean: true}},
		}
		// The object was asked to leave whatever runs, and d spoke meanwhile.
		next := s.newGuest(false)
		s.on(func() { s.host.Retire(g, 0, func() {}) })
		sleep(1)
		d.say("last")
		s.on(func() {
			s.host.Remains(g, begun, unbegun)
			g.Die(nil)
		})
		s.heardBy(next, "start 1 [1.2 tags=a] [1.6 peer-closed tags=c] [1.8 tags=d]", "message 1.2 text not begun", "message 1.2 text nor this",
			`closed 1.6 1000 "not begun" clean`, "message 1.8 text last")
		s.on(next.Turn)
		if i, _ := s.look(k); i.Sockets != 2 {
			t.Errorf("%d sockets are left, want 2", i.Sockets)
		}
	})
}

// TestLastWordsAreKeptUntilTheyBegin: an instance that dies before its close
// handler has begun is followed by one that hears it, attachment and all.
func TestLastWordsReachTheNextInstance(t *testing.T) {
	inWorld(t, options{autoReply: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.on(func() { s.guest.Host.Attachment(s.guest, c.server, []byte("red")) })
		sleep(hibernateAfter)
		s.take()
		s.auto(false)
		c.close(4001, "bye")
		c.gets("close 4001 bye", "end")
		s.heard("start 2 [1.2 peer-closed tags=amy attachment=red]", `closed 1.2 4001 "bye" clean ended`)
		if i, _ := s.look(k); i.Sockets != 1 {
			t.Errorf("%d sockets before the handler, want 1", i.Sockets)
		}
		s.on(s.guest.Turn)
		if i, _ := s.look(k); i.Sockets != 0 {
			t.Errorf("%d sockets after the handler, want none", i.Sockets)
		}
		if n := s.registry.Counts().Sockets; n != 0 {
			t.Errorf("the registry holds %d sockets, want none", n)
		}
	})
}

// TestConstructorFails: whatever waited for it fails, sockets end without Close,
// the next request constructs again.
func TestConstructorFails(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			inWorld(t, options{keep: keep}, func(t *testing.T, w *world) {
				s, k := w.one(), key(0, "lobby")
				c := s.connect(k, "amy")
				sleep(hibernateAfter)
				s.auto(false)
				s.take()
				c.say("hello")
				a, b := s.fetch(k, nil), s.fetch(k, nil)
				s.heard("start 2 [1.2 tags=amy]", "message 1.2 text hello", "request 4 of 2 GET http://x/", "request 6 of 2 GET http://x/")
				i := s.guest.Last()
				s.on(func() {
					i.Leave()
					s.guest.Host.StartFailed(s.guest, i.Object, &dormouse.Error{Name: "TypeError", Message: "no", Remote: true, ObjectReset: true})
				})
				a.got("failure TypeError: no remote reset")
				b.got("failure TypeError: no remote reset")
				s.fetch(k, nil)
				if keep {
					c.gets()
					s.heard("start 3 [1.2 tags=amy]", "message 1.2 text hello", "request 8 of 3 GET http://x/")
				} else {
					c.gets("end")
					s.heard("start 3", "request 8 of 3 GET http://x/")
				}
			})
		})
	}
}

// TestAbort: everything is forgotten that Cloudflare forgets, and what dropped
// sockets had said wakes nobody.
func TestAbort(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		s.on(func() {
			s.guest.Host.AutoResponse(s.guest, 1, &guest.Pair{Request: "ping", Response: "pong"})
			s.guest.Host.EventTimeout(s.guest, 1, 5)
		})
		s.auto(false)
		call := s.fetch(k, nil)
		sleep(0)
		s.on(func() { s.guest.Last().Abort("enough") })
		call.got("failure enough reset")
		a.gets("end")
		b.gets("end")
		s.wantState(k, "unknown")
		if n := s.registry.Counts().Sockets; n != 0 {
			t.Errorf("the registry holds %d sockets, want none", n)
		}
		s.take()
		s.fetch(k, nil)
		s.heard("start 2", "request 8 of 2 GET http://x/")
	})
}

// TestMailOfDroppedSocketsWakesNobody.
func TestMailOfDroppedSocketsWakesNobody(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c, gone := s.connect(k, "amy"), s.connect(k, "ben")
		i, g := s.guest.Last(), s.guest
		s.on(func() { i.Commit() })
		sleep(hibernateAfter - 1)
		s.auto(false)
		sleep(1)
		c.say("mail") // while it settles
		gone.leave()
		s.fetch(k, nil)
		s.sync(1, errDisk)
		s.take()
		s.on(func() { i.Leave(); g.Host.Asleep(g, i.Object) })
		s.heard("start 2", "request 6 of 2 GET http://x/")
	})
}

// TestResetIsLogged at error level, with class, id and reason.
func TestResetIsLogged(t *testing.T) {
	var log bytes.Buffer
	inWorld(t, options{log: &log}, func(t *testing.T, w *world) {
		s := w.one()
		s.fetch(key(0, "lobby"), nil)
		s.on(func() { s.guest.Last().Abort("enough") })
	})
	line := log.String()
	for _, want := range []string{"level=ERROR", "class=Room", "object=" + key(0, "lobby").ID.String(), "reason=enough"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %q", want, line)
		}
	}
}

// TestNoCode: while the code cannot be loaded requests fail at once, and what
// sockets say waits until it can.
func TestNoCode(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c, leaves := s.connect(k, "amy"), s.connect(k, "ben")
		sleep(hibernateAfter)
		s.on(func() { s.guest.Die(nil) })
		c.say("one")
		before, worker := s.fetch(k, nil), &answer{s: s}
		s.host.FetchWorker(get(), worker)
		c.say("two")
		s.on(func() { s.host.Unfit(guest.Everywhere, &dormouse.Error{Message: "no such module"}) })
		leaves.close(1000, "")
		after, other, later := s.fetch(k, nil), s.fetch(key(0, "other"), nil), &answer{s: s}
		s.host.FetchWorker(get(), later)
		for _, a := range []*answer{before, worker, after, other, later} {
			a.got("failure no such module")
		}
		var alarm string
		s.host.Alarm(k, 0, never, 0, func(_ host.AlarmEnd, e *dormouse.Error) { alarm = e.Message })
		s.on(func() {})
		if alarm != "no such module" {
			t.Errorf("the alarm: %q", alarm)
		}
		if n := s.known(); n != 1 {
			t.Errorf("%d objects are known, want 1", n)
		}
		c.say("three")
		s.on(func() { s.host.Unfit(guest.Everywhere, &dormouse.Error{Message: "still not"}) })
		next := s.newGuest(true)
		s.heardBy(next, "start 1 [1.2 tags=amy] [1.4 peer-closed tags=ben]", "message 1.2 text one", "message 1.2 text two",
			`closed 1.4 1000 "" clean`, "message 1.2 text three")
		s.fetch(k, nil).got("response 200")
	})
}

// TestRetire: objects move when they are quiet, and nothing of the old guest
// remains but what it has begun.
func TestRetire(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, idle, busy := w.one(), key(0, "idle"), key(0, "busy")
		a, b := s.connect(idle, "amy"), s.connect(busy, "ben")
		old := s.guest
		of, ofFar := old.Pair()
		s.on(func() { old.Host.Open(old, of, 0) })
		workers := s.attach(ofFar)
		s.on(func() { old.Auto, old.OnRequest = false, nil })
		call := s.fetch(busy, nil)
		next := s.newGuest(true)
		std, stdFar := next.Pair()
		s.on(func() { next.Host.Open(next, std, 0) })
		newWorkers := s.attach(stdFar)
		gone := false
		s.on(func() { s.host.Retire(old, evictAfter, func() { gone = true }) })
		has(t, old, "hibernate 1 after 1 if-quiet")
		a.say("hello")
		s.heardBy(next)
		s.on(func() { i := old.Instance(1); i.Leave(); old.Host.Asleep(old, 1) })
		s.heardBy(next, "start 1 [1.2 tags=amy]", "message 1.2 text hello")

		b.say("more") // it is busy: this still belongs to the old one
		s.heardBy(next)
		s.on(func() { old.Respond(6, 200, ""); old.Turn() })
		call.got("response 200")
		s.on(func() { i := old.Instance(2); i.Leave(); old.Host.Asleep(old, 2) })
		if !gone {
			t.Error("the old guest has nothing left, and nobody was told")
		}
		s.on(func() { old.Die(nil) })
		workers.gets("close 1012 ")
		newWorkers.gets()
		b.say("again")
		s.heardBy(next, "start 2 [1.4 tags=ben]", "message 1.4 text again")
	})
}

// TestRetireDeadline: what has not ended by then is ended, and a word that
// crossed it does not bring it back.
func TestRetireDeadline(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		old := s.guest
		s.auto(false)
		call := s.fetch(k, nil)
		worker := &answer{s: s}
		s.host.FetchWorker(get(), worker)
		next := s.newGuest(true)
		gone := false
		s.on(func() { s.host.Retire(old, evictAfter, func() { gone = true }) })
		sleep(evictAfter)
		worker.got() // it may tell its client of the objects that are reset
		has(t, old, "hibernate 1 after 2 now")
		c.say("hello")
		s.on(func() { old.Host.Awake(old, 1) }) // an answer to an earlier question
		s.heardBy(next)
		s.on(func() { old.Take() })
		s.on(func() { old.Instance(1).Leave(); old.Host.Asleep(old, 1) })
		call.got("failure Durable Object reset because its code was updated. retryable reset")
		s.heardBy(old)
		s.heardBy(next, "start 1 [1.2 tags=amy]", "message 1.2 text hello")
		sleep(time.Second)
		worker.got("failure Durable Object reset because its code was updated. retryable reset")
		if !gone {
			t.Error("the old guest has nothing left, and nobody was told")
		}
	})
}

// TestEvictedCallsEnd: an eviction cuts what an object was still sending.
func TestEvictedCallsEnd(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.guest.OnRequest = func(i *guesttest.Instance, x guest.Exchange, r *guest.Request) {
			s.guest.Peer().Response(x, body())
			s.guest.Peer().Body(x, []byte("half"))
			i.Progress.Tasks = 1
		}
		a := s.fetch(k, nil)
		a.got("response 200", "body half")
		sleep(evictAfter)
		a.got("abort Durable Object was evicted from memory.")
		wantNothingLeft(t, w)
	})
}
