package host_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/object"
)

// places writes down what a shard wants.
type places struct{ asked []string }

func (p *places) Want(n guest.Place)  { p.asked = append(p.asked, "want "+string(n)) }
func (p *places) Leave(n guest.Place) { p.asked = append(p.asked, "leave "+string(n)) }

var rest = object.Rest{Hibernate: hibernateAfter, Evict: evictAfter}

// another makes a guest that has not been introduced.
func (s *shard) another() *guesttest.Guest {
	n := s.past[len(s.past)-1] + 1
	s.past = append(s.past, n)
	g := guesttest.New(s.host, s.loop, n)
	g.Auto = true
	return g
}

// kill ends the shard's guest because of its last object, and begins another.
func (s *shard) kill(o guest.Object) {
	s.on(func() {
		s.host.Culprit(s.guest, o)
		s.guest.Die(errors.New("out of memory"))
	})
}

// TestOwnGuest: an object that ends its guest twice runs alone from then on, and
// with the others again when it has behaved.
func TestOwnGuest(t *testing.T) {
	p := new(places)
	inWorld(t, options{places: p}, func(t *testing.T, w *world) {
		s, bad, good := w.one(), key(0, "bad"), key(0, "good")
		c := s.connect(bad, "amy")
		place := guest.Place("object:" + bad.String())
		for range 2 {
			c.say("die")
			s.kill(s.guest.Last().Object)
			s.newGuest(true)
		}
		if want := []string{"want " + string(place)}; !slices.Equal(p.asked, want) {
			t.Fatalf("asked for %q, want %q", p.asked, want)
		}
		c.say("again")
		own := s.another()
		s.on(func() { own.ReadyAs(place, nil) })
		s.heardBy(own) // it is not started yet
		s.fetch(good, nil).got("response 200")
		sleep(2 * time.Second)
		if heard := s.takeOf(own); len(heard) != 2 || !strings.Contains(heard[1], "again") {
			t.Errorf("its own guest heard %q, want its start and the message", heard)
		}
		if i, _ := s.look(bad); i.Place != place {
			t.Errorf("it runs in %q", i.Place)
		}
		// Its guest dies: nobody else's does.
		s.on(func() { own.Die(nil) })
		next := s.another()
		s.on(func() { next.ReadyAs(place, nil) })
		s.fetch(good, nil).got("response 200")
		c.say("still there?")
		if heard := s.takeOf(next); len(heard) != 2 {
			t.Errorf("the next guest of its own heard %q", heard)
		}
		sleep(3 * time.Minute)
		if want := "leave " + string(place); p.asked[len(p.asked)-1] != want {
			t.Errorf("asked for %q, want %q at last", p.asked, want)
		}
		s.take()
		c.say("home")
		if heard := s.take(); len(heard) != 2 {
			t.Errorf("the guest of all heard %q", heard)
		}
	})
}

// TestOwnGuestsAreFew: further objects only wait.
func TestOwnGuestsAreFew(t *testing.T) {
	p := new(places)
	inWorld(t, options{places: p, limits: host.Limits{OwnGuests: 1}}, func(t *testing.T, w *world) {
		s := w.one()
		for _, name := range []string{"a", "b"} {
			for range 2 {
				s.fetch(key(0, name), nil)
				s.on(func() {})
				s.kill(s.guest.Last().Object)
				s.newGuest(true)
			}
		}
		if len(p.asked) != 1 {
			t.Errorf("asked for %q, want one place", p.asked)
		}
		sleep(2 * time.Second)
		s.fetch(key(0, "b"), nil).got("response 200")
	})
}

// TestClassWithAPlace: its objects never share the guest of the others, and what
// waits for one does not wait for the other.
func TestClassWithAPlace(t *testing.T) {
	p := new(places)
	inWorld(t, options{places: p}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		place := host.ClassPlace("Room")
		s.on(func() {
			s.host.SetClasses([]host.Class{{Rest: rest, Name: "Room", Namespace: "chat-Room", Place: place}})
		})
		a := s.fetch(k, nil)
		a.got()
		if len(p.asked) != 1 || p.asked[0] != "want class:Room" {
			t.Errorf("asked for %q", p.asked)
		}
		own := s.another()
		s.on(func() { own.ReadyAs(place, nil) })
		a.got("response 200")
		s.on(func() { s.host.SetClasses([]host.Class{{Rest: rest, Name: "Room", Namespace: "chat-Room"}}) })
		sleep(time.Second)
		if p.asked[len(p.asked)-1] != "leave class:Room" {
			t.Errorf("asked for %q, want it left at last", p.asked)
		}
		s.fetch(k, nil).got("response 200")
		s.heard("start 1", "request 2 of 1 GET http://x/")
	})
}

