package host_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
)

// TestSendsWaitForTheCommitBeforeThem and for no other, and keep their order
// with Close and across sockets.
func TestSendsWaitForTheCommitBeforeThem(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			g.Send(a.server, "before")
			i.Commit()
			g.Send(a.server, "after")
			g.Host.Broadcast(g, ids{a.server, b.server}, true, []byte("to all"))
			i.Commit()
			g.Send(b.server, "last")
			g.Host.Close(g, b.server, 4001, "done")
		})
		a.gets("before")
		b.gets()
		s.sync(1, nil)
		a.gets("after", "to all")
		b.gets("to all")
		s.sync(1, nil)
		b.gets("last", "close 4001 done")
		s.on(func() { g.Send(a.server, "free") })
		a.gets("free")
	})
}

type ids []dormouse.SocketID

func (l ids) Len() int                   { return len(l) }
func (l ids) At(i int) dormouse.SocketID { return l[i] }

func TestAnswersWaitForTheCommit(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		whole, failed := s.fetch(k, nil), s.fetch(k, nil)
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			g.Turn()
			i.Commit()
			g.Peer().Response(2, &guest.Response{Status: 200, HasBody: true})
			g.Peer().Body(2, []byte("one"))
		})
		whole.got()
		s.on(func() {
			i.Commit()
			g.Peer().Body(2, []byte("two"))
			g.Peer().BodyEnd(2)
			g.Peer().Failure(4, &dormouse.Error{Message: "boom"})
		})
		s.sync(1, nil)
		whole.got("response 200", "body one")
		failed.got()
		s.sync(1, nil)
		whole.got("body two", "end")
		failed.got("failure boom")
	})
}

// TestAsksWaitForTheCommit: what another object is told is an output as well.
func TestAsksWaitForTheCommit(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s := w.one()
		s.fetch(key(0, "asker"), nil)
		i, g := s.guest.Last(), s.guest
		s.heard("start 1", "request 2 of 1 GET http://x/")
		s.on(func() {
			i.Commit()
			x := g.Ask(i, target("asked"), post())
			g.Peer().Body(x, []byte("chunk"))
			g.Peer().BodyEnd(x)
		})
		s.heard()
		s.sync(1, nil)
		s.heard("start 2", "request 4 of 2 POST http://x/", "body 4 chunk", "body-end 4", "response 1 200")
	})
}

// TestBodiesOfAsksWaitForTheCommit: each part of a streamed one for itself.
func TestBodiesOfAsksWaitForTheCommit(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s := w.one()
		s.fetch(key(0, "asker"), nil)
		i, g := s.guest.Last(), s.guest
		s.heard("start 1", "request 2 of 1 GET http://x/")
		var x guest.Exchange
		s.on(func() {
			x = g.Ask(i, target("asked"), post())
			g.Peer().Body(x, []byte("free"))
			i.Commit()
			g.Peer().Body(x, []byte("held"))
		})
		s.heard("start 2", "request 4 of 2 POST http://x/", "body 4 free", "response 1 200")
		s.on(func() {
			i.Commit()
			g.Peer().BodyEnd(x)
		})
		s.sync(1, nil)
		s.heard("body 4 held")
		s.sync(1, nil)
		s.heard("body-end 4")
	})
}

// target is an object of the only binding.
func target(name string) guest.Target { return guest.Target{ID: key(0, name).ID} }

// TestUnconfirmedCommitsHoldNothing back.
func TestUnconfirmedCommitsHoldNothing(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			i.Commits++
			g.Host.Commit(g, i.Object, i.Commits, true)
			g.Send(c.server, "at once")
		})
		c.gets("at once")
		s.sync(1, nil)
	})
}

// TestAwaitDurable is what storage.sync() needs.
func TestAwaitDurable(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.connect(k, "amy")
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			g.Host.AwaitDurable(g, i.Object, 0)
			i.Commit()
			i.Commit()
			g.Host.AwaitDurable(g, i.Object, 1)
			for range 1000 {
				g.Host.AwaitDurable(g, i.Object, 2)
			}
		})
		s.heard("durable 1 0")
		s.sync(1, nil)
		s.heard("durable 1 1")
		s.sync(1, nil)
		s.heard("durable 1 2") // once is enough for all who asked
		s.on(func() { g.Host.AwaitDurable(g, i.Object, 1) })
		s.heard("durable 1 1")
	})
}

