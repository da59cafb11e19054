package host

import (
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/gate"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/observe"
)

// resident is an object that is in memory, or has sockets, or is waited for. It
// is the Recipient of its hibernatable sockets.
//
// What each message needs comes first, because among very many objects most of
// the time of a message is waiting for memory: see Expect.
type resident struct {
	shard *Shard
	m     object.Machine

	// Of the activation; zero while there is none.
	live  *activation
	guest guest.Guest
	num   guest.Object

	hasName bool
	paused  bool // its sockets are not read: it has too much before it
	wanted  bool // waits for a guest
	again   bool // is to be constructed although no event waits: it had tasks
	held    bool // isolated: waits for a time
	settled bool // has a place in the shard's settings
	dozes   bool // counted as hibernated

	mail    []mail // events that wait, oldest first
	arrived uint64 // events that have come, ever
	class   int
	set     Set // hibernatable sockets; nil if it never had any
	gate    gate.Output

	key       dormouse.Key
	name      string
	opening   int // openings of the database that have not settled yet
	mailBytes int

	saving       int32  // questions to Durability that it has not answered
	answered     uint64 // and those that it has
	whenAnswered []saved

	barren int // instances in a row that ended before they had begun any event

	// Exchanges of instances that are gone, of which everything has been said
	// and waits at the gate.
	parting map[parting]struct{}
}

// parting is a Call or a session.
type parting interface{ fail(*dormouse.Error) }

// activation is what exists only while an object is in memory. As in resident,
// what each message needs comes first.
type activation struct {
	flight    observe.Flight // what is counted of it; observe.go
	ledger    guest.Ledger   // of what it was given; nil: its guest keeps none
	spans     *spans         // nil: nobody traces
	gateWait  time.Duration  // the longest at its input gate since the last Progress
	requests  []uint32       // events that are none of sockets, and have not begun
	ending    []ending       // sockets whose last words the guest has, and has not begun
	leaving   []*eviction    // who waits until it leaves
	ended     uint32         // events, as of the last Progress
	timing    bool           // rest is scheduled
	evicting  bool           // for the end of an object that has tasks
	fruitful  bool           // an event has begun
	final     bool           // told to leave whatever runs: Asleep will come
	toMove    bool           // among the life's toMove
	moving    bool           // counted as the life's moving
	started   bool           // its constructor has run
	announced bool           // there is one

	since     time.Time
	outsider  *outsider          // its standard sockets
	calls     map[*Call]struct{} // that it has not answered
	asks      map[*ask]struct{}  // that it has made
	sessions  map[*session]struct{}
	rest      *loop.Timer
	committed uint32 // numbers of this activation's commits
	durable   uint32
	awaited   []uint32
	settled   []func(gone bool) // who asked for it to leave
	alarm     time.Time         // that the next commit sets
	direct    uint32            // events that its guest has brought it past us
	closedAt  int64             // its output gate, Unix nanoseconds; 0: it is open
	behind    []slowEvent       // have ended and wait there
}

// answer tells those who asked for the object to leave.
func (l *activation) answer(gone bool) {
	settled := l.settled
	l.settled = nil
	for _, f := range settled {
		f(gone)
	}
}

// mail is an event that waits for an object to be there: what a socket said, or
// a request.
type mail struct {
	kind    observe.Kind
	at      int64 // when it came, Unix nanoseconds
	size    int
	said    *guest.Event // nil: a request
	deliver func(guest.Guest)
	fail    func(*dormouse.Error)
}

// event brings an event to the object: at once, after activating it, or when it
// is ready for one.
func (o *resident) event(size int, deliver func(guest.Guest), fail func(*dormouse.Error)) {
	o.eventOf(observe.Request, size, deliver, fail)
}

func (o *resident) eventOf(k observe.Kind, size int, deliver func(guest.Guest), fail func(*dormouse.Error)) {
	o.arrived++
	if o.arrive() {
		o.count(1, size)
		o.sent(k, 1, 0)
		deliver(o.guest)
		o.shard.throttle(o.guest)
		return
	}
	o.keep(mail{kind: k, size: size, deliver: deliver, fail: fail})
}

