package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

func TestBodiesBothWays(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		a := s.fetch(k, post())
		a.asker.Body([]byte("one"))
		s.heard("start 1", "request 2 of 1 POST http://x/", "body 2 one")
		g := s.guest
		s.on(func() {
			g.Peer().Credit(2, 3)
			g.Peer().Response(2, &guest.Response{Status: 200, HasBody: true})
			g.Peer().Body(2, []byte("eno"))
		})
		a.got("credit 3", "response 200", "body eno")
		a.asker.Credit(3)
		a.asker.Body([]byte("two"))
		a.asker.BodyEnd()
		s.heard("credit 2 3", "body 2 two", "body-end 2")
		s.on(func() { g.Peer().BodyEnd(2) })
		a.got("end")
		// All that follows crossed.
		a.asker.Body([]byte("late"))
		a.asker.Credit(1)
		a.asker.Cancel("late")
		s.on(func() {
			g.Peer().Body(2, []byte("late"))
			g.Peer().Credit(2, 1)
			g.Peer().Cancel(2, "late")
			g.Peer().Failure(2, &dormouse.Error{Message: "late"})
		})
		a.got()
		s.heard()
	})
}

// TestWhatIsSaidBeforeDelivery reaches the guest with the request.
func TestWhatIsSaidBeforeDelivery(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		s.auto(false)
		s.on(func() { s.guest.Die(nil) })
		a := s.fetch(key(0, "lobby"), post())
		a.asker.Body([]byte("one"))
		a.asker.Credit(5)
		a.asker.BodyEnd()
		b := &answer{s: s}
		b.asker = s.host.FetchWorker(post(), b)
		b.asker.BodyAbort("tired")
		s.newGuest(false)
		s.heard("start 1", "request 2 of 1 POST http://x/", "body 2 one", "credit 2 5", "body-end 2",
			"request 4 of 0 POST http://x/", "body-abort 4 tired")
	})
}

// TestAnswerBeforeTheRequestsBodyEnds: each half ends on its own, and to say an
// end twice is to say it once.
func TestAnswerBeforeTheRequestsBodyEnds(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		early := s.fetch(k, post())
		g := s.guest
		s.on(func() { g.Respond(2, 200, "early") })
		early.got("response 200", "body early", "end")
		early.asker.Body([]byte("chunk"))
		early.asker.BodyEnd()
		s.heard("start 1", "request 2 of 1 POST http://x/", "body 2 chunk", "body-end 2")

		// The guest refuses the body while its end is on the way.
		refused := s.fetch(k, post())
		s.on(func() { g.Peer().Cancel(4, "no more") })
		refused.got("body not wanted")
		refused.asker.BodyAbort("stopped")
		refused.asker.BodyEnd()
		s.heard("request 4 of 1 POST http://x/")
		s.on(func() { g.Respond(4, 413, "") })
		refused.got("response 413")

		// The answer is whole, and the rest of the body will not be read.
		half := s.fetch(k, post())
		s.on(func() {
			g.Respond(6, 200, "")
			g.Peer().Cancel(6, "enough")
		})
		half.got("response 200", "body not wanted")

		// The end of the object is an end of the body, too.
		cut := s.fetch(k, post())
		s.on(func() { g.Respond(8, 200, "") })
		s.on(func() { s.guest.Last().Abort("broken") })
		cut.got("response 200", "body not wanted")
	})
}

func TestCancel(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		inside := s.fetch(k, nil)
		inside.asker.Cancel("the client left")
		s.heard("start 1", "request 2 of 1 GET http://x/", "cancel 2 the client left")
		s.on(func() { s.guest.Respond(2, 200, "late") })
		inside.got()

		held := s.fetch(k, nil)
		i := s.guest.Last()
		server, far := s.guest.Pair()
		s.on(func() {
			i.Accept(server)
			i.Commit()
			s.guest.Peer().Response(4, &guest.Response{Status: 101, Socket: far})
		})
		s.take()
		held.asker.Cancel("the client left")
		s.heard("cancel 4 the client left", `closed 1.2 1006 "WebSocket disconnected without sending Close frame." ended`)
		s.sync(1, nil)
		held.got()

		s.on(func() { s.guest.Die(nil) })
		waiting := s.fetch(k, nil)
		waiting.asker.Cancel("before anybody had it")
		s.newGuest(false)
		s.heard("start 1", "request 2 of 1 GET http://x/", "cancel 2 canceled")
		waiting.got()
	})
}

