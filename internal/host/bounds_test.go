package host_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/observe"
)

const busy = "failure Durable Object is overloaded. Too many requests queued. overloaded"

// events counts the messages that a guest has heard, and forgets them.
func events(s *shard) (n int) {
	s.on(func() {
		for _, line := range s.guest.Take() {
			if strings.HasPrefix(line, "message ") {
				n++
			}
		}
	})
	return n
}

// catchUp has the guest handle all there is, batch by batch, and counts the
// messages that it heard.
func catchUp(s *shard) (total int) {
	total = events(s)
	for n := 1; n > 0; total += n {
		s.on(s.guest.Turn)
		n = events(s)
	}
	return total
}

// TestAnObjectThatIsBehind is not read, and takes no requests, until it has
// caught up; sockets that come meanwhile wait like the others. Others go on.
func TestAnObjectThatIsBehind(t *testing.T) {
	inWorld(t, options{limits: host.Limits{MailEvents: 10}}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		late, lateFar := s.guest.Pair()
		s.on(func() { s.guest.Last().Accept(late) })
		other := s.connect(key(0, "other"), "cat")
		s.auto(false)
		lines := make([]string, 30)
		for n := range lines {
			lines[n] = fmt.Sprint(n)
		}
		a.say(lines...)
		b.say(lines...)
		if n := events(s); n != 11 {
			t.Errorf("%d events went to an object that may have 10 waiting", n)
		}
		c := s.attach(lateFar)
		c.say("late")
		other.say("hello")
		if n := events(s); n != 1 {
			t.Errorf("%d events of others, want 1", n)
		}
		s.fetch(k, nil).got(busy)
		if n := catchUp(s); n != 30+30+1-11 {
			t.Errorf("%d more messages arrived when it had caught up, want 50", n)
		}
		if i, _ := s.look(k); i.Mail != 0 {
			t.Errorf("%d events wait", i.Mail)
		}
	})
}

// TestManyMessagesAtOnce are counted as one by one: no more of them goes to an
// object than may wait for it, the rest comes when it has caught up, in order,
// and what has begun is known.
func TestManyMessagesAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		limits host.Limits
		most   int
	}{
		"events": {host.Limits{MailEvents: 10}, 11},
		"bytes":  {host.Limits{MailBytes: 40}, 21}, // of two bytes each
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{limits: c.limits}, func(t *testing.T, w *world) {
				s, k := w.one(), key(0, "lobby")
				s.on(func() { s.guest.NoLedger = true })
				a := s.connect(k, "amy")
				var got, want []string
				s.guest.OnMessage = func(_ *guesttest.Instance, _ guestSocket, _ bool, p string) { got = append(got, p) }
				for n := range 80 {
					want = append(want, fmt.Sprint(10+n))
				}
				s.auto(false)
				events(s)
				a.sayAtOnce(want...)
				if n := events(s); n != c.most {
					t.Errorf("%d messages went to the object, want %d", n, c.most)
				}
				if n := catchUp(s); n != len(want)-c.most {
					t.Errorf("%d more arrived when it had caught up, want %d", n, len(want)-c.most)
				}
				same(t, "the object heard", got, want)
				s.on(func() {
					if s.guest.Runs == 0 {
						t.Error("it was told each alone")
					}
					if v := s.host.Observed(); v.Events[0].Delivered[observe.Message] != uint64(len(want)) {
						t.Errorf("%d messages were counted, want %d", v.Events[0].Delivered[observe.Message], len(want))
					}
				})
			})
		})
	}
}

// TestEveryMessageArrives however often its object falls behind, in order.
func TestEveryMessageArrives(t *testing.T) {
	inWorld(t, options{limits: host.Limits{MailEvents: 3, MailBytes: 400}}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		var got []string
		s.guest.OnMessage = func(_ *guesttest.Instance, _ guestSocket, _ bool, p string) { got = append(got, p) }
		var want []string
		for n := range 200 {
			want = append(want, fmt.Sprint(n))
		}
		c.say(want[:100]...)
		sleep(hibernateAfter) // half of them to an object that has to wake
		s.auto(false)
		c.say(want[100:]...)
		s.auto(true)
		for len(got) < len(want) {
			before := len(got)
			s.on(s.guest.Turn)
			if len(got) == before {
				break
			}
		}
		same(t, "the object heard", got, want)
	})
}

