// Package scheduler runs the alarms of the objects of one loop when their time
// has come. It knows the wall clock, the loop's timers and where times are
// stored, and never sees an object, a guest or a database: whoever runs an alarm
// is handed to it.
//
// What is decided stands in package alarm; here it happens.
package scheduler

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/alarm"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

const (
	// checkEvery is how often the clock and the index are looked at while there
	// are alarms. A clock that is set moves no alarm by more than this.
	checkEvery = 5 * time.Second
	// restEvery is the same while nothing runs and Told says that no look at the
	// clock is needed: an idle loop hardly wakes up.
	restEvery = 10 * time.Minute

	// jump is how far the wall clock may run from the loop's between two looks
	// without having been set.
	jump = time.Second

	// grace is how late an alarm may be, with room for it, before that is a fault
	// of ours.
	grace = 2 * time.Second

	// startFor is how long a run counts as starting: it costs an activation. One
	// that goes on for longer waits for something, and takes nobody's place.
	startFor = time.Second
)

// Bounds of what runs at a time, unless Config says otherwise. Alarms past them
// are late: the earliest go first.
const (
	MaxStarting = 64
	MaxRunning  = 4096
)

// Store keeps when objects have to be woken, as storage.Engine does.
type Store interface {
	SetWake(dormouse.Key, storage.Wake) error
}

// Config is what a Scheduler needs.
type Config struct {
	Loop *loop.Loop
	// Store may be nil: then alarms are found when their objects are next opened.
	Store Store
	// Run asks an object for its alarm. done has to be called exactly once, on the
	// loop, and not before Run returns.
	Run func(r alarm.Run, done func(alarm.Outcome))
	Log *slog.Logger

	Now         func() time.Time // the wall clock; nil is time.Now
	Random      func() float64   // [0,1); nil is a random one
	MaxStarting int
	MaxRunning  int
}

// Stats count since the scheduler was made.
type Stats struct {
	Alarms  int // objects that have one now, or run one
	Running int // now
	Late    int // of the alarms: due, and there is no room for them. Not above 1,000

	Runs        uint64 // that were begun: of handlers, or questions whether there is an alarm
	Failures    uint64 // the handler failed
	Interrupted uint64 // through no fault of the author's
	Dropped     uint64 // failed for good
	// Repairs counts what must not happen: an alarm that has passed, or that the
	// index did not know, or a run that did not say how it ended.
	Repairs    uint64
	ClockJumps uint64

	Overdue  uint64 // runs that began more than a second late
	Lateness observe.Histogram
}

// Scheduler is the alarms of one loop. Everything happens on the loop.
type Scheduler struct {
	c     Config
	index *alarm.Index

	timer   *loop.Timer
	armed   bool
	at      time.Time // when the timer fires, by the loop's clock
	started bool
	stopped bool
	told    bool // of the clock

	running  map[dormouse.Key]*run
	starting []*run // the oldest first; those that have ended are still in it
	young    int    // of starting: not ended
	due      []alarm.Run

	// The two clocks, when they were last compared.
	wall, steady time.Time
	checked      time.Time // by the loop's clock

	stats   Stats
	repairs int // of the index, as last counted
}

// run is an alarm that runs.
type run struct {
	key   dormouse.Key
	begun time.Time // by the loop's clock
	old   bool      // counts as starting no more
}

// New returns a scheduler that runs nothing before Start.
func New(c Config) *Scheduler {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.MaxStarting == 0 {
		c.MaxStarting = MaxStarting
	}
	if c.MaxRunning == 0 {
		c.MaxRunning = MaxRunning
	}
	s := &Scheduler{c: c, index: alarm.New(c.Random), running: make(map[dormouse.Key]*run)}
	s.timer = loop.NewTimer(s.tick)
	return s
}

// Load adds what was stored before the start.
func (s *Scheduler) Load(k dormouse.Key, w storage.Wake) { s.index.Load(k, w) }

// Stored gives what was last stored of each alarm, as Load takes it.
func (s *Scheduler) Stored(yield func(dormouse.Key, storage.Wake) bool) { s.index.Stored(yield) }

