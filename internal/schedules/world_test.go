package schedules

import (
	"fmt"
	"log/slog"
	"slices"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/ws/wspipe"
)

// Times of the world.
const (
	hibernateAfter = 10 * time.Second
	evictAfter     = 70 * time.Second
	handshake      = 30 * time.Second
	retireWithin   = 20 * time.Second
)

// world is a shard with its clients, its guests, its disk, and what the model
// knows of them. Everything but steps happens on the loop.
type world struct {
	// How this world is, by its seed.
	keep      bool // sockets on reset
	autoReply bool
	eager     bool // guests work by themselves
	tight     bool // little may wait, so clients may not be read

	loop      *loop.Loop
	transport *wspipe.Transport
	registry  *hibernation.Registry
	host      *host.Shard
	guest     *process // takes new activations; nil: there is none
	procs     []*process
	number    uint32
	working   bool // work has been posted

	things   []*thing
	conns    []*conn
	byServer map[dormouse.SocketID]*conn
	calls    []*call
	alarms   []*string
	named    map[string]*output
	outputs  int
	messages int
	slack    int // pings among them: they are all alike
	reported int // events that the host must have reported as not finished

	unconfirmed bool // of the commit that is being told
	failures    []string
}

// shape is what kind of world a seed begins with.
type shape struct {
	keep, autoReply, eager, tight bool
}

const things = 3

func newWorld(s shape) *world {
	w := &world{
		keep: s.keep, autoReply: s.autoReply, eager: s.eager, tight: s.tight,
		byServer: make(map[dormouse.SocketID]*conn), named: make(map[string]*output),
	}
	for n := range things {
		t := &thing{w: w, n: n, key: dormouse.Key{Namespace: "chat-Room"}, pairVersions: make(map[string]bool)}
		t.key.ID[0] = byte(n)
		w.things = append(w.things, t)
	}
	limits := host.Limits{}
	if s.tight {
		limits = host.Limits{MailEvents: 4, MailBytes: 400, Waiting: 2, WaitingBytes: 200, Backlog: 300}
	}
	w.loop = loop.NewPortable()
	w.transport = wspipe.New(w.loop)
	w.registry = hibernation.New(hibernation.Config{
		Loop: w.loop, Transport: w.transport, AutoReply: s.autoReply, CloseHandshake: handshake,
		MaxSockets: dormouse.MaxSocketsPerObject, Home: func(uint32) *hibernation.Registry { return nil },
	})
	w.host = host.New(host.Config{
		Loop: w.loop, Limits: limits, Log: slog.New(slog.DiscardHandler),
		Classes:    []host.Class{{Name: "Room", Namespace: "chat-Room", KeepOnReset: s.keep, Rest: object.Rest{Hibernate: hibernateAfter, Evict: evictAfter}}},
		Bindings:   []host.Binding{{}},
		Registry:   registry{w.registry, w.transport},
		Durability: w,
		Route:      func(dormouse.Key) *host.Shard { return w.host },
	})
	w.loop.Start()
	w.on(w.replace)
	return w
}

// registry introduces hibernation to host, as package server does.
type registry struct {
	*hibernation.Registry
	*wspipe.Transport
}

func (r registry) NewSet(to host.Recipient, hibernatable bool) host.Set {
	return r.Registry.NewSet(to, hibernatable)
}
func (r registry) Accept(t host.Set, s dormouse.SocketID, tags []string) error {
	return r.Registry.Accept(t.(*hibernation.Set), s, tags)
}
func (r registry) Open(t host.Set, s dormouse.SocketID) error {
	return r.Registry.Open(t.(*hibernation.Set), s)
}

// fail notes what should not be. The schedule goes on.
func (w *world) fail(format string, args ...any) {
	if len(w.failures) < 8 {
		w.failures = append(w.failures, fmt.Sprintf(format, args...))
	}
}

// on runs f on the loop, and returns when everything has come to rest.
func (w *world) on(f func()) {
	w.loop.Call(f)
	synctest.Wait()
}

func (w *world) thingOf(id dormouse.ID) *thing { return w.things[id[0]] }

// replace gives the shard a new guest; another that is there retires.
func (w *world) replace() {
	w.number++
	old, p := w.guest, newProcess(w, w.number)
	w.guest = p
	w.procs = append(w.procs, p)
	w.host.Ready(p, guest.Ready{})
	if old == nil {
		return
	}
	w.host.Retire(old, retireWithin, func() {
		w.loop.Post(func() { // its process is killed
			if !old.gone {
				old.die(0, 0, 0)
			}
		})
	})
}

// worklater has the guests of an eager world do what they have to.
func (w *world) worklater() {
	if w.eager && !w.working {
		w.working = true
		w.loop.Post(func() {
			w.working = false
			for _, p := range slices.Clone(w.procs) {
				p.work(len(p.inbox))
			}
		})
	}
}

// delivered notes where an event of a socket has gone.
func (w *world) delivered(p *process, s dormouse.SocketID, kind guest.EventKind, payload string) {
	c := w.byServer[s]
	if c == nil || p.gone {
		return
	}
	i := c.thing.live
	if i == nil || i.p != p {
		w.fail("%v speaks to a guest in which its object does not live", c)
		return
	}
	c.delivers(i, kind, payload)
}

