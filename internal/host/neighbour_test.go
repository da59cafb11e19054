package host_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

const farNamespace = "other-Room"

// next is a neighbour that is one shard.
type next struct{ *shard }

func (n next) Object(k dormouse.Key) (*host.Shard, int, *dormouse.Error) {
	class, ok := n.host.ClassOf(k.Namespace)
	if !ok {
		return nil, 0, &dormouse.Error{Message: "no namespace " + string(k.Namespace)}
	}
	return n.host, class, nil
}

func (n next) Front() (*host.Shard, *dormouse.Error) { return n.host, nil }

// besides runs f with a shard, an object of it, and a shard that is its
// neighbour, whose namespace nobody routes to.
func besides(t *testing.T, o options, f func(t *testing.T, from, to *shard, asker *guesttest.Instance)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.shards = 2
		w := newWorld(t, o)
		defer w.stop()
		from, to := w.shards[0], w.shards[1]
		to.on(func() { to.host.Classes[0].Namespace = farNamespace })
		for _, s := range w.shards {
			s.on(func() { s.host.Route = func(dormouse.Key) *host.Shard { return s.host } })
		}
		from.on(func() {
			from.host.Neighbour = func(name string) host.Neighbour {
				if name == "other" {
					return next{to}
				}
				return nil
			}
		})
		to.newGuest(true)
		from.newGuestWith(&guest.Code{
			Classes: []dormouse.Namespace{"chat-Room"}, Bindings: []int{0, -1, -1, -1},
			Far: map[int]guest.Far{1: {Neighbour: "other", Namespace: farNamespace}, 2: {Neighbour: "nobody"}, 3: {Neighbour: "other", Namespace: "lost"}},
			Fronts: []guest.Front{
				{Neighbour: "other", Entrypoint: "Entry ", Props: []byte("props")}, {Neighbour: "nobody"},
				{Neighbour: "other", Entrypoint: guest.TestEntrypoint},
			},
		})
		from.fetch(key(0, "asker"), nil)
		asker := from.guest.Last()
		from.auto(false)
		from.take()
		f(t, from, to, asker)
	})
}

// newGuestWith is newGuest with code of its own.
func (s *shard) newGuestWith(c *guest.Code) {
	n := uint32(1)
	for _, other := range s.shards {
		n += uint32(len(other.past))
	}
	s.guest = guesttest.New(s.host, s.loop, n)
	s.guest.Auto = true
	s.past = append(s.past, n)
	s.on(func() { s.guest.ReadyAs(guest.Everywhere, c) })
}

func farTarget(index int) guest.Target {
	return guest.Target{Index: index, ID: key(1, "asked").ID}
}

// TestNeighboursAreCalled: objects and fronts, with requests and in sessions.
func TestNeighboursAreCalled(t *testing.T) {
	besides(t, options{}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
		a := from.guest
		from.on(func() { a.Ask(asker, farTarget(1), get()) })
		has(t, a, "response 1 200")
		has(t, to.guest, "start 1", "request 2 of 1 GET http://x/")
		from.on(func() { a.OpenSession(asker, farTarget(1), "hi") })
		has(t, a, "session 1 close done")
		has(t, to.guest, "session 2 of 1 hi")
		from.on(func() {
			a.Ask(asker, guest.Target{Kind: guest.ToService}, &guest.Request{Method: "GET", URL: "http://x/", Entrypoint: "forged"})
			a.OpenSession(asker, guest.Target{Kind: guest.ToService}, "hi")
		})
		has(t, a, "response 3 200", "session 3 close done")
		has(t, to.guest, "request 4 of 0 GET http://x/", "session 4 of 0 Entry hi")
		wantNothingLeft(t, from.world)
	})
}