// TestAGuestKeepsToItsCredit: what it may not send it does not get rid of here.
func TestAGuestKeepsToItsCredit(t *testing.T) {
	for _, c := range []struct {
		name  string
		allow uint32
		send  int
		fine  bool
	}{
		{"all of the first credit", 0, guest.Credit, true},
		{"a byte more", 0, guest.Credit + 1, false},
		{"what was granted", 1000, guest.Credit + 1000, true},
		{"more than was granted", 1000, guest.Credit + 1001, false},
	} {
		for _, asked := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " asked ", asked), func(t *testing.T) {
				inWorld(t, options{}, func(t *testing.T, w *world) {
					s, g := w.one(), w.one().guest
					s.auto(false)
					a := s.fetch(key(0, "lobby"), nil)
					x := guest.Exchange(2)
					s.on(func() { g.Peer().Response(2, &guest.Response{Status: 200, HasBody: true}) })
					a.asker.Credit(c.allow)
					if !asked {
						s.on(func() {
							x = g.Ask(g.Last(), target("other"), post())
						})
						s.on(func() { g.Peer().Credit(4, c.allow) })
					}
					s.on(func() {
						for n := c.send; n > 0 && g.Broken == nil; n -= guest.MaxChunk {
							g.Peer().Body(x, make([]byte, min(n, guest.MaxChunk)))
						}
					})
					if fine := g.Broken == nil; fine != c.fine {
						t.Errorf("broken: %v", g.Broken)
					}
				})
			})
		}
	}
}

// TestFramesOutOfOrderEndTheGuest, and none of them ends us.
func TestFramesOutOfOrder(t *testing.T) {
	for name, say := range map[string]func(g *guesttest.Guest){
		"body before response": func(g *guesttest.Guest) { g.Peer().Body(2, []byte("x")) },
		"two responses":        func(g *guesttest.Guest) { g.Peer().Response(2, body()); g.Peer().Response(2, body()) },
		"even exchange":        func(g *guesttest.Guest) { g.Host.Ask(g, 8, 0, target("a"), get()) },
		"exchange begun twice": func(g *guesttest.Guest) {
			g.Host.Ask(g, 1, 0, target("a"), post())
			g.Host.Ask(g, 1, 0, target("a"), get())
		},
		"namespace that is not":     func(g *guesttest.Guest) { g.Host.Ask(g, 1, 0, guest.Target{Index: 1}, post()) },
		"more finished than begun":  func(g *guesttest.Guest) { g.Host.Progress(g, 1, guest.Progress{Finished: 1}) },
		"more begun than delivered": func(g *guesttest.Guest) { g.Host.Progress(g, 1, guest.Progress{Started: 7}) },
		"socket accepted twice": func(g *guesttest.Guest) {
			s, _ := g.Pair()
			g.Last().Accept(s)
			g.Last().Accept(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				s := w.one()
				s.auto(false)
				s.fetch(key(0, "lobby"), nil)
				s.on(func() { say(s.guest) })
				if s.guest.Broken == nil {
					t.Error("the guest was believed")
				}
				s.on(func() { // whatever it goes on to say
					p := s.guest.Peer()
					for x := range guest.Exchange(5) {
						p.Body(x, []byte("x"))
						p.BodyEnd(x)
						p.Credit(x, 1)
						p.BodyAbort(x, "")
						p.Cancel(x, "")
						p.Failure(x, &dormouse.Error{})
						p.Response(x, body())
						s.guest.Host.Done(s.guest, x)
					}
					s.guest.Die(nil)
				})
			})
		})
	}
}