// TestMailboxOfASettlingObject is bounded as well.
func TestMailboxOfASettlingObject(t *testing.T) {
	inWorld(t, options{limits: host.Limits{MailEvents: 10, MailBytes: 4 << 10}}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		s.auto(false)
		sleep(hibernateAfter)
		for range 100 {
			c.say(strings.Repeat("x", 1000))
		}
		if i, _ := s.look(k); i.Mail == 0 || i.Mail > 5 {
			t.Errorf("%d kilobytes wait, want 4 and one more", i.Mail)
		}
		s.fetch(k, nil).got(busy)
		s.on(func() { s.guest.Last().Leave(); s.guest.Host.Asleep(s.guest, 1) })
		if n := catchUp(s); n != 100 {
			t.Errorf("%d messages arrived, want 100", n)
		}
	})
}

// TestAGuestThatIsBehind has the clients of its whole shard wait, whichever kind
// of socket they have.
func TestAGuestThatIsBehind(t *testing.T) {
	for _, kind := range []string{"hibernatable", "standard", "the Worker's"} {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, options{limits: host.Limits{Backlog: 1000}}, func(t *testing.T, w *world) {
				s, k := w.one(), key(0, "lobby")
				c := s.connect(k, "amy")
				if kind != "hibernatable" {
					end, far := s.guest.Pair()
					s.on(func() {
						if kind == "standard" {
							s.guest.Last().Open(end)
						} else {
							s.guest.Host.Open(s.guest, end, 0)
						}
					})
					c = s.attach(far)
				}
				s.on(func() { s.guest.Behind = 1001 })
				c.say("the last that is read")
				c.say("not now")
				if n := events(s); n != 1 {
					t.Errorf("%d messages were read, want 1", n)
				}
				s.on(func() { s.guest.Behind = 600; s.host.Taken(s.guest) })
				if n := events(s); n != 0 {
					t.Errorf("%d messages were read while much waited", n)
				}
				s.on(func() { s.guest.Behind = 400; s.host.Taken(s.guest) })
				if n := events(s); n != 1 {
					t.Errorf("%d messages were read when little waited, want 1", n)
				}
			})
		})
	}
}

// TestTheWorkerOfAGuestThatIsBehind is asked when the guest has caught up; as many
// requests wait as may, and the rest is refused.
func TestTheWorkerOfAGuestThatIsBehind(t *testing.T) {
	inWorld(t, options{limits: host.Limits{Backlog: 1000, Waiting: 3}}, func(t *testing.T, w *world) {
		s := w.one()
		var began []string
		s.guest.OnRequest = func(_ *guesttest.Instance, x guest.Exchange, r *guest.Request) {
			began = append(began, r.URL)
			s.guest.Respond(x, 200, "")
		}
		ask := func(url string) *answer {
			a := &answer{s: s}
			s.host.FetchWorker(&guest.Request{Method: "GET", URL: url}, a)
			s.on(func() {})
			return a
		}
		s.on(func() { s.guest.Behind = 1001 })
		ask("http://x/1")
		ask("http://x/2")
		s.on(func() { s.guest.Behind = 900; s.host.Taken(s.guest) })
		ask("http://x/3")
		ask("http://x/4").got(busy)
		same(t, "the Worker was asked", began, nil)
		s.on(func() { s.guest.Behind = 400; s.host.Taken(s.guest) })
		same(t, "the Worker was asked", began, []string{"http://x/1", "http://x/2", "http://x/3"})
		ask("http://x/5")
		same(t, "the Worker was asked", began[3:], []string{"http://x/5"})
	})
}

