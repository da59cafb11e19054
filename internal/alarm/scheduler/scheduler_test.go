package scheduler_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/alarm"
	"github.com/dormouse-dev/dormouse/internal/alarm/scheduler"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

const namespace = dormouse.Namespace("test-Object")

func key(i int) dormouse.Key {
	return dormouse.Key{Namespace: namespace, ID: namespace.IDFromName(fmt.Sprint(i))}
}

// world is objects with alarms, on a loop in virtual time, whose wall clock can
// be set.
type world struct {
	t     *testing.T
	loop  *loop.Loop
	s     *scheduler.Scheduler
	log   bytes.Buffer
	set   time.Duration // how far the wall clock is from the loop's
	wakes map[dormouse.Key]storage.Wake

	// Owned by the loop.
	truth   map[dormouse.Key]time.Time
	handler func(k dormouse.Key, r alarm.Run) (how alarm.Outcome, takes time.Duration)
	running map[dormouse.Key]bool
	most    int      // runs at a time
	ran     []string // what was run: number, time since the start, retry
	numbers map[dormouse.Key]int
	start   time.Time
}

func (w *world) now() time.Time { return time.Now().Add(w.set).Round(0) }

// SetWake implements scheduler.Store.
func (w *world) SetWake(k dormouse.Key, to storage.Wake) error {
	w.wakes[k] = to
	if to.At.IsZero() {
		delete(w.wakes, k)
	}
	return nil
}

func inWorld(t *testing.T, c scheduler.Config, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, wakes: make(map[dormouse.Key]storage.Wake), truth: make(map[dormouse.Key]time.Time),
			running: make(map[dormouse.Key]bool), numbers: make(map[dormouse.Key]int), start: time.Now(),
			handler: func(dormouse.Key, alarm.Run) (alarm.Outcome, time.Duration) { return alarm.Ran, 0 },
		}
		for i := range 100 {
			w.numbers[key(i)] = i
		}
		w.boot(c)
		f(w)
		w.loop.Call(w.s.Stop)
		w.loop.Stop()
	})
}

// boot starts a scheduler over what is stored, as a process does.
func (w *world) boot(c scheduler.Config) {
	w.loop = loop.NewPortable()
	c.Loop, c.Store, c.Run, c.Now = w.loop, w, w.run, w.now
	c.Log = slog.New(slog.NewTextHandler(&w.log, nil))
	c.Random = func() float64 { return 0 }
	w.s = scheduler.New(c)
	for k, wake := range w.wakes {
		w.s.Load(k, wake)
	}
	w.loop.Start()
	w.loop.Call(w.s.Start)
}

// setAlarm is an object that sets its alarm, to the second.
func (w *world) setAlarm(i int, after time.Duration) {
	w.loop.Call(func() {
		at := w.now().Add(after).Truncate(time.Millisecond)
		w.s.Earlier(key(i), at)
		w.truth[key(i)] = at
		w.s.Later(key(i), at)()
	})
}

// run is an object that is asked for its alarm.
func (w *world) run(r alarm.Run, done func(alarm.Outcome)) {
	if w.running[r.Key] {
		w.t.Errorf("object %d runs twice at a time", w.numbers[r.Key])
	}
	w.running[r.Key] = true
	w.most = max(w.most, len(w.running))
	ended := func(how alarm.Outcome) {
		delete(w.running, r.Key)
		done(how)
	}
	at := w.truth[r.Key]
	if at.IsZero() || at.After(w.now()) || r.Drop {
		if r.Drop {
			at = time.Time{}
			delete(w.truth, r.Key)
		}
		w.loop.Post(func() {
			w.s.Later(r.Key, at)()
			ended(alarm.Ran)
		})
		return
	}
	w.ran = append(w.ran, fmt.Sprintf("%d at %v retry %d", w.numbers[r.Key], time.Since(w.start).Round(time.Millisecond), r.Retry))
	how, takes := w.handler(r.Key, r)
	w.loop.Schedule(loop.NewTimer(func() {
		if how == alarm.Ran {
			delete(w.truth, r.Key)
			durable := w.s.Later(r.Key, time.Time{})
			defer durable()
		}
		ended(how)
	}), w.loop.Now().Add(takes))
}

// got compares what has run since it was last asked.
func (w *world) got(what string, want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.loop.Call(func() {
		if got := strings.Join(w.ran, "\n"); got != strings.Join(want, "\n") {
			w.t.Errorf("%s: got\n%s\nwant\n%s", what, got, strings.Join(want, "\n"))
		}
		w.ran = nil
	})
}

