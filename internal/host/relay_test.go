package host_test

import (
	"fmt"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
)

const lost = `1006 "WebSocket disconnected without sending Close frame." ended`

// ends is a pair of which both ends are held by guests: a by an object, which
// made it, b by another object that got it as the answer to its request.
type ends struct {
	from, to *shard // of a and b
	a, b     dormouse.SocketID
	ia, ib   *guesttest.Instance
}

// onRelays runs f for two ends in one guest and in the guests of two loops.
func onRelays(t *testing.T, o options, f func(t *testing.T, e *ends)) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			o := o
			o.shards = shards
			inWorld(t, o, func(t *testing.T, w *world) {
				e := &ends{from: w.shards[shards-1], to: w.shards[0]}
				upgrades(e.from.guest)
				e.to.fetch(key(0, "asker"), nil).got(e.to.firstAnswer()...)
				e.ib = e.to.guest.Last()
				e.to.take()
				e.to.on(func() {
					e.to.guest.Ask(e.ib, guest.Target{ID: key(byte(shards-1), "asked").ID}, &guest.Request{Method: "GET", URL: "http://x/tag"})
				})
				has(t, e.to.guest, "response 1 101 socket "+guesttest.Socket(e.far()))
				e.ia = e.from.guest.Last()
				e.from.take()
				e.to.take()
				f(t, e)
				wantNothingLeft(t, w)
			})
		})
	}
}

// firstAnswer is what a request is answered with by the guests of onRelays.
func (s *shard) firstAnswer() []string {
	if s.guest.OnRequest != nil { // it upgrades every request
		return []string{"response 101 socket " + guesttest.Socket(dormouse.SocketID(s.guest.Number)<<32|3)}
	}
	return []string{"response 200"}
}

// far is the end that was passed on: the last that the asked guest has made.
func (e *ends) far() dormouse.SocketID {
	if e.a == 0 {
		n := dormouse.SocketID(2)
		if e.from == e.to {
			n = 4
		}
		e.a = dormouse.SocketID(e.from.guest.Number)<<32 | n
		e.b = e.a.Peer()
	}
	return e.b
}

// open has b accepted as a standard socket.
func (e *ends) open() { e.to.on(func() { e.ib.Open(e.b) }) }

func TestRelayOfMessages(t *testing.T) {
	onRelays(t, options{}, func(t *testing.T, e *ends) {
		e.from.on(func() { e.from.guest.Send(e.a, "before anybody took b") })
		e.open()
		e.to.on(func() {
			e.to.guest.Send(e.b, "hello")
			e.to.guest.Host.Broadcast(e.to.guest, ids{e.b}, false, []byte("all"))
		})
		e.from.on(func() { e.from.guest.Send(e.a, "hello yourself") })
		has(t, e.to.guest, "message "+guesttest.Socket(e.b)+" text before anybody took b", "message "+guesttest.Socket(e.b)+" text hello yourself")
		has(t, e.from.guest, "message "+guesttest.Socket(e.a)+" text hello", "message "+guesttest.Socket(e.a)+" binary all")
	})
}

// TestRelayWakes: the end that an object has is hibernatable whoever has the other.
func TestRelayWakes(t *testing.T) {
	onRelays(t, options{}, func(t *testing.T, e *ends) {
		e.open()
		e.to.on(func() { e.ib.Tasks(1) })
		e.from.on(func() {
			e.from.guest.Host.AutoResponse(e.from.guest, e.ia.Object, &guest.Pair{Request: "ping", Response: "pong"})
		})
		sleep(hibernateAfter)
		e.from.take()
		e.to.on(func() { e.to.guest.Send(e.b, "ping") })
		has(t, e.to.guest, "message "+guesttest.Socket(e.b)+" text pong")
		if e.from != e.to {
			e.from.heard()
		}
		e.to.on(func() { e.to.guest.Send(e.b, "wake up") })
		has(t, e.from.guest, "message "+guesttest.Socket(e.a)+" text wake up")
	})
}

// TestRelayCloses both ways, and forgets both ends.
func TestRelayCloses(t *testing.T) {
	onRelays(t, options{}, func(t *testing.T, e *ends) {
		e.open()
		e.from.on(func() { e.from.guest.Host.Close(e.from.guest, e.a, 4000, "first") })
		has(t, e.to.guest, `closed `+guesttest.Socket(e.b)+` 4000 "first" clean`)
		e.to.on(func() { e.to.guest.Host.Close(e.to.guest, e.b, 4001, "second") })
		has(t, e.from.guest, `closed `+guesttest.Socket(e.a)+` 4001 "second" clean ended`)
		e.wantNoSockets(t)
	})
	onRelays(t, options{autoReply: true}, func(t *testing.T, e *ends) {
		e.open()
		e.to.on(func() { e.to.guest.Host.Close(e.to.guest, e.b, 0, "") })
		has(t, e.from.guest, `closed `+guesttest.Socket(e.a)+` 1005 "" clean ended`)
		has(t, e.to.guest, `closed `+guesttest.Socket(e.b)+` 1005 "" clean ended`)
		e.wantNoSockets(t)
	})
}

func (e *ends) wantNoSockets(t *testing.T) {
	t.Helper()
	for _, s := range e.from.shards {
		var n int
		s.on(func() { n = s.registry.Counts().Sockets })
		if e.from == e.to {
			n-- // the socket that answered the first request was taken by nobody
		}
		if n != 0 {
			t.Errorf("a registry holds %d sockets, want none", n)
		}
	}
}