// arrive says whether an event may go to the guest now, and activates the
// object when it is asleep. Events keep their order: while mail waits, so does
// what comes after it.
func (o *resident) arrive() bool {
	if len(o.mail) > 0 || o.wanted || o.held {
		return false
	}
	switch o.m.Arrive() {
	case object.Deliver:
		return true
	case object.Activate:
		return o.activate()
	}
	return false
}

// count tells the machine of n events that go to the guest now.
func (o *resident) count(n, size int) {
	o.m.Deliver(n, size)
	o.shard.recent[o.num%recents] = o // the guest will tell how far it is
	o.shard.stats.Events += uint64(n)
	if o.set != nil {
		if stamps := o.set.TakeStamps(); stamps != nil {
			o.guest.Stamps(stamps)
		}
	}
	if events, bytes := o.m.Behind(); events > o.shard.Limits.MailEvents || bytes > o.shard.Limits.MailBytes {
		o.pause()
	}
}

// keep puts an event into the mailbox. Its bound is kept by mailFull, which
// refuses requests, and by pause, which stops sockets; closes and errors of
// sockets come at most once each.
func (o *resident) keep(m mail) {
	m.at = o.shard.Loop.Now().UnixNano()
	o.mail = append(o.mail, m)
	o.mailBytes += m.size
	if o.mailFull() {
		o.pause()
	}
	if o.wanted {
		o.shard.queued(o.shard.placeOf(o.key, o.class), m.size)
	}
}

func (o *resident) mailFull() bool {
	l := &o.shard.Limits
	events, _ := o.m.Behind()
	return len(o.mail)+events > l.MailEvents || o.mailBytes > l.MailBytes
}

func (o *resident) pause() {
	if !o.paused && o.set != nil {
		o.paused = true
		o.set.Pause()
	}
}

// unpause lets the sockets go on when the object has caught up.
func (o *resident) unpause() {
	if !o.paused || len(o.mail) > 0 {
		return
	}
	if events, bytes := o.m.Behind(); events == 0 && bytes == 0 {
		o.paused = false
		o.set.Resume()
	}
}

// activate starts the object in a guest. Without one it stays asleep, wanted,
// and drain is called when there is one.
func (o *resident) activate() bool {
	s := o.shard
	if left := s.isolated(o.key); left > 0 {
		o.m.Gone()
		o.hold(left, errIsolated(left))
		return false
	}
	p := s.placeOf(o.key, o.class)
	g := p.guest
	if g == nil || s.frozen {
		o.m.Gone()
		s.want(o, p)
		return false
	}
	l := s.lives[g]
	if !l.code.has(o.class) {
		o.m.Gone()
		s.Loop.Post(o.classless) // not while it speaks
		return false
	}
	if o.awaitsRestore() {
		return false
	}
	if s.Durability != nil {
		if err := s.openDatabase(o); err != nil {
			o.refuse(err)
			return false
		}
	}
	o.again = false
	o.guest, o.num = g, l.nextObject()
	l.activations[o.num] = o
	o.live = &activation{since: s.Loop.Now()}
	o.live.rest = loop.NewTimer(o.restDue)
	if b, ok := g.(guest.Bookkeeper); ok {
		o.live.ledger = b.Ledger(o.num)
	}
	s.stats.Wakes++
	o.woke()
	s.remember(o.key, Moment{What: "wake"})
	a := guest.Activation{Object: o.num, Class: l.code.class(o.class), ID: o.key.ID, Name: o.name, HasName: o.hasName}
	if len(a.Name) > dormouse.MaxName {
		a.Name, a.HasName = "", false
	}
	if s.Durability != nil {
		s.hand(o.key, holder{g, o.num})
		a.Database = s.Durability.Path(o.key)
		o.gateClosed()
	}
	if o.set != nil {
		a.Pair, a.EventTimeout, a.Sockets = o.set.Pair(), o.set.EventTimeout(), o.set.Table()
	}
	g.Start(a)
	s.Config.Log.Debug("wake", s.attrs(o)...)
	return true
}