// TestTheWorkerOfAGuestThatComputes is given no more than a few requests before it
// has begun them. The others wait, so long that somebody may still want the answer.
func TestTheWorkerOfAGuestThatComputes(t *testing.T) {
	inWorld(t, options{limits: host.Limits{Ahead: 2, Waiting: 3, QueueTime: 10 * time.Second}}, func(t *testing.T, w *world) {
		s := w.one()
		var began []string
		s.guest.OnRequest = func(_ *guesttest.Instance, x guest.Exchange, r *guest.Request) {
			began = append(began, r.URL)
			s.guest.Respond(x, 200, "")
		}
		answers := make(map[string]*answer)
		ask := func(urls ...string) {
			for _, url := range urls {
				answers[url] = &answer{s: s}
				s.host.FetchWorker(&guest.Request{Method: "GET", URL: url}, answers[url])
			}
			s.on(func() {})
		}
		handle := func() {
			s.on(func() { s.guest.Handle(); s.host.Taken(s.guest) })
			s.on(func() {})
		}
		s.guest.Holds = true
		ask("1", "2", "3", "4", "5", "6")
		same(t, "the Worker was asked", began, []string{"1", "2"})
		answers["6"].got(busy)
		handle()
		same(t, "the Worker was asked", began[2:], []string{"3", "4"})
		sleep(6 * time.Second)
		ask("7")
		sleep(6 * time.Second)
		handle()
		answers["5"].got("failure Durable Object is overloaded. Requests queued for too long. overloaded")
		same(t, "the Worker was asked", began[4:], []string{"7"})
		ask("8", "9")
		same(t, "the Worker was asked", began[5:], []string{"8"})

		// The next guest is given what waits, and not all at once either.
		s.on(func() { s.guest.Die(nil) })
		answers["9"].got()
		ask("10", "11")
		sleep(time.Minute)
		g := s.another()
		g.Holds, g.OnRequest = true, s.guest.OnRequest
		s.guest = g
		s.on(g.Ready)
		s.on(func() {})
		same(t, "the Worker was asked", began[6:], []string{"9", "10"})
		handle()
		same(t, "the Worker was asked", began[8:], []string{"11"})
	})
}

// TestTheEndOfAGuestThatIsBehind lets the clients go on.
func TestTheEndOfAGuestThatIsBehind(t *testing.T) {
	inWorld(t, options{limits: host.Limits{Backlog: 1000}}, func(t *testing.T, w *world) {
		s := w.one()
		c := s.connect(key(0, "lobby"), "amy")
		s.on(func() { s.guest.Behind = 1001 })
		c.say("one", "two")
		s.on(func() { s.guest.Die(nil) })
		s.newGuest(true)
		if n := events(s); n != 1 {
			t.Errorf("%d messages reached the next guest, want 1", n)
		}
	})
}

// TestManyWaitForAGuest: requests past the bound are refused, clients are not
// read, and nothing that a client said is lost.
func TestManyWaitForAGuest(t *testing.T) {
	inWorld(t, options{limits: host.Limits{Waiting: 10}}, func(t *testing.T, w *world) {
		s := w.one()
		var clients []*client
		for n := range 50 {
			clients = append(clients, s.connect(key(0, fmt.Sprint(n)), "amy"))
		}
		sleep(hibernateAfter)
		s.on(func() { s.guest.Die(nil) })
		for _, c := range clients {
			c.say("hello")
		}
		s.fetch(key(0, "other"), nil).got(busy)
		worker := &answer{s: s}
		s.host.FetchWorker(get(), worker)
		worker.got(busy)
		for _, c := range clients {
			c.say("again")
		}
		s.newGuest(true)
		if n := events(s); n != 100 {
			t.Errorf("%d messages arrived, want 100", n)
		}
		clients[0].say("still there")
		if n := events(s); n != 1 {
			t.Errorf("%d messages arrived, want 1", n)
		}
	})
}

// TestMuchWaitsForAGuest: the same for bytes.
func TestMuchWaitsForAGuest(t *testing.T) {
	inWorld(t, options{limits: host.Limits{WaitingBytes: 5000}}, func(t *testing.T, w *world) {
		s := w.one()
		a, b := s.connect(key(0, "a"), "amy"), s.connect(key(0, "b"), "ben")
		sleep(hibernateAfter)
		s.on(func() { s.guest.Die(nil) })
		a.say(strings.Repeat("x", 6000))
		b.say("not read")
		if i, _ := s.look(key(0, "b")); i.Mail != 0 {
			t.Error("a client is read although too much waits")
		}
		s.newGuest(true)
		if n := events(s); n != 2 {
			t.Errorf("%d messages arrived, want 2", n)
		}
	})
}