// TestCommitsAreCounted: a number that is missing means that a frame was lost.
func TestCommitsAreCounted(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.connect(k, "amy")
		i, g := s.guest.Last(), s.guest
		s.on(func() { g.Host.Commit(g, i.Object, 2, false) })
		if g.Broken == nil {
			t.Error("commit 2 came without commit 1, and the guest was believed")
		}
		g.Broken = nil
		s.on(func() { g.Host.AwaitDurable(g, i.Object, 9) })
		if g.Broken == nil {
			t.Error("commit 9 is waited for, and the guest was believed")
		}
	})
}

// TestAutoResponseDoesNotOvertake what its socket has waiting, but passes what
// others have. Semantics, section 2.5.
func TestAutoResponseDoesNotOvertake(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			g.Host.AutoResponse(g, i.Object, &guest.Pair{Request: "ping", Response: "pong"})
			i.Commit()
			g.Send(a.server, "held")
		})
		a.say("ping")
		b.say("ping")
		a.gets()
		b.gets("pong")
		s.sync(1, nil)
		a.gets("held", "pong")
		a.say("ping")
		a.gets("pong")
	})
}

// TestAutoReplyToCloseDoesNotOvertake either.
func TestAutoReplyToCloseDoesNotOvertake(t *testing.T) {
	inWorld(t, options{disk: true, autoReply: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			i.Commit()
			g.Send(c.server, "held")
		})
		c.close(1000, "bye")
		c.gets()
		s.heard(`closed 1.2 1000 "bye" clean ended`)
		s.sync(1, nil)
		c.gets("held", "close 1000 bye", "end")
	})
}

// TestFailedCommitResets: what waited is never said, sockets end without Close,
// calls fail, and the next instance begins.
func TestFailedCommitResets(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.auto(false)
		held, later := s.fetch(k, nil), s.fetch(k, nil)
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			i.Commit()
			g.Send(c.server, "never")
			g.Respond(4, 200, "never")
			i.Commit()
		})
		s.take()
		s.sync(1, errDisk)
		const text = "Durable Object storage failed, and the object was reset: no space left on device"
		held.got("failure " + text + " retryable reset")
		later.got("failure " + text + " retryable reset")
		c.gets("end")
		s.heard("close-database 1", "reset 1 "+text)
		s.wantState(k, "broken")
		s.sync(1, errDisk) // one reset is enough
		s.heard()

		next := s.fetch(k, nil)
		s.heard()
		s.on(func() { i.Leave(); g.Host.Asleep(g, i.Object) })
		s.heard("start 2", "request 8 of 2 GET http://x/")
		s.on(func() { g.Respond(8, 200, "") })
		next.got("response 200")
	})
}

// TestABrokenObjectSaysNothing: what it says before it hears of its reset came
// from a state that is not on disk. It must not leave although nothing waits
// any more.
func TestABrokenObjectSaysNothing(t *testing.T) {
	inWorld(t, options{disk: true, keep: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.auto(false)
		i, g := s.guest.Last(), s.guest
		std, far := g.Pair()
		var standard *client
		s.on(func() { i.Open(std) })
		standard = s.attach(far)
		s.on(func() {
			g.Host.AutoResponse(g, i.Object, &guest.Pair{Request: "ping", Response: "pong"})
			i.Commit()
			g.Send(c.server, "held")
		})
		s.sync(1, errDisk)
		s.take()
		s.on(func() { // it does not know yet
			g.Send(c.server, "never")
			g.Host.Broadcast(g, ids{c.server}, true, []byte("never"))
			g.Send(std, "never")
			g.Host.Close(g, c.server, 4000, "never")
			g.Ask(i, target("other"), get())
			i.Commit()
			g.Send(c.server, "never")
		})
		s.sync(1, nil)
		c.say("ping")
		c.gets("pong")
		s.heard()
		s.on(func() { i.Leave(); g.Host.Asleep(g, i.Object) })
		standard.gets("close 1012 ")

		c.say("hello")
		s.heard("start 2 pair=ping/pong [1.2 tags=amy stamp=00.000]", "message 1.2 text hello")
		s.on(func() { g.Send(c.server, "fresh") })
		c.gets("fresh")
	})
}