func body() *guest.Response { return &guest.Response{Status: 200, HasBody: true} }

// TestFramesForNobody: whatever a guest says of objects, sockets and exchanges
// that are not there has crossed their end.
func TestFramesForNobody(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, g := w.one(), w.one().guest
		s.on(func() {
			h := g.Host
			h.Started(g, 9, 1)
			h.StartFailed(g, 9, &dormouse.Error{})
			h.Progress(g, 9, guest.Progress{Started: 1})
			h.Aborted(g, 9, &dormouse.Error{}, guest.Abort{})
			h.Asleep(g, 9)
			h.Awake(g, 9)
			h.Report(g, 9, nil)
			h.Send(g, 99, true, nil)
			h.Broadcast(g, ids{98, 99}, true, nil)
			h.Close(g, 99, 1000, "")
			h.Accept(g, 9, 98, nil)
			h.Attachment(g, 99, nil)
			h.AutoResponse(g, 9, nil)
			h.EventTimeout(g, 9, 1)
			h.Open(g, 98, 9)
			h.Release(g, 98)
			h.Commit(g, 9, 1, false)
			h.AwaitDurable(g, 9, 1)
			h.Ask(g, 1, 9, target("a"), get())
			h.Done(g, 8)
		})
		s.heard()
		if n := s.known(); n != 0 {
			t.Errorf("%d objects are known, want none", n)
		}
	})
}

// TestAsksBetweenObjects: within a guest, between shards, and in order.
func TestAsksBetweenObjects(t *testing.T) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			inWorld(t, options{shards: shards}, func(t *testing.T, w *world) {
				from, to := w.shards[0], w.shards[shards-1]
				var order []string
				for _, s := range w.shards {
					s.guest.OnRequest = func(i *guesttest.Instance, x guest.Exchange, r *guest.Request) {
						if r.Method == "GET" {
							order = append(order, r.URL)
						}
						s.guest.Respond(x, 200, strings.ToUpper(r.URL))
					}
				}
				from.fetch(key(0, "asker"), post())
				asker := from.guest.Last()
				from.take()
				dest := guest.Target{ID: key(byte(shards-1), "asked").ID, HasName: true, Name: "asked"}
				var want []string
				from.on(func() {
					for n := range 20 {
						url := fmt.Sprint("http://x/", n)
						want = append(want, url)
						from.guest.Ask(asker, dest, &guest.Request{Method: "GET", URL: url})
					}
				})
				same(t, "order of arrival", order, want)
				if to.guest.Last().Name != "asked" {
					t.Errorf("the object is called %q", to.guest.Last().Name)
				}
				heard := from.take()
				if shards == 1 {
					heard = heard[21:]
				}
				same(t, "the first answer", heard[:3], []string{"response 1 200 body", "body 1 HTTP://X/0", "body-end 1"})
				if len(heard) != 60 {
					t.Errorf("%d lines of answers, want 60", len(heard))
				}
			})
		})
	}
}