func (w *world) stats() (t scheduler.Stats) {
	synctest.Wait()
	w.loop.Call(func() { t = w.s.Stats() })
	t.Overdue, t.Lateness = 0, observe.Histogram{}
	return t
}

func TestRunsWhenTheTimeHasCome(t *testing.T) {
	inWorld(t, scheduler.Config{}, func(w *world) {
		w.setAlarm(1, 30*time.Second)
		w.setAlarm(2, 10*time.Second)
		w.setAlarm(3, -time.Hour)
		time.Sleep(time.Minute)
		w.got("a minute", "3 at 0s retry 0", "2 at 10s retry 0", "1 at 30s retry 0")
		if len(w.wakes) != 0 {
			t.Errorf("%v is stored", w.wakes)
		}
		want := scheduler.Stats{Runs: 3}
		if got := w.stats(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestRetriesAndGivesUp(t *testing.T) {
	inWorld(t, scheduler.Config{}, func(w *world) {
		w.handler = func(dormouse.Key, alarm.Run) (alarm.Outcome, time.Duration) { return alarm.Failed, time.Second }
		w.setAlarm(1, 0)
		time.Sleep(time.Hour)
		w.got("an hour", "1 at 0s retry 0", "1 at 3s retry 1", "1 at 8s retry 2", "1 at 17s retry 3", "1 at 34s retry 4", "1 at 1m7s retry 5", "1 at 2m12s retry 6")
		if got := w.stats(); got != (scheduler.Stats{Runs: 8, Failures: 7, Dropped: 1}) {
			t.Errorf("got %+v", got)
		}
		if len(w.truth)+len(w.wakes) != 0 {
			t.Error("the alarm is still there")
		}
	})
}

func TestRestartGoesOn(t *testing.T) {
	inWorld(t, scheduler.Config{}, func(w *world) {
		var how alarm.Outcome = alarm.Failed
		w.handler = func(dormouse.Key, alarm.Run) (alarm.Outcome, time.Duration) { return how, time.Hour }
		w.setAlarm(1, 0)
		w.setAlarm(2, time.Minute)
		time.Sleep(time.Second)
		w.got("before", "1 at 0s retry 0")
		w.wakes[key(1)] = storage.Wake{At: w.wakes[key(1)].At, Retry: 3}
		w.loop.Call(w.s.Stop)
		w.loop.Stop()
		clear(w.running)
		time.Sleep(time.Hour)
		w.start, how = time.Now(), alarm.Ran
		w.boot(scheduler.Config{})
		w.got("after", "1 at 0s retry 3", "2 at 0s retry 0")
	})
}

// When the clock is set, alarms follow it: those that have passed by it run
// soon, others wait until it has come to them.
func TestClockIsSet(t *testing.T) {
	inWorld(t, scheduler.Config{}, func(w *world) {
		w.setAlarm(1, time.Hour)
		w.setAlarm(2, 3*time.Hour)
		time.Sleep(time.Minute + time.Second) // between two looks
		w.set = 2 * time.Hour
		time.Sleep(9 * time.Second)
		w.got("forward", "1 at 1m5s retry 0")
		w.set = -time.Hour
		time.Sleep(3 * time.Hour)
		w.got("back")
		time.Sleep(time.Hour)
		w.got("later", "2 at 4h0m0s retry 0")
		if got := w.stats(); got.ClockJumps != 2 || got.Repairs != 0 {
			t.Errorf("got %+v", got)
		}
		if n := strings.Count(w.log.String(), "the clock was set"); n != 2 {
			t.Errorf("said %d times that the clock was set:\n%s", n, w.log.String())
		}
	})
}

// TestTheClockIsNotLookedAtWhenItIsTold: an alarm that is far away costs hardly a
// wake-up, and a clock that is set counts at once.
func TestTheClockIsNotLookedAtWhenItIsTold(t *testing.T) {
	inWorld(t, scheduler.Config{}, func(w *world) {
		w.loop.Call(func() { w.s.Told(true) })
		w.setAlarm(1, 6*time.Hour)
		looked := 0
		w.loop.Call(func() { w.loop.OnFlush(func() { looked++ }) }) // a round for each wake-up
		time.Sleep(time.Hour)
		w.loop.Call(func() {
			if looked > 10 {
				t.Errorf("the loop woke up %d times in an hour", looked)
			}
		})
		w.set = 7 * time.Hour
		w.loop.Call(w.s.ClockSet)
		w.got("the clock has passed it", "1 at 1h0m0s retry 0")
	})
}

// Many alarms that are due do not start at once, all run, and none waits for one
// that takes long.
func TestManyAtARestart(t *testing.T) {
	const many = 10_000
	inWorld(t, scheduler.Config{}, func(w *world) {
		w.loop.Call(w.s.Stop)
		w.loop.Stop()
		at := w.now().Add(-time.Minute).Truncate(time.Millisecond)
		slow := key(many / 2)
		for i := range many {
			w.wakes[key(i)], w.truth[key(i)] = storage.Wake{At: at.Add(time.Duration(i) * time.Millisecond)}, at
		}
		w.handler = func(k dormouse.Key, _ alarm.Run) (alarm.Outcome, time.Duration) {
			if k == slow {
				return alarm.Ran, time.Hour
			}
			return alarm.Ran, 10 * time.Millisecond
		}
		w.boot(scheduler.Config{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.most > scheduler.MaxStarting+1 || w.most < scheduler.MaxStarting {
			t.Errorf("%d ran at a time, the bound is %d", w.most, scheduler.MaxStarting)
		}
		if got := w.stats(); got != (scheduler.Stats{Alarms: 1, Running: 1, Runs: many}) {
			t.Errorf("got %+v", got)
		}
	})
}

// Runs that take long take nobody's place, up to a bound.
func TestLongRuns(t *testing.T) {
	inWorld(t, scheduler.Config{MaxStarting: 2, MaxRunning: 5}, func(w *world) {
		w.handler = func(dormouse.Key, alarm.Run) (alarm.Outcome, time.Duration) { return alarm.Ran, time.Minute }
		for i := range 7 {
			w.setAlarm(i, time.Duration(i-10)*time.Second)
		}
		time.Sleep(30 * time.Second)
		// Two at once; the sixth waits for the end of one.
		var all scheduler.Stats
		w.loop.Call(func() { all = w.s.Stats() })
		if all.Overdue != 5 || all.Lateness.Count() != 5 || all.Lateness.Sum != 44*time.Second {
			t.Errorf("%d were late, %d in all, by %v", all.Overdue, all.Lateness.Count(), all.Lateness.Sum)
		}
		w.got("at first", "0 at 0s retry 0", "1 at 0s retry 0", "2 at 1s retry 0", "3 at 1s retry 0", "4 at 2s retry 0")
		if got := w.stats(); got != (scheduler.Stats{Alarms: 7, Running: 5, Late: 2, Runs: 5}) {
			t.Errorf("got %+v", got)
		}
		time.Sleep(10 * time.Minute)
		w.got("then", "5 at 1m0s retry 0", "6 at 1m0s retry 0")
	})
}

// What must not happen is seen, counted and put right.
func TestRepairs(t *testing.T) {
	inWorld(t, scheduler.Config{}, func(w *world) {
		w.setAlarm(1, time.Hour)
		w.loop.Call(func() {
			w.truth[key(1)] = w.now().Add(time.Minute)
			w.s.Found(key(1), w.truth[key(1)])
		})
		time.Sleep(2 * time.Minute)
		w.got("an alarm that was moved behind our back", "1 at 1m0s retry 0")
		w.setAlarm(2, time.Minute)
		w.loop.Call(w.s.Forget) // the timer
		time.Sleep(30 * time.Second)
		w.setAlarm(3, time.Hour)
		w.loop.Call(func() { w.s.Oversleep(time.Now().Add(40 * time.Second)) })
		time.Sleep(2 * time.Minute)
		w.got("a timer that was wrong", "2 at 3m10s retry 0")
		if got := w.stats(); got.Repairs != 2 {
			t.Errorf("got %+v", got)
		}
		if !strings.Contains(w.log.String(), "an alarm had passed and did not run") {
			t.Errorf("it was not said:\n%s", w.log.String())
		}
	})
}

func TestDoubtAndInterruption(t *testing.T) {
	inWorld(t, scheduler.Config{}, func(w *world) {
		how := alarm.Interrupted
		w.handler = func(dormouse.Key, alarm.Run) (alarm.Outcome, time.Duration) {
			defer func() { how = alarm.Ran }()
			return how, 0
		}
		w.setAlarm(1, 0)
		w.loop.Call(func() {
			w.truth[key(2)] = w.now() // committed, and its guest has died
			w.s.Doubt(key(2))
			w.s.Doubt(key(3))
		})
		time.Sleep(time.Minute)
		w.got("both", "1 at 0s retry 0", "1 at 2s retry 0", "2 at 2s retry 0")
		if got := w.stats(); got != (scheduler.Stats{Runs: 4, Interrupted: 1}) {
			t.Errorf("got %+v", got)
		}
	})
}
