package host

import (
	"log/slog"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/observe"
)

// observed is what a shard has counted beside Stats and accounts. It belongs to
// the loop, like everything here.
type observed struct {
	events      []observe.Events // of each class
	mailboxWait observe.Histogram
	inputGate   observe.Histogram
	gateClosed  observe.Histogram
	commits     observe.Histogram
	failed      uint64 // commits that could not be made durable
	failure     string // why the last of them
	failedAt    time.Time
	ranAway     uint64
	slow        uint64
	lines       slowLines
	errors      slowLines // of errors in the histories
}

// maxSlowLines is how many slow events a shard logs in a second, and how many
// errors it puts into histories. When a disk or
// a guest stands still all events are slow, and the log would be, too.
const maxSlowLines = 10

// slowLines keeps that bound.
type slowLines struct {
	since    time.Time // the second that is counted
	said     int
	unlogged uint64 // events since the last line
}

// may says whether n events may have a line now.
func (l *slowLines) may(now time.Time, n uint32) bool {
	if passed := now.Sub(l.since); passed >= time.Second || passed < 0 {
		l.since, l.said = now, 0
	}
	if l.said >= maxSlowLines {
		l.unlogged += uint64(n)
		return false
	}
	l.said++
	return true
}

// Observed is what a shard has to show: counts since it began, and how many
// there are now.
type Observed struct {
	Stats
	Events []observe.Events // of each class, in the order of Config.Classes
	States []States         // the same
	// MailboxWait and InputGate are of the events that had to wait there,
	// OutputGate how long output gates were closed, each time; Commits from a
	// commit to the word that it is durable.
	MailboxWait, InputGate, OutputGate, Commits observe.Histogram

	CommitsFailed uint64
	RanAway       uint64 // instances that were ended because their code did not end
	Slow          uint64 // events that took longer than Config.Slow

	Mail, MailBytes int // events that wait in mailboxes now
	Waiting         int // objects and requests that wait for a guest now
	Backlog         int // bytes that guests have not taken
	GateBytes       int // output that waits for the disk
	Isolated        int // objects that are not started for a while
}

// Troubles is what a shard has met that an operator should know at once.
type Troubles struct {
	CommitFailedAt time.Time // the last that could not be made durable; zero: none
	CommitFailure  string
	Isolated       int // objects that are not started for a while
}

// Troubles looks. On the loop.
func (s *Shard) Troubles() Troubles {
	t := Troubles{CommitFailedAt: s.observed.failedAt, CommitFailure: s.observed.failure}
	for k := range s.blamed {
		if s.isolated(k) > 0 {
			t.Isolated++
		}
	}
	return t
}

func (s *Shard) commitFailed(err error) {
	s.observed.failed++
	s.observed.failure, s.observed.failedAt = err.Error(), s.Loop.Now()
}

// States counts objects by their state now.
type States struct{ Active, Idle, Hibernated, Broken int }

// Observed adds up what there is to see. It looks at each object that is in
// memory or waits, and at none that sleeps. On the loop.
func (s *Shard) Observed() Observed {
	v := Observed{
		Stats: s.stats, MailboxWait: s.observed.mailboxWait, InputGate: s.observed.inputGate, OutputGate: s.observed.gateClosed, Commits: s.observed.commits,
		CommitsFailed: s.observed.failed, RanAway: s.observed.ranAway, Slow: s.observed.slow,
		Events: append([]observe.Events(nil), s.observed.events...),
		States: make([]States, len(s.Classes)), Waiting: s.waiting(),
	}
	for i := range s.accounts {
		v.States[i].Hibernated = s.accounts[i].Hibernated
	}
	for g, l := range s.lives {
		v.Backlog += g.Backlog()
		for _, o := range l.activations {
			v.mail(o)
			v.GateBytes += o.gate.Bytes()
			switch t := &v.States[o.class]; {
			case o.broken():
				t.Broken++
			case o.m.Idle():
				t.Idle++
			default:
				t.Active++
			}
		}
	}
	for _, p := range s.places {
		for _, w := range p.queue.list {
			if w.object != nil {
				v.mail(w.object)
			}
		}
	}
	for k := range s.blamed {
		if s.isolated(k) == 0 {
			continue
		}
		v.Isolated++
		if o := s.objects[k]; o != nil && o.live == nil && !o.wanted {
			v.mail(o)
		}
	}
	return v
}

func (v *Observed) mail(o *resident) {
	v.Mail += len(o.mail)
	v.MailBytes += o.mailBytes
}

// sent counts n events that go to the guest now. Pairs with finished.
func (o *resident) sent(k observe.Kind, n int, arrived int64) {
	var waited int64
	if now := o.shard.Loop.Now().UnixNano(); arrived == 0 {
		arrived = now
	} else {
		waited = now - arrived
		o.shard.observed.mailboxWait.Observe(time.Duration(waited), uint64(n))
	}
	o.shard.observed.events[o.class].Delivered[k] += uint64(n)
	o.shard.Bell.Ring()
	o.live.flight.Delivered(k, uint32(n), arrived, waited)
}

// Waited tells that an event of an activation has begun that had to wait for its
// input gate.
func (s *Shard) Waited(g guest.Guest, num guest.Object, d time.Duration) {
	s.observed.inputGate.Observe(d, 1)
	if o := s.at(g, num); o != nil {
		o.live.gateWait = max(o.live.gateWait, d)
	}
}