// TestRelayEnds: whatever ends one end, the other hears of it.
func TestRelayEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(e *ends)
		want string // at b
	}{
		"a is released":      {func(e *ends) { e.from.on(func() { e.from.guest.Host.Release(e.from.guest, e.a) }) }, lost},
		"a's object aborts":  {func(e *ends) { e.from.on(func() { e.ia.Abort("enough") }) }, lost},
		"b is answered late": {func(e *ends) { e.from.on(func() { e.from.guest.Host.Close(e.from.guest, e.a, 1000, "") }) }, `1000 "" clean`},
	} {
		t.Run(name, func(t *testing.T) {
			onRelays(t, options{}, func(t *testing.T, e *ends) {
				e.open()
				c.end(e)
				has(t, e.to.guest, "closed "+guesttest.Socket(e.b)+" "+c.want)
				e.to.on(func() { e.to.guest.Host.Close(e.to.guest, e.b, 1000, "") })
				e.to.on(func() { e.to.guest.Send(e.b, "nobody hears this") })
				e.wantNoSockets(t)
			})
			onRelays(t, options{}, func(t *testing.T, e *ends) { // before b is taken
				c.end(e)
				e.open()
				has(t, e.to.guest, "closed "+guesttest.Socket(e.b)+" "+c.want)
			})
		})
	}
}

// TestRelayOfAnEndThatIsNotTaken: whoever has the other end hears of it.
func TestRelayOfAnEndThatIsNotTaken(t *testing.T) {
	onRelays(t, options{}, func(t *testing.T, e *ends) {
		e.to.on(func() { e.to.guest.Host.Release(e.to.guest, e.b) })
		has(t, e.from.guest, "closed "+guesttest.Socket(e.a)+" "+lost)
		e.wantNoSockets(t)
	})
}

// TestRelayWithoutItsInstance: the instance that had the standard end has gone.
// It is closed with 1012, and the other side may answer that or not.
func TestRelayWithoutItsInstance(t *testing.T) {
	for _, answers := range []bool{true, false} {
		onRelays(t, options{autoReply: answers, handshake: hibernateAfter}, func(t *testing.T, e *ends) {
			e.open()
			e.to.on(func() { e.ib.Leave(); e.to.guest.Host.Asleep(e.to.guest, e.ib.Object) })
			has(t, e.from.guest, "closed "+guesttest.Socket(e.a)+` 1012 "" clean`+map[bool]string{true: " ended"}[answers])
			sleep(2 * hibernateAfter)
			e.wantNoSockets(t)
		})
	}
}

// TestRelayOfALateAccept: the guest that made the pair may take its end after the
// other one has spoken.
func TestRelayOfALateAccept(t *testing.T) {
	inWorld(t, options{shards: 2}, func(t *testing.T, w *world) {
		from, to := w.shards[1], w.shards[0]
		a, b := from.guest.Pair()
		from.guest.OnRequest = func(_ *guesttest.Instance, x guest.Exchange, _ *guest.Request) {
			from.guest.Peer().Response(x, &guest.Response{Status: 101, Socket: b})
		}
		to.fetch(key(0, "asker"), nil)
		ib := to.guest.Last()
		to.on(func() { to.guest.Ask(ib, guest.Target{ID: key(1, "asked").ID}, get()) })
		to.on(func() {
			ib.Open(b)
			to.guest.Send(b, "one")
			to.guest.Send(b, "two")
			to.guest.Host.Close(to.guest, b, 4000, "bye")
		})
		from.take()
		from.on(func() { from.guest.Last().Accept(a) })
		from.heard("message 2.2 text one", "message 2.2 text two", `closed 2.2 4000 "bye" clean`)
		from.on(func() { from.guest.Host.Close(from.guest, a, 4000, "") })
		has(t, to.guest, `closed 2.3 4000 "" clean ended`)
		for _, s := range w.shards {
			if n := s.registry.Counts().Sockets; n != 0 {
				t.Errorf("a registry holds %d sockets, want none", n)
			}
		}
	})
}

// TestRelayHasABound: what nobody takes does not grow for ever.
func TestRelayHasABound(t *testing.T) {
	onRelays(t, options{outbound: 1 << 10}, func(t *testing.T, e *ends) {
		e.from.on(func() {
			for range 100 {
				e.from.guest.Send(e.a, string(make([]byte, 100)))
			}
		})
		has(t, e.from.guest, "errored "+guesttest.Socket(e.a)+" WebSocket closed because the client does not read: too many bytes wait to be sent.")
		e.open()
		has(t, e.to.guest, "closed "+guesttest.Socket(e.b)+" "+lost)
	})
}

// TestAttachToAnEndThatIsGone: a client that comes too late is turned away.
func TestAttachToAnEndThatIsGone(t *testing.T) {
	for name, end := range map[string]func(s *shard){
		"abort":          func(s *shard) { s.guest.Last().Abort("enough") },
		"release":        func(s *shard) { s.guest.Host.Release(s.guest, 1<<32|2) },
		"taken already":  func(s *shard) { s.attachLater(1<<32 | 3) },
		"too much waits": func(s *shard) { s.guest.Send(1<<32|2, string(make([]byte, 17<<20))) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				s := w.one()
				upgrades(s.guest)
				a := s.fetch(key(0, "lobby"), nil)
				s.on(func() { end(s) })
				if err := s.tryAttach(a.head.Socket); err == nil {
					t.Error("the client is connected to nobody")
				}
			})
		})
	}
}
