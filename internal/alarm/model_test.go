package alarm_test

import (
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/alarm"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"pgregory.net/rapid"
)

// world is objects with databases, a disk, and an index that has to keep up.
type world struct {
	now    time.Time
	index  *alarm.Index
	stored map[dormouse.Key]storage.Wake // on disk
	truth  map[dormouse.Key]time.Time    // committed
	disk   map[dormouse.Key]time.Time    // committed and durable

	undurable []commit // in order
	running   map[dormouse.Key]bool
}

type commit struct {
	key   dormouse.Key
	truth time.Time
	later alarm.Later
}

func (w *world) store(k dormouse.Key, e alarm.Effects) {
	if e.Store {
		w.stored[k] = e.Wake
	}
}

// set commits a new alarm, or rolls it back.
func (w *world) set(k dormouse.Key, to time.Time, rollback bool) {
	if was := w.truth[k]; !to.IsZero() && (was.IsZero() || to.Before(was)) {
		w.store(k, w.index.Earlier(k, to))
	}
	if rollback {
		return
	}
	w.truth[k] = to
	w.undurable = append(w.undurable, commit{k, to, w.index.Later(k, to)})
}

// sync makes the oldest commit durable.
func (w *world) sync() {
	if len(w.undurable) == 0 {
		return
	}
	c := w.undurable[0]
	w.undurable = w.undurable[1:]
	w.disk[c.key] = c.truth
	w.store(c.key, w.index.Confirm(c.later))
}

// crash loses what is not durable, or not even that.
func (w *world) crash(power bool) {
	if !power {
		for len(w.undurable) > 0 { // the WAL is made durable at the next start
			c := w.undurable[0]
			w.undurable = w.undurable[1:]
			w.disk[c.key] = c.truth
		}
	}
	w.undurable = nil
	w.truth = make(map[dormouse.Key]time.Time)
	for k, at := range w.disk {
		w.truth[k] = at
	}
	w.running = make(map[dormouse.Key]bool)
	w.index = alarm.New(half)
	for k, wake := range w.stored {
		w.index.Load(k, wake)
	}
}

// check is the rule of the package.
func (w *world) check(t *rapid.T) {
	for k, at := range w.truth {
		if at.IsZero() {
			continue
		}
		if s := w.stored[k].At; s.IsZero() || s.After(at) {
			t.Fatalf("stored %v, truth %v", s, at)
		}
	}
	for k, at := range w.disk {
		if s := w.stored[k].At; !at.IsZero() && (s.IsZero() || s.After(at)) && len(w.undurable) == 0 {
			t.Fatalf("stored %v, on disk %v", s, at)
		}
	}
}

// Whatever objects do and whatever happens to them: the index is never later
// than the truth, no object runs twice at a time, and every alarm comes to an
// end.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			now: at(0), index: alarm.New(half), stored: make(map[dormouse.Key]storage.Wake),
			truth: make(map[dormouse.Key]time.Time), disk: make(map[dormouse.Key]time.Time), running: make(map[dormouse.Key]bool),
		}
		anyKey := func() dormouse.Key { return key(rapid.IntRange(0, 3).Draw(t, "object")) }
		anyTime := func() time.Time {
			return w.now.Add(time.Duration(rapid.IntRange(-5, 50).Draw(t, "seconds")) * time.Second)
		}
		finish := func(k dormouse.Key, how alarm.Outcome) {
			delete(w.running, k)
			w.store(k, w.index.Finish(k, how, w.now))
		}
		t.Repeat(map[string]func(*rapid.T){
			"set":      func(t *rapid.T) { w.set(anyKey(), anyTime(), false) },
			"rollback": func(t *rapid.T) { w.set(anyKey(), anyTime(), true) },
			"delete":   func(t *rapid.T) { w.set(anyKey(), time.Time{}, false) },
			"sync":     func(t *rapid.T) { w.sync() },
			"open":     func(t *rapid.T) { k := anyKey(); w.store(k, w.index.Found(k, w.truth[k])) },
			"doubt":    func(t *rapid.T) { k := anyKey(); w.store(k, w.index.Doubt(k, w.now)) },
			"kill":     func(t *rapid.T) { w.crash(false) },
			"power":    func(t *rapid.T) { w.crash(true) },
			"wait": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 20000).Draw(t, "ms")) * time.Millisecond)
				for _, run := range w.index.Due(nil, w.now, 10) {
					if w.running[run.Key] {
						t.Fatal("runs twice at a time")
					}
					if run.Retry > alarm.MaxRetries {
						t.Fatalf("retry %d", run.Retry)
					}
					w.running[run.Key] = true
				}
			},
			"finish": func(t *rapid.T) {
				k := anyKey()
				if !w.running[k] {
					t.Skip("not running")
				}
				how := rapid.SampledFrom([]alarm.Outcome{alarm.Ran, alarm.Failed, alarm.FailedForGood, alarm.Interrupted}).Draw(t, "outcome")
				if how == alarm.Ran {
					// It tells what its alarm is, and deletes the one it has run.
					if at := w.truth[k]; !at.IsZero() && !at.After(w.now) {
						w.set(k, time.Time{}, false)
					} else {
						w.set(k, at, false)
					}
				}
				finish(k, how)
			},
			"": func(t *rapid.T) {
				w.check(t)
				if w.index.Mend() {
					t.Fatal("the index has broken")
				}
			},
		})
		// Then nothing disturbs, and every handler does what it should.
		for k := range w.running {
			finish(k, alarm.Interrupted)
		}
		for len(w.undurable) > 0 {
			w.sync()
		}
		for range 10_000 {
			next, ok := w.index.Next()
			if !ok {
				break
			}
			if next.After(w.now) {
				w.now = next
			}
			for _, run := range w.index.Due(nil, w.now, 10) {
				to := w.truth[run.Key]
				if !to.After(w.now) {
					to = time.Time{}
				}
				w.set(run.Key, to, false)
				w.sync()
				finish(run.Key, alarm.Ran)
			}
		}
		for k, at := range w.truth {
			if !at.IsZero() {
				t.Fatalf("the alarm of %s at %v was forgotten", k, at)
			}
		}
		if w.index.Len() != 0 {
			t.Fatalf("%d entries are left", w.index.Len())
		}
	})
}