// TestBuffered: the guest learns that much waits on a socket, and when it has
// left; a client that never reads is ended.
func TestBuffered(t *testing.T) {
	inWorld(t, options{outbound: 1 << 20}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		c.end.SetCapacity(1 << 10)
		s.on(func() { s.guest.Send(c.server, string(make([]byte, 100<<10))) })
		s.heard("buffered 1.2 some")
		for range 200 {
			c.end.Take()
			s.on(func() {})
		}
		s.heard("buffered 1.2 some", "buffered 1.2 none")
		s.on(func() {
			for range 20 {
				s.guest.Send(c.server, string(make([]byte, 100<<10)))
			}
		})
		sleep(time.Minute)
		s.heard("buffered 1.2 some", "buffered 1.2 some", "buffered 1.2 some", "buffered 1.2 some",
			"errored 1.2 WebSocket closed because the client does not read: too many bytes wait to be sent.", "hibernate 1 after 2 if-idle")
		s.wantState(k, "unknown")
	})
}

// TestCloseHandshake: a client that does not answer Close is dropped after a
// while; until then it is listed, and what it says is heard.
func TestCloseHandshake(t *testing.T) {
	inWorld(t, options{handshake: 5 * time.Second}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b, c := s.connect(k, "amy"), s.connect(k, "ben"), s.connect(k, "cat")
		s.on(func() {
			for _, c := range []*client{a, b, c} {
				s.guest.Host.Close(s.guest, c.server, 4000, "bye")
			}
		})
		a.gets("close 4000 bye")
		b.close(4000, "bye")
		c.say("one more thing")
		c.leave()
		s.heard(`closed 1.4 4000 "bye" clean ended`, "message 1.6 text one more thing", "closed 1.6 "+lost)
		sleep(5 * time.Second)
		s.heard("closed 1.2 " + lost)
		a.gets("end")
		sleep(hibernateAfter)
		if n := s.known() + s.registry.Counts().Sockets; n != 0 {
			t.Errorf("%d objects and sockets are left", n)
		}
	})
}

// TestHalfOpen: without the automatic answer a client that has closed can still
// be spoken to, until the object closes too or leaves memory.
func TestHalfOpen(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		a.close(1000, "bye")
		b.close(1000, "bye")
		s.heard(`closed 1.2 1000 "bye" clean`, `closed 1.4 1000 "bye" clean`)
		s.on(func() {
			s.guest.Send(a.server, "one more thing")
			s.guest.Host.Close(s.guest, a.server, 4000, "ade")
			s.guest.Send(a.server, "never")
			s.guest.Send(b.server, "one more thing")
		})
		a.gets("one more thing", "close 4000 ade", "end")
		b.gets("one more thing")
		if i, _ := s.look(k); i.Sockets != 0 {
			t.Errorf("%d sockets are listed, want none", i.Sockets)
		}
		sleep(hibernateAfter)
		b.gets("end")
		if n := s.known() + s.registry.Counts().Sockets; n != 0 {
			t.Errorf("%d objects and sockets are left", n)
		}
	})
}

// TestTooManySockets: a guest has to keep the limit.
func TestTooManySockets(t *testing.T) {
	inWorld(t, options{maxSockets: 3}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		for range 3 {
			s.connect(k, "amy")
		}
		end, _ := s.guest.Pair()
		s.on(func() { s.guest.Last().Accept(end) })
		if s.guest.Broken == nil {
			t.Error("the guest may accept a fourth socket")
		}
	})
}

// TestStampsComeBeforeTheNextEvent, or at once while code runs.
func TestStampsComeBeforeTheNextEvent(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a, b := s.connect(k, "amy"), s.connect(k, "ben")
		s.on(func() { s.guest.Host.AutoResponse(s.guest, 1, &guest.Pair{Request: "ping", Response: "pong"}) })
		a.say("ping")
		sleep(time.Second)
		a.say("ping")
		b.say("ping", "Ping", "ping ")
		s.heard("stamp 1.2 01.000", "stamp 1.4 01.000", "message 1.4 text Ping", "message 1.4 text ping ")
		s.auto(false)
		a.say("hello")
		s.take()
		sleep(time.Second)
		a.say("ping")
		s.heard("stamp 1.2 02.000")
		s.on(s.guest.Turn)
		sleep(hibernateAfter) // what is only answered from the pair keeps nobody awake
		s.heard("hibernate 1 after 5 if-idle")
		s.on(func() { s.guest.Host.AutoResponse(s.guest, 1, nil) })
		a.say("ping")
		s.heard()
		s.on(func() { s.guest.Host.Awake(s.guest, 1) })
		s.heard("message 1.2 text ping")
		a.gets("pong", "pong", "pong")
	})
}
