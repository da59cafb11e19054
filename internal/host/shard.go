package host

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/observe"
)

// Shard is the part of a host that lives on one loop: some objects, the guest
// that runs them, and their sockets.
type Shard struct {
	Config
	objects  map[dormouse.Key]*resident
	settings settings

	databases  map[dormouse.Key]*database // that guests may have open
	restorings map[dormouse.Key]*restoring
	closed     []func() // who waits until there are none

	main   *place // of everything that has no other
	places map[guest.Place]*place
	lives  map[guest.Guest]*life
	recent [recents]*resident // told something lately, by num, if they still have it
	paused pause
	frozen bool // no object is started: see Freeze
	moving bool // objects leave memory as soon as they are quiet: see PutToSleep

	owners    int                     // objects with a guest of their own
	blamed    map[dormouse.Key]*blame // for the deaths of guests
	queries   map[uint32]query
	lastQuery uint32
	stats     Stats
	observed  observed
	history   history
	tracing   *tracing // nil: nobody traces
	unfinished
	accounts []account // of each class
}

// life is what a shard knows of one guest. Numbers are never used twice in it,
// unless there have been 2^31 in between.
type life struct {
	ready       guest.Ready
	incarnation uint32
	place       *place
	code        code
	worker      *outsider // the Worker's own code, outside any object
	activations map[guest.Object]*resident
	lastObject  guest.Object
	calls       map[guest.Exchange]*Call // that we began
	lastCall    guest.Exchange
	asks        map[guest.Exchange]*ask // that the guest began
	sessions    map[guest.Session]*session
	lastSession guest.Session
	databases   map[guest.Object]*database
	traced      string      // the context of the next session; see InTrace
	errors      guestErrors // see errors.go

	// Of a guest that a newer one has replaced.
	retired func() // called when nothing of it is left; nil: it is in use
	late    *loop.Timer
	toMove  []*resident // to be looked at
	moving  int         // objects that have been asked to leave
	// keepsSockets: its objects move for another reason than newer code.
	keepsSockets bool

	// Of a guest that has died, until Gone.
	begun, unbegun []guest.Event
	guilty         bool         // one of its objects is to blame
	culprit        guest.Object // this one; 0: that is not known
}

// Stats count since the shard began.
type Stats struct {
	Wakes         uint64
	Sleeps        uint64
	Resets        uint64
	Events        uint64
	Unfinished    uint64 // events that a dead guest may have begun
	GuestDeaths   uint64
	Constructor   time.Duration // sum
	Constructions uint64
}

// New makes a shard without a guest.
func New(c Config) *Shard {
	c.Limits.defaults()
	main := &place{name: guest.Everywhere}
	var t *tracing
	if c.Tracer != nil {
		t = &tracing{Tracer: c.Tracer}
	}
	return &Shard{
		Config:     c,
		tracing:    t,
		main:       main,
		places:     map[guest.Place]*place{main.name: main},
		objects:    make(map[dormouse.Key]*resident),
		databases:  make(map[dormouse.Key]*database),
		restorings: make(map[dormouse.Key]*restoring),
		lives:      make(map[guest.Guest]*life),
		blamed:     make(map[dormouse.Key]*blame),
		queries:    make(map[uint32]query),
		accounts:   make([]account, len(c.Classes)),
		observed:   observed{events: make([]observe.Events, len(c.Classes))},
	}
}

// nextCall is the number of a call: even, and of no other that is in progress.
func (l *life) nextCall() guest.Exchange {
	for {
		l.lastCall += 2
		if l.lastCall != 0 && l.calls[l.lastCall] == nil {
			return l.lastCall
		}
	}
}

// nextObject is the number of an activation.
func (l *life) nextObject() guest.Object {
	for {
		l.lastObject++
		if l.lastObject != 0 && l.activations[l.lastObject] == nil && l.databases[l.lastObject] == nil {
			return l.lastObject
		}
	}
}