// TestAsksStreamAndEnd: credit, cancel and failure pass both ways, and nothing is
// left of an exchange that has ended.
func TestAsksStreamAndEnd(t *testing.T) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			inWorld(t, options{shards: shards}, func(t *testing.T, w *world) {
				from, to := w.shards[0], w.shards[shards-1]
				a, b := from.guest, to.guest
				from.fetch(key(0, "asker"), nil)
				from.auto(false)
				to.auto(false)
				asker := a.Last()
				from.take()
				dest := guest.Target{ID: key(byte(shards-1), "asked").ID}
				ask := func() (x guest.Exchange) {
					from.on(func() { x = a.Ask(asker, dest, post()) })
					return x
				}
				x := ask()
				from.on(func() { a.Peer().Body(x, []byte("up")) })
				in := lastCall(b)
				to.on(func() {
					b.Peer().Credit(in, 2)
					b.Peer().Response(in, body())
					b.Peer().Body(in, []byte("down"))
				})
				from.on(func() { a.Peer().Credit(x, 4); a.Peer().BodyEnd(x) })
				to.on(func() { b.Peer().BodyAbort(in, "cut") })
				has(t, a, "credit 1 2", "response 1 200 body", "body 1 down", "body-abort 1 cut")
				has(t, b, fmt.Sprintf("body %d up", in), fmt.Sprintf("credit %d 4", in), fmt.Sprintf("body-end %d", in))

				x = ask()
				in = lastCall(b)
				from.on(func() { a.Peer().Cancel(x, "enough") })
				has(t, b, fmt.Sprintf("cancel %d enough", in))
				to.on(func() { b.Respond(in, 200, "late") })

				x = ask()
				in = lastCall(b)
				to.on(func() { b.Peer().Cancel(in, "no body") })
				from.on(func() { a.Peer().BodyEnd(x) })
				to.on(func() { b.Respond(in, 200, "") })
				has(t, a, fmt.Sprintf("cancel %d no body", x), fmt.Sprintf("response %d 200", x))

				x = ask()
				in = lastCall(b)
				to.on(func() { b.Peer().Failure(in, &dormouse.Error{Message: "boom", Remote: true}) })
				has(t, a, fmt.Sprintf("failure %d boom remote", x))
				for _, line := range from.take() {
					if strings.Contains(line, "late") {
						t.Errorf("after the end: %s", line)
					}
				}
				wantNothingLeft(t, w)
			})
		})
	}
}

// lastCall is the number of the last request that a guest has heard.
func lastCall(g *guesttest.Guest) (x guest.Exchange) {
	for _, line := range heardBy(g) {
		fmt.Sscanf(line, "request %d of", &x)
	}
	return x
}

// heardBy is what a guest has heard, which it remembers.
func heardBy(g *guesttest.Guest) (heard []string) {
	g.Loop.Call(func() { heard = slices.Clone(g.Heard) })
	return heard
}

// has checks that the lines were heard, in this order, among others.
func has(t *testing.T, g *guesttest.Guest, lines ...string) {
	t.Helper()
	heard, at := heardBy(g), 0
	for _, want := range lines {
		for ; at < len(heard) && heard[at] != want; at++ {
		}
		if at == len(heard) {
			t.Errorf("%q was not heard, or not in this order, in\n\t%s", want, strings.Join(heard, "\n\t"))
			return
		}
		at++
	}
}

// wantNothingLeft checks that no exchange is remembered.
func wantNothingLeft(t *testing.T, w *world) {
	t.Helper()
	for n, s := range w.shards {
		var calls, asks, queries int
		s.on(func() { calls, asks, queries = host.Pending(s.host) })
		if calls+asks+queries > 0 {
			t.Errorf("shard %d remembers %d calls, %d asks and %d queries", n, calls, asks, queries)
		}
	}
}

// TestAsksToOthers: assets and services are answered from outside.
func TestAsksToOthers(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		s.on(func() { s.guest.Ask(nil, guest.Target{Kind: guest.ToAssets}, get()) })
		s.heard("response 1 404")
		wantNothingLeft(t, w)
	})
}

// TestACallThatAsksItself must not wait for itself: the second request is an
// event like any other.
func TestACallThatAsksItself(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		s.guest.OnRequest = func(i *guesttest.Instance, x guest.Exchange, r *guest.Request) {
			if r.Method == "POST" {
				s.guest.Ask(i, target("lobby"), get())
			}
			s.guest.Respond(x, 200, "")
		}
		s.fetch(key(0, "lobby"), post()).got("response 200")
		s.heard("start 1", "request 2 of 1 POST http://x/", "request 4 of 1 GET http://x/", "response 1 200")
	})
}

// TestAlarmsOfOneObjectAnswerTheirOwn: an answer of an alarm that has a body does
// no harm.
func TestDoneOfARequest(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		a := s.fetch(k, nil)
		s.on(func() { s.guest.Host.Done(s.guest, 2) })
		a.got("response 0")
		wantNothingLeft(t, w)
	})
}
