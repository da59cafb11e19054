package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
)

// inSession runs f with an object that calls and one that is called, within a
// guest and between two.
func inSession(t *testing.T, f func(t *testing.T, from, to *shard, asker *guesttest.Instance, dest guest.Target)) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			inWorld(t, options{shards: shards}, func(t *testing.T, w *world) {
				from, to := w.shards[0], w.shards[shards-1]
				from.fetch(key(0, "asker"), nil)
				asker := from.guest.Last()
				from.auto(false)
				to.auto(false)
				from.take()
				f(t, from, to, asker, guest.Target{ID: key(byte(shards-1), "asked").ID})
			})
		})
	}
}

// lastSession is the number of the last session that the guest was called in.
func lastSession(g *guesttest.Guest) (x guest.Session) {
	for _, line := range heardBy(g) {
		var n guest.Session
		var o guest.Object
		if k, _ := fmt.Sscanf(line, "session %d of %d", &n, &o); k == 2 {
			x = n
		}
	}
	return x
}

// TestSessionsCarryBothWays: messages, credit and the last word, in order; what
// follows the end crossed it.
func TestSessionsCarryBothWays(t *testing.T) {
	inSession(t, func(t *testing.T, from, to *shard, asker *guesttest.Instance, dest guest.Target) {
		a, b := from.guest, to.guest
		var x guest.Session
		from.on(func() {
			x = a.OpenSession(asker, dest, "first")
			a.Sessions().SessionMessage(x, []byte("second"))
		})
		in := lastSession(b)
		to.on(func() {
			b.Sessions().SessionCredit(in, 6)
			b.Sessions().SessionMessage(in, []byte("back"))
			b.Sessions().SessionClose(in, []byte("done"))
			b.Sessions().SessionMessage(in, []byte("late"))
		})
		has(t, b, fmt.Sprintf("session %d of %d first", in, b.Last().Object), fmt.Sprintf("session %d message second", in))
		has(t, a, "session 1 credit 6", "session 1 message back", "session 1 close done")
		from.on(func() {
			a.Sessions().SessionMessage(x, []byte("late"))
			a.Sessions().SessionCredit(x, 1)
			a.Sessions().SessionClose(x, nil)
			a.Sessions().SessionFailure(x, &dormouse.Error{})
		})
		for _, g := range []*guesttest.Guest{a, b} {
			for _, line := range heardBy(g) {
				if strings.Contains(line, "late") {
					t.Errorf("after the end: %q", line)
				}
			}
		}
	})
}

// TestSessionsAndFetchesKeepTheirOrder: of one object to another.
func TestSessionsAndFetchesKeepTheirOrder(t *testing.T) {
	inSession(t, func(t *testing.T, from, to *shard, asker *guesttest.Instance, dest guest.Target) {
		from.on(func() {
			for n := range 5 {
				from.guest.OpenSession(asker, dest, fmt.Sprint(n))
				from.guest.Ask(asker, dest, &guest.Request{Method: "GET", URL: fmt.Sprint("http://x/", n)})
			}
		})
		var order []string
		for _, line := range heardBy(to.guest) {
			words := strings.Fields(line)
			if words[0] == "session" || words[0] == "request" {
				order = append(order, strings.TrimPrefix(words[len(words)-1], "http://x/"))
			}
		}
		same(t, "order", order, strings.Fields("0 0 1 1 2 2 3 3 4 4"))
	})
}

// TestSessionsEndWithEitherSide: the other one learns it.
func TestSessionsEndWithEitherSide(t *testing.T) {
	inSession(t, func(t *testing.T, from, to *shard, asker *guesttest.Instance, dest guest.Target) {
		a, b := from.guest, to.guest
		open := func() {
			from.on(func() { a.OpenSession(asker, dest, "x") })
		}
		open()
		to.on(func() {
			i := b.Last()
			i.Leave()
			b.Host.Aborted(b, i.Object, &dormouse.Error{Message: "on purpose", ObjectReset: true}, guest.Abort{})
		})
		has(t, a, "session 1 failure on purpose reset")

		open()
		in := lastSession(b)
		from.on(func() {
			asker.Leave()
			a.Host.Aborted(a, asker.Object, &dormouse.Error{Message: "the asker", ObjectReset: true}, guest.Abort{})
		})
		has(t, b, fmt.Sprintf("session %d failure the asker reset", in))
	})
}

// TestSessionsWithAGuestThatDies.
func TestSessionsWithAGuestThatDies(t *testing.T) {
	inWorld(t, options{shards: 2}, func(t *testing.T, w *world) {
		from, to := w.shards[0], w.shards[1]
		from.fetch(key(0, "asker"), nil)
		asker := from.guest.Last()
		to.auto(false)
		dest := guest.Target{ID: key(1, "asked").ID}
		from.on(func() { from.guest.OpenSession(asker, dest, "x") })
		to.on(func() { to.guest.Die(nil) })
		has(t, from.guest, "session 1 failure The process that ran this Durable Object ended, and the object was reset. retryable reset")

		// One that waits for a guest is begun with the next, with all that was said.
		from.on(func() {
			x := from.guest.OpenSession(asker, dest, "waits")
			from.guest.Sessions().SessionMessage(x, []byte("so does this"))
		})
		next := to.newGuest(false)
		has(t, next, "session 2 of 1 waits", "session 2 message so does this")
		from.on(func() { from.guest.Die(nil) })
		has(t, next, "session 2 failure The process that ran this Durable Object ended, and the object was reset. retryable reset")
	})
}