// Start begins to run alarms. Those that have passed run at once.
func (s *Scheduler) Start() {
	s.started = true
	s.compareClocks()
	s.pump()
}

// Stop begins no more alarms. Those that run may go on; what becomes of them is
// not stored any more, so that they run again after the next start.
func (s *Scheduler) Stop() {
	s.stopped = true
	s.c.Loop.Cancel(s.timer)
}

// Earlier tells that an object is about to commit an alarm that is earlier than
// the one it has, or its first one. It returns when that has been stored.
func (s *Scheduler) Earlier(k dormouse.Key, at time.Time) {
	s.store(k, s.index.Earlier(k, at))
	s.arm()
}

// Later tells what an object's alarm is as of what it has committed; zero is
// none. durable is to be called when that is on disk, and never if it does not
// get there.
func (s *Scheduler) Later(k dormouse.Key, at time.Time) (durable func()) {
	l := s.index.Later(k, at)
	return func() {
		s.store(k, s.index.Confirm(l))
		s.arm()
	}
}

// Found tells that an object's database was opened and has this alarm.
func (s *Scheduler) Found(k dormouse.Key, at time.Time) {
	s.store(k, s.index.Found(k, at))
	s.arm()
}

// Doubt tells that an object's guest has died while it was at work.
func (s *Scheduler) Doubt(k dormouse.Key) {
	s.store(k, s.index.Doubt(k, s.c.Now()))
	s.arm()
}

// Look tells what is known of an object's alarm.
func (s *Scheduler) Look(k dormouse.Key) (alarm.Alarm, bool) { return s.index.Look(k) }

// Told says whether ClockSet is called whenever the machine's clock is set. If it
// is not, the clock is looked at every five seconds.
func (s *Scheduler) Told(yes bool) {
	s.told = yes
	s.arm()
}

// ClockSet tells that the wall clock has been set.
func (s *Scheduler) ClockSet() {
	s.compareClocks()
	s.pump()
}

// Stats returns what has been counted.
func (s *Scheduler) Stats() Stats {
	s.countRepairs()
	t := s.stats
	t.Alarms, t.Running = s.index.Len(), s.index.Running()
	t.Late = s.index.Passed(s.c.Now(), 1000)
	return t
}

// store keeps what the index wants kept. A store refuses only when it closes,
// and then no commit behind this is confirmed either.
func (s *Scheduler) store(k dormouse.Key, e alarm.Effects) {
	if !e.Store || s.c.Store == nil {
		return
	}
	if err := s.c.Store.SetWake(k, e.Wake); err != nil && !s.stopped {
		s.c.Log.Error("alarm not stored: it is found again when its object is next opened",
			"namespace", k.Namespace, "object", k.ID.String(), "time", e.Wake.At, "error", err)
	}
}

// pump begins what is due, as far as there is room.
func (s *Scheduler) pump() {
	if !s.started || s.stopped {
		return
	}
	s.age()
	room := min(s.c.MaxStarting-s.young, s.c.MaxRunning-len(s.running))
	s.due = s.index.Due(s.due[:0], s.c.Now(), room)
	for _, d := range s.due {
		s.begin(d)
	}
	s.arm()
}

func (s *Scheduler) begin(d alarm.Run) {
	r := &run{key: d.Key, begun: s.c.Loop.Now()}
	s.running[d.Key] = r
	s.starting = append(s.starting, r)
	s.young++
	s.stats.Runs++
	late := s.c.Now().Round(0).Sub(d.Due)
	s.stats.Lateness.Observe(late, 1)
	if late > time.Second {
		s.stats.Overdue++
	}
	s.c.Run(d, func(how alarm.Outcome) { s.ended(r, d, how) })
}

func (s *Scheduler) ended(r *run, d alarm.Run, how alarm.Outcome) {
	if s.running[r.key] != r {
		return // told twice
	}
	delete(s.running, r.key)
	if !r.old {
		r.old = true
		s.young--
	}
	switch how {
	case alarm.Failed, alarm.FailedForGood:
		s.stats.Failures++
		if !d.Drop && (how == alarm.FailedForGood || d.Retry == alarm.MaxRetries) {
			s.stats.Dropped++
		}
	case alarm.Interrupted:
		s.stats.Interrupted++
	}
	s.store(r.key, s.index.Finish(r.key, how, s.c.Now()))
	s.pump()
}