// drain delivers what waits in the mailbox.
func (o *resident) drain() {
	if o.again && len(o.mail) == 0 && !o.wanted && !o.held && o.m.Arrive() == object.Activate {
		if !o.activate() {
			return
		}
		// It has nothing to do but what its constructor begins.
		o.m.Progress(guest.Progress{}, o.shard.Loop.Now())
		o.arm()
	}
	for len(o.mail) > 0 && !o.wanted && !o.held {
		switch o.m.Arrive() {
		case object.Wait:
			return
		case object.Activate:
			if !o.activate() {
				return
			}
		}
		m := o.mail[0]
		o.mail[0] = mail{}
		o.mail = o.mail[1:]
		o.mailBytes -= m.size
		o.count(1, m.size)
		o.sent(m.kind, 1, m.at)
		if m.said != nil {
			o.hand(*m.said)
		} else {
			m.deliver(o.guest)
		}
	}
	if len(o.mail) == 0 {
		o.mail = nil
		o.unpause()
	}
}

// failMail fails the requests in the mailbox.
func (o *resident) failMail(e *dormouse.Error) {
	waiting := o.mail
	o.mail, o.mailBytes = nil, 0
	for _, m := range waiting {
		if m.said == nil {
			m.fail(e)
			continue
		}
		o.mail = append(o.mail, m)
		o.mailBytes += m.size
	}
}

// dropMail forgets what sockets have said that are gone themselves.
func (o *resident) dropMail() {
	o.barren = 0
	o.mail = slices.DeleteFunc(o.mail, func(m mail) bool {
		if m.said == nil {
			return false
		}
		o.mailBytes -= m.size
		return true
	})
}

// left ends the activation, whatever ended it: sockets stay, standard ones are
// closed, calls that are still in progress fail with e.
func (o *resident) left(why string, e *dormouse.Error) {
	s := o.shard
	if o.live == nil {
		return
	}
	o.endExchanges(e, false)
	l := s.lives[o.guest]
	if l != nil {
		delete(l.activations, o.num)
	}
	s.Loop.Cancel(o.live.rest)
	if o.live.outsider != nil {
		o.live.outsider.left()
	}
	live := o.live
	live.spans.left(why, s.Loop.Now())
	s.remember(o.key, Moment{What: "sleep", Why: why, Events: o.m.Delivered() + o.live.direct, Lasted: s.Loop.Now().Sub(live.since)})
	o.guest, o.num, o.live = nil, 0, nil
	o.m.Gone()
	o.slept()
	o.dropForTests(live)
	o.repeat(live, why)
	if o.set != nil {
		o.set.Left()
		o.set.Progress()
	}
	s.stats.Sleeps++
	s.Config.Log.Debug("sleep", append(s.attrs(o), "why", why)...)
	s.restoreIfAsleep(o)
	live.answer(true)
	s.evicted(live)
	if l != nil {
		s.hasMoved(l, live)
		s.retiredIfEmpty(l)
	}
	o.drain()
	o.unpause()
	o.forget()
}

// forget drops the record when nothing speaks for keeping it. What the object
// has set for its sockets outlives the instance also while it has none.
func (o *resident) forget() {
	if o.needed() || o.shard.objects[o.key] != o {
		return
	}
	if o.set != nil && (o.set.Pair() != nil || o.set.EventTimeout() != 0) {
		o.shard.settings.keep(o)
		return
	}
	delete(o.shard.objects, o.key)
}

// needed says that the object is in memory, or waited for, or has sockets.
func (o *resident) needed() bool {
	return o.live != nil || len(o.mail) > 0 || o.wanted || o.again || o.saving > 0 || o.set != nil && o.set.Len() > 0
}