// TestSessionsWaitForCommits: what is asked and what is answered are outputs.
func TestSessionsWaitForCommits(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s := w.one()
		s.fetch(key(0, "asker"), nil)
		i, g := s.guest.Last(), s.guest
		s.auto(false)
		s.take()
		s.on(func() {
			i.Commit()
			x := g.OpenSession(i, target("asked"), "first")
			g.Sessions().SessionMessage(x, []byte("second"))
		})
		s.heard()
		s.sync(1, nil)
		s.heard("start 2", "session 2 of 2 first", "session 2 message second")
		asked := g.Last()
		s.on(func() {
			asked.Commit()
			g.Sessions().SessionMessage(2, []byte("half of it"))
		})
		s.heard()
		s.sync(1, nil)
		s.heard("session 1 message half of it")
		s.on(func() {
			asked.Commit()
			g.Sessions().SessionCredit(2, 6)
			g.Sessions().SessionClose(2, []byte("done"))
		})
		s.heard("session 1 credit 6") // no output: it tells what was read
		s.sync(1, nil)
		s.heard("session 1 close done")

		// A commit that fails takes its outputs with it, and breaks the session.
		s.on(func() { g.OpenSession(i, target("asked"), "again") })
		s.heard("session 4 of 2 again")
		s.on(func() {
			asked.Commit()
			g.Sessions().SessionClose(4, []byte("never seen"))
		})
		s.sync(1, fmt.Errorf("disk full"))
		for _, line := range s.take() {
			if strings.Contains(line, "never seen") {
				t.Errorf("an output of a failed commit left: %q", line)
			}
			if strings.HasPrefix(line, "session 3 failure") {
				return
			}
		}
		t.Error("the caller does not learn of the reset")
	})
}

// TestLastWordsOfSessionsOutliveTheInstance: they wait for the disk alone.
func TestLastWordsOfSessionsOutliveTheInstance(t *testing.T) {
	for _, fails := range []error{nil, errDisk} {
		inWorld(t, options{shards: 2, disk: true}, func(t *testing.T, w *world) {
			from, to := w.shards[0], w.shards[1]
			from.fetch(key(0, "asker"), nil)
			asker := from.guest.Last()
			to.auto(false)
			from.on(func() { from.guest.OpenSession(asker, guest.Target{ID: key(1, "asked").ID}, "x") })
			to.on(func() {
				g := to.guest
				g.Last().Commit()
				g.Sessions().SessionClose(2, []byte("done"))
				g.Die(nil)
			})
			from.take()
			to.sync(1, fails)
			want := "session 1 close done"
			if fails != nil {
				want = "session 1 failure Durable Object storage failed, and the object was reset: no space left on device retryable reset"
			}
			has(t, from.guest, want)
		})
	}
}

// TestSessionsKeepToTheirCredit: a guest that does not is ended.
func TestSessionsKeepToTheirCredit(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(g *guesttest.Guest, x guest.Session)
		fine bool
	}{
		{"one message beyond the window", func(g *guesttest.Guest, x guest.Session) {
			g.Sessions().SessionMessage(x, make([]byte, guest.Window-1))
			g.Sessions().SessionMessage(x, make([]byte, 5000))
		}, true},
		{"two", func(g *guesttest.Guest, x guest.Session) {
			g.Sessions().SessionMessage(x, make([]byte, guest.Window))
			g.Sessions().SessionMessage(x, []byte("x"))
		}, false},
		{"granted anew", func(g *guesttest.Guest, x guest.Session) {
			g.Sessions().SessionMessage(x, make([]byte, guest.Window))
			g.Sessions().SessionCredit(2, 10)
			g.Sessions().SessionMessage(x, []byte("x"))
		}, true},
		{"an even number", func(g *guesttest.Guest, _ guest.Session) { g.Host.OpenSession(g, 8, 0, target("a"), &guest.Opening{}) }, false},
		{"a number in use", func(g *guesttest.Guest, x guest.Session) { g.Host.OpenSession(g, x, 0, target("a"), &guest.Opening{}) }, false},
		{"a namespace that is not", func(g *guesttest.Guest, _ guest.Session) {
			g.Host.OpenSession(g, 9, 0, guest.Target{Index: 1}, &guest.Opening{})
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				s, g := w.one(), w.one().guest
				s.auto(false)
				var x guest.Session
				s.on(func() { x = g.OpenSession(nil, target("a"), "x") })
				s.on(func() { c.say(g, x) })
				if (g.Broken == nil) != c.fine {
					t.Errorf("broken: %v", g.Broken)
				}
			})
		})
	}
}

// TestSessionsWithTheWorkerItself, and with what has no methods.
func TestSessionsWithTheWorkerItself(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, g := w.one(), w.one().guest
		s.on(func() {
			g.Host.OpenSession(g, 1, 0, guest.Target{Kind: guest.ToSelf}, &guest.Opening{Entrypoint: "Entry ", First: []byte("hi")})
		})
		s.heard("session 2 of 0 Entry hi", "session 1 close done")
		s.on(func() { g.Host.OpenSession(g, 3, 0, guest.Target{Kind: guest.ToAssets}, &guest.Opening{}) })
		s.heard("session 3 failure TypeError: This binding has no methods: it can only be asked with fetch().")
	})
}