// Ready gives the shard a guest whose module is loaded: new activations go to
// it, and what has waited begins.
func (s *Shard) Ready(g guest.Guest, r guest.Ready) {
	p := s.places[r.Place]
	if p == nil {
		return // it has been left meanwhile
	}
	s.lives[g] = &life{
		ready:       r,
		incarnation: g.Incarnation(),
		place:       p,
		code:        s.codeOf(r.Code),
		worker:      newOutsider(s, nil),
		activations: make(map[guest.Object]*resident),
		calls:       make(map[guest.Exchange]*Call),
		asks:        make(map[guest.Exchange]*ask),
		sessions:    make(map[guest.Session]*session),
		databases:   make(map[guest.Object]*database),
	}
	p.guest = g
	p.queue.whyNot, p.queue.ahead = nil, nil
	s.serve(p)
}

func overloaded() *dormouse.Error {
	return &dormouse.Error{Message: "Durable Object is overloaded. Too many requests queued.", Overloaded: true}
}

func queuedTooLong() *dormouse.Error {
	return &dormouse.Error{Message: "Durable Object is overloaded. Requests queued for too long.", Overloaded: true}
}

var errGuestGone = dormouse.Error{
	Message:   "The process that ran this Durable Object ended, and the object was reset.",
	Retryable: true, ObjectReset: true,
}

// Guests yields the guests that run. On the loop.
func (s *Shard) Guests(yield func(guest.Guest) bool) {
	for g := range s.lives {
		if !yield(g) {
			return
		}
	}
}

// Remains tells, right before Gone, which events of sockets a dead guest may
// have begun, and which it had not.
func (s *Shard) Remains(g guest.Guest, begun, unbegun []guest.Event) {
	if l := s.lives[g]; l != nil {
		l.begun, l.unbegun = begun, unbegun
	}
}

// Gone tells that a guest has ended. Its objects are asleep now, with their
// sockets; who called them learns that the call may be tried again.
func (s *Shard) Gone(g guest.Guest, why error) {
	l := s.lives[g]
	if l == nil {
		return
	}
	delete(s.lives, g)
	clear(s.recent[:])
	s.Bell.Ring()
	s.letAll(g, l) // before anybody else opens them
	if l.late != nil {
		s.Loop.Cancel(l.late)
	}
	if l.place.guest == g {
		l.place.guest = nil
	}
	s.stats.GuestDeaths++
	s.withoutOutdated(g, l)
	s.resume(backlogFull)
	for _, a := range l.asks {
		a.cancel("the asking process ended")
	}
	s.lostWith(l)
	for _, c := range l.calls {
		if c.object == nil || !c.spoken() { // the others may have their answer still
			c.fail(&errGuestGone)
		}
	}
	for _, c := range l.sessions {
		c.fail(&errGuestGone)
	}
	s.blameCulprits(l, why)
	s.doubtAlarms(l)
	s.goOn(l)
	for n, q := range s.queries {
		if q.guest == g {
			delete(s.queries, n)
			q.done(nil)
		}
	}
	l.worker.left()
	s.Registry.Abandoned(g.Incarnation())
	if l.retired != nil {
		l.retired()
	}
}

// goOn puts the objects of a dead guest to sleep, delivers what it had not
// begun, in front of what has waited since, and reports what it had: that is not
// done twice.
func (s *Shard) goOn(l *life) {
	s.reportBegun(l)
	again := make(map[dormouse.SocketID]bool)
	for _, e := range l.unbegun {
		again[e.Socket] = again[e.Socket] || e.Kind != guest.MessageEvent
	}
	waited := make(map[*resident][]mail)
	for _, o := range l.activations {
		o.lastWordsBut(again)
		o.again = o.m.Tasks() > 0
		o.wanted = true // everything waits until all are asleep
		o.left("guest ended", &errGuestGone)
		// With what a socket said behind a match that waited in line.
		waited[o], o.mail = o.mail, nil
	}
	for _, e := range l.unbegun {
		s.Registry.Deliver(e)
	}
	for o, mail := range waited {
		o.wanted = false
		o.mail = append(o.mail, mail...)
		o.drain()
		o.forget()
	}
	if l.place.guest != nil {
		s.serve(l.place) // it has not waited for one after all
	}
}