// TestCommitFailsAfterTheInstanceHasGone: the gate must not stay shut, and the
// sockets must not go on as if what was said had been kept.
func TestCommitFailsAfterTheInstanceHasGone(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inWorld(t, options{disk: true, keep: keep}, func(t *testing.T, w *world) {
			s, k := w.one(), key(0, "lobby")
			c := s.connect(k, "amy")
			i, g := s.guest.Last(), s.guest
			s.on(func() {
				g.Host.AutoResponse(g, i.Object, &guest.Pair{Request: "ping", Response: "pong"})
				i.Commit()
				g.Send(c.server, "never")
			})
			sleep(hibernateAfter)
			s.wantState(k, "hibernated")
			s.sync(1, errDisk)
			if !keep {
				c.gets("end")
				s.wantState(k, "unknown")
				return
			}
			c.say("ping")
			c.gets("pong")
			c.say("hello")
			s.on(func() { g.Send(c.server, "fresh") })
			c.gets("fresh")
		})
	}
}

// TestActivationOverAWALStartsClosed: an earlier instance may have died between
// its commit and our hearing of it. Finding 2.
func TestActivationOverAWALStartsClosed(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.disk.manual = true
		a := s.fetch(k, nil)
		a.got()
		s.sync(1, nil)
		a.got("response 200")

		s.disk.manual = false
		c := s.connect(k, "amy")
		sleep(hibernateAfter)
		s.on(func() { s.guest.Host.DatabaseClosed(s.guest, 1) })
		s.disk.manual = true
		s.take()
		c.say("hello")
		s.heard("start 2 [1.2 tags=amy]", "message 1.2 text hello")
		s.on(func() { s.guest.Send(c.server, "reply") })
		c.gets()
		s.sync(1, nil)
		c.gets("reply")
		if s.disk.opened != 2 || s.disk.closed != 1 {
			t.Errorf("opened %d and closed %d times, want 2 and 1", s.disk.opened, s.disk.closed)
		}
	})
}

// TestAwaitDurableWaitsForWhatWasThere: what an earlier instance has left may not be
// durable, and what a guest says past the host waits for no more than this answer.
func TestAwaitDurableWaitsForWhatWasThere(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.disk.manual = true
		s.fetch(k, nil)
		i, g := s.guest.Last(), s.guest
		s.heard("start 1", "request 2 of 1 GET http://x/")
		s.on(func() { g.Host.AwaitDurable(g, i.Object, 0) })
		s.heard()
		s.sync(1, nil)
		s.heard("durable 1 0")
	})
}

// TestOutputsOfADeadGuestLeaveWhenDurable: they were said, and nothing that they
// tell is lost: messages, and answers that were given whole. What was asked of
// others is not asked any more.
func TestOutputsOfADeadGuestLeaveWhenDurable(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.auto(false)
		whole, half, none := s.fetch(k, nil), s.fetch(k, nil), s.fetch(k, nil)
		i, g := s.guest.Last(), s.guest
		s.on(func() {
			i.Commit()
			g.Send(c.server, "said")
			x := g.Ask(i, target("other"), post())
			g.Peer().Body(x, []byte("chunk"))
			g.Respond(4, 200, "all of it")
			g.Peer().Response(6, &guest.Response{Status: 200, HasBody: true})
			g.Peer().Body(6, []byte("a part"))
			g.Die(errors.New("crashed"))
		})
		next := s.newGuest(true)
		c.gets()
		whole.got()
		const gone = "failure The process that ran this Durable Object ended, and the object was reset. retryable reset"
		half.got(gone)
		none.got(gone)
		s.sync(1, nil)
		c.gets("said")
		whole.got("response 200", "body all of it", "end")
		s.heardBy(next)
		c.say("hello")
		s.heardBy(next, "start 1 [1.2 tags=amy]", "message 1.2 text hello")
	})
}