// Direct tells of events that the guest has brought an object itself, past us: n
// have ended since it was last told, which took so long together. They are
// counted as others are, and the object has not been idle.
func (s *Shard) Direct(g guest.Guest, num guest.Object, n uint32, took time.Duration) {
	o := s.at(g, num)
	if o == nil {
		return
	}
	o.m.Met(s.Loop.Now())
	s.stats.Events += uint64(n)
	o.live.direct += n
	events := &s.observed.events[o.class]
	events.Delivered[observe.Request] += uint64(n)
	each := took / time.Duration(n)
	events.Latency[observe.Request].Observe(each, uint64(n))
	if s.Traced != nil && s.Traced(s.Classes[o.class].Name, o.key, o.name) {
		o.trace(observe.Request, n, each)
	}
	if s.Slow > 0 && each >= s.Slow {
		now := s.Loop.Now().UnixNano()
		o.maybeSlow(slowEvent{kind: observe.Request, n: n, arrived: now - int64(each), ended: now})
	}
}

// finished counts the events that have ended since it was last told.
func (o *resident) finished(total uint32) {
	l, s := o.live, o.shard
	n := total - l.ended
	if n == 0 {
		return
	}
	l.ended = total
	now := s.Loop.Now().UnixNano()
	events := &s.observed.events[o.class]
	traced := s.Traced != nil && s.Traced(s.Classes[o.class].Name, o.key, o.name)
	l.flight.Finished(n, func(k observe.Kind, n uint32, arrived, waited int64) {
		took := time.Duration(now - arrived)
		events.Latency[k].Observe(took, uint64(n))
		if traced {
			o.trace(k, n, took)
		}
		if s.Slow > 0 {
			o.maybeSlow(slowEvent{k, n, arrived, waited, now, l.gateWait})
		}
	})
	l.gateWait = 0
	if l.spans != nil {
		l.spans.finished(total, s.Loop.Now())
	}
}

// trace tells somebody who listens to the object of events that have ended.
func (o *resident) trace(k observe.Kind, n uint32, took time.Duration) {
	attrs := append(o.shard.attrs(o), "event", k.String(), "took", rounded(took))
	if n > 1 {
		attrs = append(attrs, slog.Uint64("events", uint64(n)))
	}
	o.shard.Config.Log.Debug("event", attrs...)
}

// ref is who the object is, for the log.
func (o *resident) ref() observe.Object {
	r := observe.Object{ID: o.key.ID.String()}
	if o.hasName {
		r.Name = o.name
	}
	return r
}

// runner is who ran an event, for the log.
func runner(g guest.Guest) []any {
	list := []any{slog.Uint64("guest", uint64(g.Incarnation()))}
	if v, ok := g.(interface{ Version() string }); ok && v.Version() != "" {
		list = append(list, slog.String("version", v.Version()))
	}
	return list
}

// slowEvent is n events that have ended together, and where they have waited.
type slowEvent struct {
	kind             observe.Kind
	n                uint32
	arrived, mailbox int64
	ended            int64
	inputGate        time.Duration
}

// maxBehind bounds the events whose outputs wait and whose time is not known
// yet: more are reported without the wait for the disk.
const maxBehind = 64

// maybeSlow reports events that have taken long: now, or when what they said may
// leave.
func (o *resident) maybeSlow(e slowEvent) {
	if l := o.live; !o.gate.Open() && len(l.behind) < maxBehind {
		l.behind = append(l.behind, e)
		return
	}
	o.judge(e, e.ended)
}

// judge reports an event if its outputs left too late.
func (o *resident) judge(e slowEvent, left int64) {
	s := o.shard
	took := time.Duration(left - e.arrived)
	if took < s.Slow {
		return
	}
	s.observed.slow += uint64(e.n)
	lines := &s.observed.lines
	if !lines.may(s.Loop.Now(), e.n) {
		return
	}
	guest := time.Duration(e.ended - e.arrived - e.mailbox)
	gate := min(e.inputGate, guest)
	attrs := append(s.attrs(o), "event", e.kind.String(), "took", rounded(took), "mailbox", rounded(time.Duration(e.mailbox)),
		"input_gate", rounded(gate), "handler", rounded(guest-gate), "output_gate", rounded(time.Duration(left-e.ended)))
	if e.n > 1 {
		attrs = append(attrs, slog.Uint64("events", uint64(e.n)))
	}
	if lines.unlogged > 0 {
		attrs = append(attrs, slog.Uint64("unlogged", lines.unlogged))
		lines.unlogged = 0
	}
	if o.live != nil {
		attrs = append(attrs, runner(o.guest)...)
	}
	s.Config.Log.Warn("slow event", attrs...)
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// gateClosed notes that the object's outputs have begun to wait. Pairs with
// gateOpened.
func (o *resident) gateClosed() {
	if o.live.closedAt == 0 {
		o.live.closedAt = o.shard.Loop.Now().UnixNano()
	}
}

// gateOpened counts how long they have waited, if they do not any more.
func (o *resident) gateOpened() {
	l := o.live
	if l == nil || l.closedAt == 0 || !o.gate.Open() {
		return
	}
	now := o.shard.Loop.Now().UnixNano()
	o.shard.observed.gateClosed.Observe(time.Duration(now-l.closedAt), 1)
	l.closedAt = 0
	for _, e := range l.behind {
		o.judge(e, now)
	}
	l.behind = l.behind[:0]
}