// sockets returns the set of hibernatable sockets and makes it if there is
// none.
func (o *resident) sockets() Set {
	if o.set == nil {
		o.set = o.shard.Registry.NewSet(o, true)
	}
	return o.set
}

// reset ends the instance with an error, on our side's wish.
func (o *resident) reset(e *dormouse.Error) {
	if o.live == nil || o.broken() {
		return
	}
	o.guest.Reset(o.num, e)
	o.m.Break()
	o.blameAlarms(e, guest.Abort{})
	o.broke(e, true)
}

// broken says that the instance has been given up and is not gone yet: what it
// still says is not to be known.
func (o *resident) broken() bool { return o.m.State() == object.Broken }

// broke does what a reset means for those outside: calls fail, what waited at
// the gate is dropped, sockets meet the fate that their class has chosen.
func (o *resident) broke(e *dormouse.Error, dropSockets bool) {
	s := o.shard
	s.stats.Resets++
	s.remember(o.key, Moment{What: "reset", Why: e.Error()})
	s.Config.Log.Error("object reset", append(s.attrs(o), "reason", e.Error())...)
	o.gate.Drop()
	o.endExchanges(e, true)
	if o.set == nil {
		return
	}
	drop := dropSockets && !s.Classes[o.class].KeepOnReset
	o.set.Reset(drop)
	if drop {
		o.paused = false
		o.dropMail()
	}
}

// endExchanges fails what the instance was asked and gives up what it asked. Of
// an answer that it has given whole only the wait for the disk is left, and that
// is the object's: it leaves later, unless the gate was dropped.
func (o *resident) endExchanges(e *dormouse.Error, dropped bool) {
	if dropped {
		for x := range o.parting {
			x.fail(e)
		}
	}
	if o.live == nil {
		return
	}
	calls, asks, sessions := o.live.calls, o.live.asks, o.live.sessions
	o.live.calls, o.live.asks, o.live.sessions = nil, nil, nil
	for c := range calls {
		if c.spoken() && !dropped {
			o.keepUntilSaid(c)
			c.part(e.Message)
			continue
		}
		c.fail(e)
	}
	for a := range asks {
		a.cancel(e.Message)
	}
	for c := range sessions {
		if c.last && !dropped {
			o.keepUntilSaid(c)
			continue
		}
		c.fail(e)
	}
}

// keepUntilSaid: pairs with the end of the exchange.
func (o *resident) keepUntilSaid(x parting) {
	if o.parting == nil {
		o.parting = make(map[parting]struct{})
	}
	o.parting[x] = struct{}{}
}

func (o *resident) Open() bool { return o.gate.Open() && !o.broken() }

func (o *resident) Hold(size int, release func()) {
	if o.broken() {
		return
	}
	full := o.gate.Bytes() > gate.DefaultLimit
	o.gate.Hold(size, release)
	if !full && o.gate.Bytes() > gate.DefaultLimit {
		live := o.live
		o.shard.Loop.Post(func() { // not while it speaks
			if live == o.live {
				o.reset(&errTooMuchOutput)
			}
		})
	}
}

// say says an output of the object now or behind its commits, unless what it
// belongs to is over by then. The Worker's outputs, without an object, wait for
// nothing.
func (o *resident) say(size int, over *bool, f func()) {
	if o == nil || o.Open() {
		f()
		return
	}
	o.Hold(size, func() {
		if !*over {
			f()
		}
	})
}

var errTooMuchOutput = dormouse.Error{
	Message:    "Durable Object was reset: too much output waits for the disk.",
	Overloaded: true, ObjectReset: true,
}

func (o *resident) Emptied() {
	if t := o.shard.tracing; t != nil {
		t.emptied(o.key)
	}
	o.leftDoze()
	o.forget()
}

// Behind is how much waits for the object, what its guest has before it included.
func (o *resident) Behind() int {
	if o.live == nil {
		return o.mailBytes
	}
	return o.mailBytes + o.guest.Backlog()
}