// age forgets the runs that do not count as starting any more.
func (s *Scheduler) age() {
	now := s.c.Loop.Now()
	for len(s.starting) > 0 {
		r := s.starting[0]
		if !r.old && now.Sub(r.begun) < startFor {
			return
		}
		if !r.old {
			r.old = true
			s.young--
		}
		s.starting[0] = nil
		s.starting = s.starting[1:]
	}
	s.starting = nil
}

// arm has the timer fire when there may be something to do.
func (s *Scheduler) arm() {
	if !s.started || s.stopped {
		return
	}
	at, ok := s.next()
	if !ok {
		if s.armed {
			s.c.Loop.Cancel(s.timer)
			s.armed = false
		}
		return
	}
	if s.armed && s.at.Equal(at) {
		return
	}
	s.armed, s.at = true, at
	s.c.Loop.Schedule(s.timer, at)
}

// next says when there may be something to do, by the loop's clock: the next
// alarm, or a place for one that is due, and the next look at everything. An
// index without alarms needs no look.
func (s *Scheduler) next() (at time.Time, ok bool) {
	if s.index.Len() == 0 {
		return time.Time{}, false
	}
	every := checkEvery
	if s.told && len(s.running) == 0 {
		every = restEvery
	}
	at = s.checked.Add(every)
	due, ok := s.index.Next()
	if !ok {
		return at, true
	}
	// By way of the difference: the wall clock may be set at any time.
	wake := s.c.Loop.Now().Add(max(0, due.Sub(s.c.Now().Round(0))))
	if s.full() {
		if s.young == 0 || len(s.running) >= s.c.MaxRunning {
			return at, true // the end of a run makes room
		}
		if room := s.starting[0].begun.Add(startFor); room.After(wake) {
			wake = room
		}
	}
	if wake.Before(at) {
		at = wake
	}
	return at, true
}

func (s *Scheduler) full() bool {
	return s.young >= s.c.MaxStarting || len(s.running) >= s.c.MaxRunning
}

// tick is the timer.
func (s *Scheduler) tick() {
	late := s.c.Loop.Now().Sub(s.at)
	s.armed = false
	if s.c.Loop.Now().Sub(s.checked) >= checkEvery {
		s.check(late)
	}
	s.pump()
}

// check sees to it that no alarm has passed that does not run. late is how late
// this look is itself, because the loop had other things to do.
func (s *Scheduler) check(late time.Duration) {
	set := s.compareClocks()
	if s.index.Mend() {
		s.c.Log.Error("index of alarms was wrong and has been put right; please report this")
	}
	if due, ok := s.index.Next(); ok && !set && !s.full() {
		if passed := s.c.Now().Round(0).Sub(due) - late; passed > grace {
			s.stats.Repairs++
			s.c.Log.Error("an alarm had passed and did not run; it runs now; please report this", "late", passed)
		}
	}
	if n := s.index.Running(); n != len(s.running) {
		s.stats.Repairs++
		s.c.Log.Error("runs of alarms were lost; please report this", "in_index", n, "known", len(s.running))
	}
}

// compareClocks reports whether the wall clock was set since it was last asked.
// Timers follow the loop's clock, which nobody sets: whoever calls this arms
// anew.
func (s *Scheduler) compareClocks() (set bool) {
	wall, steady := s.c.Now().Round(0), s.c.Loop.Now()
	if !s.wall.IsZero() {
		by := wall.Sub(s.wall) - steady.Sub(s.steady)
		if set = by > jump || by < -jump; set {
			s.stats.ClockJumps++
			s.c.Log.Warn("the clock was set: alarms follow it", "by", by.Round(time.Millisecond))
		}
	}
	s.wall, s.steady, s.checked = wall, steady, steady
	return set
}

// countRepairs adds up what the index has mended.
func (s *Scheduler) countRepairs() {
	n := s.index.Repairs()
	s.stats.Repairs += uint64(n - s.repairs)
	s.repairs = n
}