// TestAnswersOutliveTheInstance: one that was given whole waits for the disk
// alone, whatever ends the instance that gave it; if the disk fails it fails too.
func TestAnswersOutliveTheInstance(t *testing.T) {
	ends := map[string]func(*shard, *guesttest.Guest, *guesttest.Instance){
		"hibernates": func(s *shard, _ *guesttest.Guest, _ *guesttest.Instance) { sleep(hibernateAfter) },
		"moves": func(s *shard, g *guesttest.Guest, _ *guesttest.Instance) {
			s.newGuest(true)
			s.on(func() { s.host.Retire(g, 0, func() {}) })
			sleep(1)
		},
		"dies": func(s *shard, g *guesttest.Guest, _ *guesttest.Instance) {
			s.on(func() { g.Die(errors.New("crashed")) })
		},
	}
	for name, end := range ends {
		for _, fails := range []error{nil, errDisk} {
			t.Run(fmt.Sprint(name, ", ", fails), func(t *testing.T) {
				inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
					s, k := w.one(), key(0, "lobby")
					s.auto(false)
					a := s.fetch(k, post())
					i, g := s.guest.Last(), s.guest
					s.on(func() {
						g.Turn()
						i.Commit()
						g.Respond(2, 200, "kept")
						g.Peer().Cancel(2, "read enough")
					})
					s.auto(true)
					end(s, g, i)
					if s.state(k) == "active" || s.state(k) == "idle" {
						t.Fatalf("the object is %s, want it to be gone", s.state(k))
					}
					s.sync(1, fails)
					if fails != nil {
						a.got("body not wanted", "failure Durable Object storage failed, and the object was reset: no space left on device retryable reset")
						return
					}
					a.got("body not wanted", "response 200", "body kept", "end")
					s.wantState(k, "unknown")
				})
			})
		}
	}
}

// TestGateHasABound: an object that says more than may wait is reset.
func TestGateHasABound(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		i, g := s.guest.Last(), s.guest
		big := string(make([]byte, 1<<20))
		s.on(func() {
			i.Commit()
			for range 70 {
				g.Send(c.server, big)
			}
		})
		s.heard("reset 1 Durable Object was reset: too much output waits for the disk.")
		c.gets("end")
		s.sync(1, nil)
		sleep(time.Second)
		c.gets("end")
	})
}

// TestSocketOfAnAnswerThatNeverLeaves: the other end hears that nobody comes.
func TestSocketOfAnAnswerThatNeverLeaves(t *testing.T) {
	inWorld(t, options{disk: true, keep: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		a := s.fetch(k, nil)
		i, g := s.guest.Last(), s.guest
		server, far := g.Pair()
		s.on(func() {
			i.Accept(server)
			i.Commit()
			g.Peer().Response(2, &guest.Response{Status: 101, Socket: far})
		})
		s.sync(1, errDisk)
		a.got("failure Durable Object storage failed, and the object was reset: no space left on device retryable reset")
		s.take()
		s.on(func() { i.Leave(); g.Host.Asleep(g, i.Object) })
		s.heard("start 2 [1.2 peer-closed]", `closed 1.2 1006 "WebSocket disconnected without sending Close frame." ended`)
	})
}

// TestAutoResponseKeepsTheOrderOfItsSocket: an answer given here does not
// overtake one to an earlier message that the guest has not begun.
func TestAutoResponseKeepsTheOrderOfItsSocket(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		i, g := s.guest.Last(), s.guest
		g.OnMessage = func(_ *guesttest.Instance, id dormouse.SocketID, _ bool, text string) { g.Send(id, "to "+text) }
		s.on(func() {
			g.Host.AutoResponse(g, i.Object, &guest.Pair{Request: "ping", Response: "pong"})
			g.Auto = false
		})
		a.say("first")
		a.say("ping")
		a.say("second")
		b.say("ping")
		a.gets()
		b.gets("pong")
		s.on(g.Turn)
		a.gets("to first", "pong")
		s.on(g.Turn)
		a.gets("to second")
	})
}

// TestSettingsOutliveTheInstance also when there is no socket.
func TestSettingsOutliveTheInstance(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.fetch(k, nil)
		s.on(func() { s.guest.Host.EventTimeout(s.guest, s.guest.Last().Object, time.Minute); s.guest.Take() })
		sleep(hibernateAfter)
		s.wantState(k, "inactive")
		s.take()
		s.fetch(k, nil)
		s.heard("start 2 timeout=1m0s", "request 4 of 2 GET http://x/")
	})
}

// TestCloseBehindACommitIsKnownToTheNextInstance: a socket is closed for its
// object from the moment it has said so, also while the Close waits for the
// disk.
func TestCloseBehindACommitIsKnownToTheNextInstance(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		i := s.guest.Last()
		s.on(func() {
			i.Commit()
			s.guest.Host.Close(s.guest, c.server, 4000, "bye")
		})
		sleep(hibernateAfter)
		s.take()
		c.say("hello")
		s.heard("start 2 [1.2 we-closed tags=amy]", "message 1.2 text hello")
		s.sync(1, nil)
		c.gets("close 4000 bye")
	})
}