// TestCodeHasNumbersOfItsOwn: newer code may number classes and bindings in
// another way, have more of them, and fewer.
func TestCodeHasNumbersOfItsOwn(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		old := s.guest
		next := s.another()
		s.on(func() {
			s.host.SetClasses([]host.Class{{Rest: rest, Name: "Hall", Namespace: "chat-Hall"}, {Rest: rest, Name: "Room", Namespace: "chat-Room"}})
			next.ReadyAs(guest.Everywhere, &guest.Code{Version: 2, Classes: []dormouse.Namespace{"chat-Hall", "chat-Room"}, Bindings: []int{1, 0}})
			s.host.Retire(old, time.Minute, func() {})
		})
		c.say("hello")
		if i := next.Last(); i == nil || i.Class != 1 {
			t.Fatalf("the room was started as %+v, want class 1", i)
		}
		if i, _ := s.look(k); i.Version != 2 {
			t.Errorf("it runs version %d, want 2", i.Version)
		}
		hall := k
		hall.Namespace = "chat-Hall"
		s.on(func() { next.Ask(nil, guest.Target{Kind: guest.ToObject, Index: 1, ID: k.ID}, get()) })
		if i := next.Last(); i.Class != 0 || i.ID != hall.ID {
			t.Errorf("the second binding led to class %d, want 0", i.Class)
		}

		third := s.another()
		s.on(func() {
			third.ReadyAs(guest.Everywhere, &guest.Code{Version: 3, Classes: []dormouse.Namespace{"chat-Hall"}})
			s.host.Retire(next, time.Minute, func() {})
		})
		if !c.ended() {
			t.Error("a socket of an object that no code is for is still there")
		}
		s.fetch(k, nil).got("failure The Worker has no class Room any more.")
	})
}

// TestMovedWithTasks: an object with a timer begins again at once, one without
// when something comes.
func TestMovedWithTasks(t *testing.T) {
	for _, dies := range []bool{false, true} {
		inWorld(t, options{}, func(t *testing.T, w *world) {
			s := w.one()
			s.connect(key(0, "idle"), "amy")
			s.connect(key(0, "clock"), "ben")
			s.on(func() { s.guest.Last().Tasks(1) })
			old := s.guest
			if dies {
				s.on(func() { old.Die(nil) })
			}
			next := s.newGuest(true)
			if !dies {
				s.on(func() { s.host.Retire(old, time.Minute, func() {}) })
			}
			s.heardBy(next, "start 1 [1.4 tags=ben]")
			sleep(2 * hibernateAfter)
			s.wantState(key(0, "clock"), "hibernated")
		})
	}
}

// TestCloseOnUpdate drops the sockets of objects that move, and of those that
// sleep, but not of those that moved for another reason.
func TestCloseOnUpdate(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		asleep := s.connect(key(0, "asleep"), "amy")
		sleep(2 * hibernateAfter)
		awake := s.connect(key(0, "awake"), "ben")
		old := s.guest
		s.on(func() {
			s.host.SetClasses([]host.Class{{Rest: rest, Name: "Room", Namespace: "chat-Room", CloseOnUpdate: true}})
		})
		next := s.newGuest(true)
		s.on(func() { s.host.Retire(old, time.Minute, func() {}) })
		for _, c := range []*client{asleep, awake} {
			c.gets("end")
		}
		s.heardBy(next)
		for _, name := range []string{"asleep", "awake"} {
			if _, known := s.look(key(0, name)); known {
				t.Errorf("%s is still known", name)
			}
		}
		again := s.connect(key(0, "awake"), "cas")
		s.on(func() { next.Die(nil) }) // which is no update
		again.gets()
	})
}

// TestReportOfWhatHadBegun names socket and number.
func TestReportOfWhatHadBegun(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		a.say("1", "2")
		s.auto(false)
		a.say("3", "4", "5")
		b.say("1")
		s.on(func() {
			begun := []guest.Event{{Socket: a.server, Text: true, Payload: []byte("3")}}
			unbegun := []guest.Event{{Socket: a.server, Text: true, Payload: []byte("4")}, {Socket: a.server, Text: true, Payload: []byte("5")}, {Socket: b.server, Text: true, Payload: []byte("1")}}
			s.host.Remains(s.guest, begun, unbegun)
			s.guest.Die(errors.New("killed"))
		})
		var got []host.Unfinished
		s.on(func() { got = s.host.Reported() })
		if len(got) != 1 || got[0].Socket != a.server || got[0].Number != 3 || got[0].Tags[0] != "amy" || got[0].Key != k || got[0].Guest != 1 {
			t.Errorf("reported %+v, want message 3 of amy's socket", got)
		}
		s.newGuest(true)
		s.heard("start 1 [1.2 tags=amy] [1.4 tags=ben]", "message 1.2 text 4", "message 1.2 text 5", "message 1.4 text 1")
	})
}
