package schedules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// mood is how an object's next constructor goes.
type mood int

const (
	wakesWell mood = iota
	wakesSlowly
	failsAtOnce
	failsLater
	greets // sends to every socket
	moods
)

// thing is an object as the model knows it: what has reached the host.
type thing struct {
	w            *world
	n            int
	key          dormouse.Key
	live         *instance
	listed       []*conn // hibernatable sockets, oldest first; with those that have ended
	pair         *guest.Pair
	pairVersions map[string]bool
	tickets      []*ticket
	next         mood
	alarms       int
}

// ticket is something of an object that has to become durable.
type ticket struct {
	done        func(error)
	unconfirmed bool
	told        bool // done was called
	over        bool // and the host knows
	failed      bool
}

// output is something that an instance has said.
type output struct {
	thing    *thing
	instance *instance
	name     string
	behind   []*ticket
	muted    bool // the host had given the instance up
	was      bool // said
}

// expected is what a client shall hear.
type expected struct {
	o       *output
	close   uint16 // 0: a message
	excused bool   // dropped with its instance, while it waited for the disk
}

// message is what a client has said.
type message struct {
	n        int
	text     bool
	payload  string
	ping     bool      // it may be answered without the object
	to       *instance // has got it last
	heard    int
	excused  string // why it need not be heard
	reported bool
}

// word is the last that a handler hears of a socket.
type word struct {
	code   uint16
	reason string
	clean  bool
}

var lostWord = word{ws.CloseAbnormal, ws.ErrNoCloseFrame.Error(), false}

// conn is a socket with its client.
type conn struct {
	w      *world
	n      int
	thing  *thing
	server dormouse.SocketID
	tags   []string

	// What the host knows.
	isAccepted bool
	attachment string
	hostClosed bool // we said Close
	dropped    bool // its object was reset
	outs       []*expected
	disturbed  bool // its object was reset, or its guest died, at some time

	// What the handlers have heard.
	lastBegan    bool
	lastTo       *instance
	lastRepeated bool // an instance had it, and ended before it had begun it
	lastReported bool
	lastExcused  string

	client
}

func (w *world) newConn(t *thing, server dormouse.SocketID, tags []string) *conn {
	c := &conn{w: w, n: len(w.conns), thing: t, server: server, tags: tags}
	w.conns = append(w.conns, c)
	w.byServer[server] = c
	return c
}

func (t *thing) String() string { return fmt.Sprintf("object %d", t.n) }
func (c *conn) String() string  { return fmt.Sprintf("socket %d of %v", c.n, c.thing) }

// ---- Objects