// TestBindingsSayWhatOfNeighboursIsReached, whatever the guest says.
func TestBindingsSayWhatOfNeighboursIsReached(t *testing.T) {
	besides(t, options{}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
		var begun []guest.Opening
		var asked []guest.Request
		to.guest.OnSession = func(_ *guesttest.Instance, _ guest.Session, o *guest.Opening) { begun = append(begun, *o) }
		to.guest.OnRequest = func(_ *guesttest.Instance, _ guest.Exchange, r *guest.Request) { asked = append(asked, *r) }
		a := from.guest
		from.on(func() {
			a.Host.OpenSession(a, 1, asker.Object, guest.Target{Kind: guest.ToService}, &guest.Opening{Entrypoint: "forged", Props: []byte("forged")})
			a.Ask(asker, guest.Target{Kind: guest.ToService}, &guest.Request{Method: "GET", URL: "http://x/", Entrypoint: "forged"})
		})
		if len(begun) != 1 || begun[0].Entrypoint != "Entry " || string(begun[0].Props) != "props" || !begun[0].Foreign {
			t.Errorf("sessions began with %+v", begun)
		}
		if len(asked) != 1 || asked[0].Entrypoint != "Entry " || string(asked[0].Props) != "props" {
			t.Errorf("requests: %+v", asked)
		}
	})
	for _, c := range []struct {
		to   guest.Target
		want string
	}{
		{farTarget(2), "There is no nobody in this server."},
		{farTarget(3), "no namespace lost"},
		{guest.Target{Kind: guest.ToService, Index: 1}, "There is no nobody in this server."},
		{guest.Target{Kind: guest.ToService, Index: 2}, "There is no entrypoint dormouse:test."},
	} {
		besides(t, options{}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
			from.on(func() {
				from.guest.Ask(asker, c.to, get())
				from.guest.OpenSession(asker, c.to, "hi")
			})
			has(t, from.guest, "failure 1 "+c.want)
			has(t, from.guest, "session 1 failure "+c.want)
			to.heard()
			if from.guest.Broken != nil {
				t.Error(from.guest.Broken)
			}
		})
	}
	for _, bad := range []guest.Target{{Kind: guest.ToService, Index: 3}, {Index: 4}} {
		besides(t, options{}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
			from.on(func() { from.guest.OpenSession(asker, bad, "hi") })
			if from.guest.Broken == nil {
				t.Errorf("%+v is no binding, and the guest goes on", bad)
			}
		})
	}
}

// TestNeighboursWaitForCommits: the gates of both sides hold over the boundary.
func TestNeighboursWaitForCommits(t *testing.T) {
	besides(t, options{disk: true}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
		to.auto(false)
		from.on(func() {
			asker.Commit()
			from.guest.OpenSession(asker, farTarget(1), "first")
			from.guest.OpenSession(asker, guest.Target{Kind: guest.ToService}, "second")
		})
		to.heard()
		from.sync(1, nil)
		to.heard("start 1", "session 2 of 1 first", "session 4 of 0 Entry second")
		to.on(func() {
			to.guest.Last().Commit()
			to.guest.Sessions().SessionClose(2, []byte("done"))
		})
		from.heard()
		to.sync(1, nil)
		from.heard("session 1 close done")
	})
}

// TestFrontsWaitForAGuest, with all that is said meanwhile, and hear of its end.
func TestFrontsWaitForAGuest(t *testing.T) {
	besides(t, options{}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
		to.on(func() { to.guest.Die(nil) })
		front := guest.Target{Kind: guest.ToService}
		from.on(func() {
			x := from.guest.OpenSession(asker, front, "waits")
			from.guest.Sessions().SessionMessage(x, []byte("so does this"))
			y := from.guest.OpenSession(asker, front, "given up")
			from.guest.Sessions().SessionClose(y, nil)
		})
		g := to.newGuest(false)
		has(t, g, "session 2 of 0 Entry waits", "session 2 message so does this")
		to.on(func() { g.Die(nil) })
		has(t, from.guest, "session 1 failure The process that ran this Durable Object ended, and the object was reset. retryable reset")
		// Nobody can run the code: that is said too.
		from.on(func() { from.guest.OpenSession(asker, front, "refused") })
		to.on(func() { to.host.Unfit(guest.Everywhere, &dormouse.Error{Message: "it does not load"}) })
		has(t, from.guest, "session 5 failure it does not load")
		from.on(func() { from.guest.OpenSession(asker, front, "refused") })
		has(t, from.guest, "session 7 failure it does not load")
	})
	// So many may wait, and no more.
	besides(t, options{limits: host.Limits{Waiting: 2}}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
		to.on(func() { to.guest.Die(nil) })
		for range 3 {
			from.on(func() { from.guest.OpenSession(asker, guest.Target{Kind: guest.ToService}, "x") })
		}
		from.heard("session 5 failure Durable Object is overloaded. Too many requests queued. overloaded")
	})
}

// TestSocketsReachNeighbours: a pair whose ends are in guests of two neighbours.
func TestSocketsReachNeighbours(t *testing.T) {
	besides(t, options{}, func(t *testing.T, from, to *shard, asker *guesttest.Instance) {
		upgrades(to.guest)
		from.on(func() { from.guest.Ask(asker, farTarget(1), &guest.Request{Method: "GET", URL: "http://x/tag"}) })
		theirs := dormouse.SocketID(to.guest.Number)<<32 | 2
		ours := theirs.Peer()
		has(t, from.guest, fmt.Sprint("response 1 101 socket ", guesttest.Socket(ours)))
		from.on(func() {
			asker.Open(ours)
			from.guest.Send(ours, "hello")
		})
		has(t, to.guest, "message "+guesttest.Socket(theirs)+" text hello")
		to.on(func() { to.guest.Send(theirs, "and back") })
		has(t, from.guest, "message "+guesttest.Socket(ours)+" text and back")
	})
}