// Fetch asks an object. name is its name if the caller knows it. May be called
// on any goroutine.
func (s *Shard) Fetch(k dormouse.Key, class int, name *string, r *guest.Request, a Answer) Asker {
	c := &Call{shard: s, answer: a}
	s.Loop.Post(func() {
		if s.refuses(k, class, c.fail) {
			return
		}
		o := s.resident(k, class)
		if name != nil {
			o.name, o.hasName = *name, true
		}
		c.object = o
		o.event(len(r.URL)+512, func(g guest.Guest) { c.begin(g, o.num, r) }, c.fail)
	})
	return c
}

// FetchWorker asks the Worker itself. May be called on any goroutine.
func (s *Shard) FetchWorker(r *guest.Request, a Answer) Asker {
	c := &Call{shard: s, answer: a}
	s.Loop.Post(func() { s.forWorker(waiter{call: c, request: r}) })
	return c
}

// resident returns the object's record and makes it if there is none.
func (s *Shard) resident(k dormouse.Key, class int) *resident {
	o := s.objects[k]
	if o == nil {
		o = &resident{shard: s, key: k, class: class}
		s.objects[k] = o
	}
	return o
}

// throttle stops the shard's clients while the guest does not take what they
// say, and lets them go on when it has.
func (s *Shard) throttle(g guest.Guest) {
	if s.paused&backlogFull == 0 && g.Backlog() > s.Limits.Backlog {
		s.pause(backlogFull)
	}
}

// Taken tells that a guest has taken bytes, or has handled what it was told. It
// pairs with throttle.
func (s *Shard) Taken(g guest.Guest) {
	if g.Backlog() >= s.Limits.Backlog/2 {
		return
	}
	if s.paused&backlogFull != 0 {
		s.resume(backlogFull)
	}
	if g == s.main.guest {
		s.catchUp()
	}
}

// pause is why the clients of a shard are not read.
type pause uint8

const (
	backlogFull pause = 1 << iota // the guest does not take what they say
	queueFull                     // there is no guest, and too much waits for one
	standStill                    // everything is about to move to another process
)

func (s *Shard) pause(why pause) {
	if s.paused == 0 {
		s.Registry.SetPaused(true)
	}
	s.paused |= why
}

func (s *Shard) resume(why pause) {
	was := s.paused
	if s.paused &^= why; was != 0 && s.paused == 0 {
		s.Registry.SetPaused(false)
	}
}

// at returns the activation a guest speaks of; nil when it has ended and the
// frame crossed.
func (s *Shard) at(g guest.Guest, num guest.Object) *resident {
	if o := s.recent[num%recents]; o != nil && o.num == num && o.guest == g {
		return o
	}
	if l := s.lives[g]; l != nil {
		o := l.activations[num]
		s.recent[num%recents] = o
		return o
	}
	return nil
}

// recents is how many activations are found without a look into the map of all,
// which among many of them waits for memory twice.
const recents = 1024

func (s *Shard) attrs(o *resident) []any {
	return []any{
		slog.String("class", s.Classes[o.class].Name),
		slog.Any("object", o.ref()),
	}
}

// Log passes on what author code wrote to its console.
func (s *Shard) Log(g guest.Guest, num guest.Object, level int, at time.Time, text []byte) {
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if level < 0 || level >= len(levels) {
		level = 1
	}
	r := slog.NewRecord(at, levels[level], string(text), 0)
	if o := s.at(g, num); o != nil {
		r.Add(s.attrs(o)...)
	}
	if l := s.lives[g]; l != nil {
		s.logged(l, num, &r)
	}
	r.Add(runner(g)...)
	r.Add(slog.Bool("console", true))
	if s.Config.Log.Enabled(context.Background(), r.Level) {
		s.Config.Log.Handler().Handle(context.Background(), r)
	}
}

// broken is a guest that says what cannot be true.
type broken interface{ Break(error) }

// protocolError ends a guest that does not keep the contract.
func (s *Shard) protocolError(g guest.Guest, format string, args ...any) {
	if b, ok := g.(broken); ok {
		b.Break(fmt.Errorf(format, args...))
	}
}