// starts checks what a new activation gets.
func (t *thing) starts(i *instance) {
	w := t.w
	if t.live != nil {
		w.fail("%v has two instances", t)
	}
	t.live = i
	if got := i.a.Pair; (got == nil) != (t.pair == nil) || got != nil && *got != *t.pair {
		w.fail("%v starts with the pair %v, want %v", t, got, t.pair)
	}
	t.listed = slices.DeleteFunc(t.listed, func(c *conn) bool { return c.over() })
	var got, want []string
	for _, s := range i.a.Sockets {
		got = append(got, row(s))
	}
	for _, c := range t.listed {
		unknown := c.end == nil || t.w.tight && (c.left() || c.sentClose != nil) || c.hostClosed && (c.late || c.slow || c.mute || c.sentClose != nil) // whether it has been read
		gone := unknown && slices.ContainsFunc(i.a.Sockets, func(s guest.Socket) bool { return s.ID == c.server && s.PeerClosed })
		want = append(want, c.row(unknown, gone))
	}
	if !slices.Equal(got, want) {
		w.fail("%v starts with\n\t%s\nwant\n\t%s", t, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// over says that the socket has left its object's table.
func (c *conn) over() bool {
	return c.dropped || c.lastBegan || c.lastReported || c.lastExcused != ""
}

func row(s guest.Socket) string {
	return fmt.Sprintf("%d tags %q attachment %q we closed %v, the peer %v", uint32(s.ID), s.Tags, s.Attachment, s.WeClosed, s.PeerClosed)
}

func (c *conn) row(unknown, gone bool) string {
	return row(guest.Socket{
		ID: c.server, Tags: c.tags, Attachment: []byte(c.attachment),
		WeClosed: c.hostClosed, PeerClosed: gone || !unknown && (c.sentClose != nil || c.left() || c.ended()),
	})
}

// leaves is the end of an instance that was asked to.
func (t *thing) leaves(i *instance) {
	if t.live == i {
		t.live = nil
	}
	t.unheard(i, func(c *conn, m *message) {
		if i.broken {
			return // told already
		}
		c.disturbed = true
		if m != nil {
			m.excused = t.w.cut("%v was cut by an eviction: %q", c, m.payload)
		}
	})
	t.repeatsEnds(i)
}

// repeatsEnds has the next instance hear the ends that one which has left had
// and had not begun: once.
func (t *thing) repeatsEnds(i *instance) {
	t.unheard(i, func(c *conn, m *message) {
		switch {
		case m != nil || c.dropped:
		case c.lastRepeated:
			c.lastExcused = t.w.cut("the end of %v ended with a second instance", c)
		default:
			c.lastRepeated, c.lastTo = true, nil
		}
	})
}

// unheard lists what an instance has got and not begun; m is nil for the last
// word of a socket.
func (t *thing) unheard(i *instance, f func(c *conn, m *message)) {
	for _, c := range t.w.conns {
		if c.thing != t {
			continue
		}
		for _, m := range c.said {
			if m.to == i && m.heard == 0 && !m.reported && m.excused == "" {
				f(c, m)
			}
		}
		if c.lastTo == i && !c.lastBegan && !c.lastReported && c.lastExcused == "" {
			f(c, nil)
		}
	}
}

// resets is the end of an instance by a reset: i is nil when none was alive.
func (t *thing) resets(i *instance) {
	if i != nil {
		if t.live != i {
			return
		}
		if i.broken {
			if i.gone {
				t.live = nil // it had ended itself meanwhile
				t.repeatsEnds(i)
			}
			return
		}
		i.broken = true
		t.drops()
		if i.gone {
			t.live = nil
		}
		t.unheard(i, func(c *conn, m *message) {
			if m != nil {
				m.excused = "reset"
			}
		})
		if i.gone {
			t.repeatsEnds(i)
		}
	}
	t.drops()
	for _, c := range t.w.conns {
		if c.thing == t && c.isAccepted {
			c.excuse()
		}
	}
	if !t.w.keep {
		t.listed, t.pair = nil, nil
	}
}

// drops ends the sockets of an object that is reset, unless they are kept.
func (t *thing) drops() {
	for _, c := range t.listed {
		c.dropped = c.dropped || !t.w.keep && !c.over()
	}
}

// excuse is the end of what waits for the disk.
func (c *conn) excuse() {
	c.disturbed = true
	for _, e := range c.outs {
		if e.o.waits() && !e.excused {
			e.excused = true
			c.hostClosed = c.hostClosed && e.close == 0
		}
	}
}

func (t *thing) pairs(i *instance, p *guest.Pair) {
	if i.muted() {
		return
	}
	t.pair = p
	if p != nil {
		t.pairVersions[p.Response] = true
	}
}

// muted says that the host does not listen to the instance.
func (i *instance) muted() bool { return i.broken || i.thing.live != i }

func (t *thing) committing(i *instance, unconfirmed bool) {
	t.w.unconfirmed = unconfirmed || i.broken
}

// ---- The disk: host.Durability

func (w *world) Path(dormouse.Key) string { return "/" }

func (w *world) Open(k dormouse.Key, done func(error)) error {
	t := w.thingOf(k.ID)
	t.tickets = append(t.tickets, &ticket{done: done})
	return nil
}

func (w *world) Commit(k dormouse.Key, done func(error)) error {
	t := w.thingOf(k.ID)
	t.tickets = append(t.tickets, &ticket{done: done, unconfirmed: w.unconfirmed})
	return nil
}

func (w *world) Release(dormouse.Key)                       {}
func (w *world) Checkpoint(dormouse.Key, func(error)) error { return nil }
func (w *world) Checkpointed(dormouse.Key, int)             {}

// sync ends the oldest of an object's tickets. On the loop.
func (t *thing) sync(err error) bool {
	for _, k := range t.tickets {
		if k.told {
			continue
		}
		k.told, k.failed = true, err != nil
		k.done(err) // which the host hears in a later round
		t.w.loop.Post(func() {
			k.over = true
			if err != nil && t.live == nil {
				t.resets(nil)
			}
		})
		return true
	}
	return false
}

// ---- Outputs

// said remembers what has to be durable before the output leaves.
func (o *output) said() {
	if o.was {
		return
	}
	o.was = true
	o.muted = o.instance.muted()
	for _, k := range o.thing.tickets {
		if !k.unconfirmed && !k.over {
			o.behind = append(o.behind, k)
		}
	}
}

func (o *output) waits() bool {
	return slices.ContainsFunc(o.behind, func(k *ticket) bool { return !k.over || k.failed })
}

// leaves checks an output that somebody has heard.
func (o *output) leaves(who any) {
	switch {
	case !o.was:
		o.thing.w.fail("%v heard %q, which the host was never told", who, o.name)
	case o.muted:
		o.thing.w.fail("%v heard %q of an instance that had been given up", who, o.name)
	case slices.ContainsFunc(o.behind, func(k *ticket) bool { return !k.told || k.failed }):
		o.thing.w.fail("%v heard %q, and a commit before it is not durable", who, o.name)
	}
}

func (o *output) saidTo(c *conn, i *instance) {
	o.said()
	if c.listens(i) {
		c.outs = append(c.outs, &expected{o: o})
	}
}

func (o *output) closes(c *conn, i *instance, code uint16) {
	o.said()
	if c.listens(i) {
		c.outs = append(c.outs, &expected{o: o, close: code})
		c.hostClosed = true
	}
}

// listens says whether what is said to the socket counts.
func (c *conn) listens(i *instance) bool {
	return c.isAccepted && !c.dropped && !i.muted() && !c.hostClosed
}

// ---- What sockets are told by their object

func (c *conn) accepted(i *instance) {
	if i.muted() {
		return
	}
	c.isAccepted = true
	c.thing.listed = append(c.thing.listed, c)
}

func (c *conn) attaches(i *instance, value string) {
	if c.isAccepted && !i.muted() && !c.over() {
		c.attachment = value
	}
}

// ---- What handlers hear

// hears is a message that a handler begins with.
func (c *conn) hears(i *instance, text bool, payload string) {
	w := c.w
	number, _, _ := strings.Cut(payload, "|")
	n, _ := strconv.Atoi(number)
	at := slices.IndexFunc(c.said, func(m *message) bool {
		return m.heard == 0 && (m.n == n || m.ping && payload == "ping")
	})
	if at < 0 {
		w.fail("%v: a handler hears %q, which was not said, or was heard before", c, payload)
		return
	}
	m := c.said[at]
	m.heard++
	m.to = i
	switch {
	case m.payload != payload || m.text != text:
		w.fail("%v: a handler hears %q, want %q", c, payload, m.payload)
	case m.reported && !m.ping:
		w.fail("%v: %q was heard after it was reported as not finished", c, payload)
	case at < c.heardUpTo && !m.ping:
		w.fail("%v: a handler hears %q out of order", c, payload)
	case c.lastBegan:
		w.fail("%v: a handler hears %q after the end", c, payload)
	case i.gone:
		w.fail("%v: %q was heard by an instance that is gone", c, payload)
	}
	c.heardUpTo = max(c.heardUpTo, at)
}

// hearsLast is the end of a socket.
func (c *conn) hearsLast(i *instance, got word) {
	w := c.w
	if c.lastBegan {
		w.fail("%v: its end was heard twice", c)
	}
	if c.lastReported {
		w.fail("%v: its end was heard after it was reported as not finished", c)
	}
	c.lastBegan, c.lastTo = true, i
	want := lostWord
	if c.sentClose != nil {
		want = *c.sentClose
	}
	late := c.hostClosed && c.w.tight && got == lostWord // its answer was not read in time
	if got != want && !late {
		w.fail("%v: a handler hears the end %v, want %v", c, got, want)
	}
}

// delivers notes where an event of the host went.
func (c *conn) delivers(i *instance, kind guest.EventKind, payload string) {
	if kind != guest.MessageEvent {
		c.lastTo = i
		return
	}
	if m := c.find(payload, i); m != nil {
		m.to = i
	}
}

// find is the first message with this payload that nobody has heard, and that
// i has not got: pings are all alike.
func (c *conn) find(payload string, i *instance) *message {
	for _, m := range c.said {
		if m.payload == payload && m.heard == 0 && !m.reported && m.to != i {
			return m
		}
	}
	return nil
}

// died is the end of a process: what it may have begun, the first events of
// what remains, is reported, what it had not begun will come again. What was for
// instances that had ended before is no matter; but messages also come again, or
// are reported, when the next instance was in the same process.
func (w *world) died(p *process, remains []frame, marked int) {
	for n, f := range remains {
		if f.event == nil {
			continue
		}
		e, c := *f.event, w.byServer[f.event.Socket]
		switch {
		case c == nil:
		case c.outdated(f, p):
			if n < marked && c.over() {
				w.slack++ // the host cannot know of a socket that is gone
			}
			continue
		case n >= marked:
			c.again(e)
			continue
		case e.Kind != guest.MessageEvent:
			c.lastReported = true
		default:
			if m := c.find(string(e.Payload), nil); m != nil {
				m.reported = true
			}
			if string(e.Payload) == "ping" {
				w.slack++
			}
		}
		if n < marked {
			w.reported++
		}
	}
	for _, t := range w.things {
		i := t.live
		if i == nil || i.p != p {
			continue
		}
		for _, c := range w.conns {
			if c.thing != t {
				continue
			}
			c.disturbed = true
			for _, m := range c.said {
				if m.ping && m.to == i {
					w.slack++
				}
			}
		}
		t.unheard(i, func(c *conn, m *message) {
			switch {
			case c.dropped:
			case m == nil:
				c.lastExcused = w.cut("the end of %v waited in a guest that died", c)
			case !i.broken:
				if m.ping {
					w.slack++
				}
				m.excused = w.cut("%v: %q waited in a guest that died", c, m.payload)
			}
		})
		t.live = nil
	}
}

func (c *conn) outdated(f frame, p *process) bool {
	if f.event.Kind == guest.MessageEvent {
		return c.thing.live == nil || c.thing.live.p != p
	}
	return f.to != c.thing.live
}

// again is an event that a dead guest had not begun: also what had been given up
// with its instance comes again.
func (c *conn) again(e guest.Event) {
	if e.Kind != guest.MessageEvent {
		c.lastTo, c.lastExcused = nil, ""
	} else if m := c.find(string(e.Payload), nil); m != nil {
		m.to, m.excused = nil, ""
	}
}

// cut notes an event that ended with whoever had taken it and not begun it. The
// host has to report it.
func (w *world) cut(format string, args ...any) string {
	w.reported++
	return fmt.Sprintf(format, args...)
}