// addressee is the instance that an event of a socket is for.
func (w *world) addressee(e *guest.Event) *instance {
	if e == nil || w.byServer[e.Socket] == nil {
		return nil
	}
	return w.byServer[e.Socket].thing.live
}

// fetch asks an object. Any goroutine.
func (w *world) fetch(t *thing, command string) {
	a := &call{w: w, thing: t, url: "http://x/" + command}
	w.calls = append(w.calls, a)
	w.host.Fetch(t.key, 0, nil, &guest.Request{Method: "GET", URL: a.url}, a)
	synctest.Wait()
}

// drain lets the clients read.
func (w *world) drain() {
	w.on(func() {
		for _, c := range w.conns {
			c.drain()
		}
	})
}

// sleep lets time pass.
func (w *world) sleep(d time.Duration) {
	w.on(func() {
		for _, c := range w.conns {
			c.slow = false // a Close that it does not answer in time is for mute ones
		}
	})
	w.drain()
	time.Sleep(d)
	synctest.Wait()
	if d >= handshake {
		for _, c := range w.conns {
			c.late = true
		}
	}
	w.drain()
}

// settle lets everything that has begun come to its end.
func (w *world) settle() {
	for again := true; again; {
		again = false
		w.on(func() {
			if w.guest == nil {
				w.replace()
			}
			for _, t := range w.things {
				for t.sync(nil) {
					again = true
				}
			}
			for _, c := range w.conns {
				c.slow = false
			}
			for _, p := range slices.Clone(w.procs) {
				again = again || len(p.inbox) > 0
				p.work(len(p.inbox))
				for p.finishOne(0) {
					again = true
				}
			}
		})
		w.drain()
	}
}

// end settles the world, checks that nothing was lost, lets all leave, and
// checks that nothing is left.
func (w *world) end() {
	w.settle()
	w.sleep(retireWithin)
	w.settle()
	w.checkNothingLost()
	for _, c := range w.conns {
		if c.connected() {
			w.on(c.leave)
		}
	}
	w.settle()
	w.sleep(hibernateAfter + handshake)
	w.settle()
	w.checkNothingLeft()
	w.loop.Stop()
}

func (w *world) checkNothingLost() {
	for _, a := range w.calls {
		if a.outcome == "" {
			w.fail("%s of %v was never answered", a.url, a.thing)
		}
	}
	for n, a := range w.alarms {
		if *a == "" {
			w.fail("alarm %d was never answered", n)
		}
	}
	for _, c := range w.conns {
		c.checkAll()
	}
	w.on(func() {
		if got := w.host.Stats().Unfinished; int(got) < w.reported-w.slack || int(got) > w.reported+w.slack {
			w.fail("the host reports %d events as not finished, want %d", got, w.reported)
		}
	})
}

// checkAll checks that a socket has nothing outstanding.
func (c *conn) checkAll() {
	w := c.w
	switch {
	case w.tight && c.hostClosed:
		return // its answer may not have been read within the time for it
	case c.dropped:
		if c.end != nil && !c.lost && !c.gotEnd {
			w.fail("%v: its object was reset, and its TCP lives", c)
		}
		return
	case c.end == nil:
		return
	}
	pings := 0
	for _, m := range c.said {
		switch {
		case m.heard > 0 || m.reported || m.excused != "":
		case m.ping:
			pings++
		default:
			w.fail("%v: %q is lost", c, m.payload)
		}
	}
	if pings > c.pongs && !c.left() && !c.disturbed && !c.hostClosed && c.sentClose == nil {
		w.fail("%v: %d pings are lost", c, pings-c.pongs)
	}
	over := c.sentClose != nil || c.left() || c.gotEnd
	if over && !c.over() {
		w.fail("%v: no handler has heard its end", c)
	}
	if !over && c.over() {
		w.fail("%v is connected, and its object has heard its end", c)
	}
	if c.lost {
		return
	}
	if c.wirePongs != c.pings && !over && !c.hostClosed {
		w.fail("%v: %d of %d pings were answered", c, c.wirePongs, c.pings)
	}
	if over && !c.gotEnd && (w.autoReply || c.polite || c.hostClosed || c.halfOver) {
		w.fail("%v: both have closed, and TCP lives", c)
	}
	if over && !c.hostClosed {
		return // what is said after the end is lost
	}
	for _, e := range c.outs[c.seen:] {
		if !e.excused && !over {
			w.fail("%v: its client never hears %q", c, e.o.name)
		}
	}
}

func (w *world) checkNothingLeft() {
	w.on(func() {
		for _, i := range w.host.List() {
			if t := w.thingOf(i.Key.ID); i.State != "inactive" || t.pair == nil {
				w.fail("%v is %s, with %d sockets and %d in the mailbox, and its pair is %v", t, i.State, i.Sockets, i.Mail, t.pair)
			}
		}
		if n := w.registry.Counts().Sockets; n != 0 {
			w.fail("the registry holds %d sockets", n)
		}
		if calls, asks, queries := w.host.InProgress(); calls+asks+queries != 0 {
			w.fail("%d calls, %d asks and %d queries are left", calls, asks, queries)
		}
	})
}
