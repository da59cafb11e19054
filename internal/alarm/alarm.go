// Package alarm says when to wake whom: which object has to be asked for its
// alarm at what time, and when a run that failed is tried again. It is told the
// time and handed randomness, and never sees a clock, an object or a disk.
//
// The truth about an alarm stands in the object's own database. What stands
// here is an index with one rule: it is never later than the truth. So it moves
// earlier before the commit that makes an alarm earlier, and later only when
// the commit is durable that makes it later. A time that is too early is
// harmless: the object is asked, and tells the truth.
package alarm

import (
	"container/heap"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Retries of a run that failed, as Cloudflare has them: after 2, 4, 8, 16, 32
// and 64 seconds, each up to a quarter longer.
const (
	MaxRetries = 6

	firstDelay = 2 * time.Second
	jitter     = 0.25

	// givenUp is the count of an alarm that has failed for good and has not been
	// deleted yet.
	givenUp = MaxRetries + 1

	// confirmWithin is how long what an object says may take to become
	// durable before the object is asked again. A commit that takes longer
	// resets the object.
	confirmWithin = 30 * time.Second
)

// Run says that an object has to be asked now. If its alarm is due it runs the
// handler. Finish has to be called in any case.
type Run struct {
	Key       dormouse.Key
	Scheduled time.Time // of the alarm, as far as the index knows; the same at each retry
	Due       time.Time // when it should have been asked
	Retry     int       // retryCount: how many runs of this alarm have failed
	// Drop says that the alarm has failed for good: if it is due it is not run
	// but deleted.
	Drop bool
}

// Outcome is how a run has ended.
type Outcome uint8

const (
	// Ran: the handler has run, or the alarm was not due. Either way the object
	// has said since the run began what its alarm is now, with Later.
	Ran Outcome = iota
	// Failed: the handler has failed. Unless it has set or deleted its alarm,
	// which Later has told, it is tried again.
	Failed
	// FailedForGood: the handler has failed and wants no other try.
	FailedForGood
	// Interrupted: that the run did not end is not the author's fault. It is
	// tried again and does not count.
	Interrupted
)

// Effects is what follows from what the index was told.
type Effects struct {
	// Store says that Wake has to be stored for the object, by Earlier before
	// the commit that it announces.
	Store bool
	Wake  storage.Wake
}

// Index is the index of all alarms. One caller at a time.
//
// Invariant: an entry is running or in due, never both and never neither: so no
// alarm can pass that nobody waits for. Mend looks after it.
type Index struct {
	random  func() float64 // [0,1)
	entries map[dormouse.Key]*entry
	due     queue
	running int
	words   uint64 // counts what was said

	checked int // of due, by Mend
	repairs int
}

// never is the time of no alarm. Times are in milliseconds since 1970, as in
// the API.
const never = int64(-1 << 63)

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == never {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// entry is what is known of an object's alarm. 100,000 of them are common, so
// it is small.
type entry struct {
	key         dormouse.Key
	at          int64  // when to ask; never while it runs, if nothing new was said
	stored      int64  // what was last stored
	word        uint64 // the last thing that was said about it
	pos         int32  // in due, or -1
	storedRetry uint8
	retry       uint8 // runs that have failed and count
	tries       uint8 // runs since the last good one, for the delay
	running     bool
	told        bool // the object has said since the run began what its alarm is
	unconfirmed bool // the last word was a Later, and is not durable
}

// New returns an empty index.
func New(random func() float64) *Index {
	return &Index{random: random, entries: make(map[dormouse.Key]*entry)}
}

func (x *Index) entry(key dormouse.Key) *entry {
	e := x.entries[key]
	if e == nil {
		e = &entry{key: key, at: never, stored: never, pos: -1}
		x.entries[key] = e
	}
	return e
}

// Load adds what was stored before the start. A run that was in progress then
// begins again with the same count.
func (x *Index) Load(key dormouse.Key, w storage.Wake) {
	if w.At.IsZero() {
		return
	}
	e := x.entry(key)
	e.stored = toMillis(w.At)
	e.retry = uint8(min(max(w.Retry, 0), givenUp))
	e.storedRetry, e.tries = e.retry, min(e.retry, MaxRetries)
	x.schedule(e, e.stored)
}

// Stored gives what was last stored of each alarm: what Load would be told after
// a start. The index must not change meanwhile.
func (x *Index) Stored(yield func(dormouse.Key, storage.Wake) bool) {
	for k, e := range x.entries {
		if e.stored != never && !yield(k, storage.Wake{At: fromMillis(e.stored), Retry: int(e.storedRetry)}) {
			return
		}
	}
}

// Found tells that the object's database was opened and has an alarm at this
// time. That is no news, unless the data was put there by somebody else, or the
// index was lost.
func (x *Index) Found(key dormouse.Key, at time.Time) Effects {
	if at.IsZero() {
		return Effects{}
	}
	e := x.entries[key]
	if e != nil && (e.running || e.tries > 0 || e.at <= at.UnixMilli()) {
		return Effects{}
	}
	x.repairs++
	return x.Earlier(key, at)
}

// Doubt tells that something that the object has said may not have arrived: it
// is asked soon.
func (x *Index) Doubt(key dormouse.Key, now time.Time) Effects {
	e := x.entry(key)
	x.ask(e, now.Add(firstDelay))
	x.schedule(e, e.at)
	if e.stored == never {
		return e.store(e.at)
	}
	return Effects{}
}

// Alarm is what the index knows of an object's alarm.
type Alarm struct {
	Scheduled time.Time // as it was set; zero if it runs and no other was set
	Next      time.Time // when it runs or is asked; zero if it runs
	Retry     int       // runs that have failed
	Running   bool
}

// Look tells what is known of an object's alarm; ok is false when there is none.
func (x *Index) Look(key dormouse.Key) (a Alarm, ok bool) {
	e := x.entries[key]
	if e == nil {
		return Alarm{}, false
	}
	return Alarm{
		Scheduled: fromMillis(e.stored), Next: fromMillis(e.at),
		Retry: int(min(e.retry, MaxRetries)), Running: e.running,
	}, true
}

// Running is the number of runs that Due has given out and that have not
// finished.
func (x *Index) Running() int { return x.running }

// Passed counts the alarms that are due and have not been given out, up to a
// number.
func (x *Index) Passed(now time.Time, most int) int {
	ms, n := now.UnixMilli(), 0
	for look := []int{0}; len(look) > 0 && n < most; {
		i := look[len(look)-1]
		look = look[:len(look)-1]
		if i < len(x.due) && x.due[i].at <= ms {
			n++
			look = append(look, 2*i+1, 2*i+2)
		}
	}
	return n
}

// mendStep is how many entries Mend looks at.
const mendStep = 256

// Mend looks whether an alarm could pass without anybody waiting for it: each
// entry is running or waits in its place. It looks at all by their number, and
// at some closely; what is wrong is put right, and counted by Repairs.
func (x *Index) Mend() (repaired bool) {
	ok := len(x.entries) == len(x.due)+x.running
	for range min(mendStep, len(x.due)) {
		x.checked++
		if x.checked >= len(x.due) {
			x.checked = 0
		}
		i := x.checked
		e := x.due[i]
		ok = ok && e.pos == int32(i) && !e.running && e.at != never && x.due[(i-1)/2].at <= e.at && x.entries[e.key] == e
	}
	if ok {
		return false
	}
	x.repairs++
	x.rebuild()
	return true
}

// rebuild makes the queue anew from the entries.
func (x *Index) rebuild() {
	x.due, x.running, x.checked = x.due[:0], 0, 0
	for _, e := range x.entries {
		if e.running {
			x.running++
			e.pos = -1
			continue
		}
		if e.at == never {
			e.at = e.stored
		}
		if e.at == never {
			delete(x.entries, e.key)
			continue
		}
		e.pos = int32(len(x.due))
		x.due = append(x.due, e)
	}
	heap.Init(&x.due)
}

// Len is the number of objects that have an alarm, run one, or may have one.
func (x *Index) Len() int { return len(x.entries) }

// Repairs counts how often the index had to help itself because it was not told
// what it should have been.
func (x *Index) Repairs() int { return x.repairs }

// Next returns when Due has something to say; ok is false if never.
func (x *Index) Next() (at time.Time, ok bool) {
	if len(x.due) == 0 {
		return time.Time{}, false
	}
	return fromMillis(x.due[0].at), true
}

// Due appends to runs the objects whose time has come, the earliest first, but
// not more than max. None of them comes again before Finish was called for it.
func (x *Index) Due(runs []Run, now time.Time, max int) []Run {
	for ; max > 0 && len(x.due) > 0 && x.due[0].at <= now.UnixMilli(); max-- {
		e := x.due[0]
		scheduled := e.stored
		if scheduled == never {
			scheduled = e.at
		}
		e.running, e.told = true, false
		x.running++
		at := e.at
		x.schedule(e, never)
		runs = append(runs, Run{
			Key: e.key, Scheduled: fromMillis(scheduled), Due: fromMillis(at), Retry: int(min(e.retry, MaxRetries)), Drop: e.retry == givenUp,
		})
	}
	return runs
}

// Earlier tells that a commit which the object is about to make sets its alarm
// to a time before the one it has, or to its first one. When the commit is made,
// Later has to be called too; if it is rolled back, nothing.
func (x *Index) Earlier(key dormouse.Key, at time.Time) Effects {
	e, ms := x.entry(key), toMillis(at)
	x.say(e)
	e.unconfirmed = false
	if e.at == never || ms < e.at {
		x.schedule(e, ms)
	}
	if e.stored == never || ms < e.stored {
		return e.store(ms)
	}
	return Effects{}
}

func (x *Index) say(e *entry) {
	x.words++
	e.word = x.words
}

// Later is what an object has said about its alarm, until that is durable.
type Later struct {
	key  dormouse.Key
	at   int64
	word uint64
}

// Later tells that a commit which the object has made sets its alarm to this
// time, or to none (zero); or just that this is what it is, when the object was
// asked. Confirm has to be called when that is durable.
func (x *Index) Later(key dormouse.Key, at time.Time) Later {
	l := Later{key: key, at: toMillis(at)}
	if e := x.entries[key]; e != nil {
		x.say(e)
		e.told, e.unconfirmed = true, true
		l.word = e.word
	}
	return l
}

// Confirm tells that what Later has told is durable. It does not matter any
// more if something else was said since then.
func (x *Index) Confirm(l Later) Effects {
	e := x.entries[l.key]
	if e == nil {
		if l.at == never || l.word != 0 {
			return Effects{}
		}
		x.repairs++ // there was an alarm that the index did not know
		e = x.entry(l.key)
	}
	if e.word != l.word {
		return Effects{}
	}
	e.unconfirmed = false
	e.retry, e.tries = 0, 0
	x.schedule(e, l.at)
	effects := e.store(l.at)
	x.tidy(e)
	return effects
}

// Finish tells how a run has ended.
func (x *Index) Finish(key dormouse.Key, how Outcome, now time.Time) Effects {
	e := x.entries[key]
	if e == nil || !e.running {
		return Effects{}
	}
	e.running = false
	x.running--
	if how == Ran && !e.told {
		x.repairs++
		how = Interrupted
	}
	var effects Effects
	switch {
	case how == Interrupted:
		x.ask(e, now.Add(x.delay(e)))
	case e.told:
		e.retry, e.tries = 0, 0 // whatever it is now, it is not the alarm that was run
		if e.unconfirmed {
			x.ask(e, now.Add(confirmWithin))
		}
	case e.retry == givenUp:
		x.ask(e, now.Add(x.delay(e))) // it could not even be deleted
	case how == FailedForGood || e.retry == MaxRetries:
		e.retry = givenUp
		effects = e.store(e.stored)
		x.ask(e, now)
	default:
		e.retry++
		effects = e.store(e.stored)
		x.ask(e, now.Add(x.delay(e)))
	}
	x.schedule(e, e.at)
	x.tidy(e)
	return effects
}

// ask sees to it that the object is asked at the given time at the latest.
func (x *Index) ask(e *entry, at time.Time) {
	if ms := at.UnixMilli(); e.at == never || ms < e.at {
		e.at = ms
	}
}

// delay returns how long to wait for the next try.
func (x *Index) delay(e *entry) time.Duration {
	d := firstDelay << min(e.tries, MaxRetries-1)
	e.tries = min(e.tries+1, MaxRetries)
	return d + time.Duration(float64(d)*jitter*x.random())
}

// store returns what has to be stored now, if that is something new.
func (e *entry) store(at int64) Effects {
	if e.stored == at && e.storedRetry == e.retry {
		return Effects{}
	}
	e.stored, e.storedRetry = at, e.retry
	return Effects{Store: true, Wake: storage.Wake{At: fromMillis(at), Retry: int(e.retry)}}
}

// schedule sets when the object is asked.
func (x *Index) schedule(e *entry, at int64) {
	e.at = at
	switch wanted := at != never && !e.running; {
	case wanted && e.pos < 0:
		heap.Push(&x.due, e)
	case wanted:
		heap.Fix(&x.due, int(e.pos))
	case e.pos >= 0:
		heap.Remove(&x.due, int(e.pos))
	}
}

func (x *Index) tidy(e *entry) {
	if e.at == never && e.stored == never && !e.running {
		delete(x.entries, e.key)
	}
}

// queue is a heap of entries by time.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = int32(i), int32(j)
}

func (q *queue) Push(v any) {
	e := v.(*entry)
	e.pos = int32(len(*q))
	*q = append(*q, e)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.pos = -1
	return e
}
