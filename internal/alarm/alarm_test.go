package alarm_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/alarm"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

const namespace = dormouse.Namespace("test-Object")

func key(i int) dormouse.Key {
	return dormouse.Key{Namespace: namespace, ID: namespace.IDFromName(fmt.Sprint(i))}
}

// half is the middle of the jitter.
func half() float64 { return 0.5 }

// at is a time in seconds.
func at(seconds float64) time.Time { return time.UnixMilli(int64(1_000_000 + seconds*1000)) }

// due returns the runs that are due, and checks how many.
func due(t *testing.T, x *alarm.Index, now time.Time, want int) []alarm.Run {
	t.Helper()
	runs := x.Due(nil, now, 100)
	if len(runs) != want {
		t.Fatalf("at %v: got %d runs, want %d", now.UnixMilli(), len(runs), want)
	}
	return runs
}

// set sets an alarm as an object does: it announces it, commits and confirms.
func set(x *alarm.Index, k dormouse.Key, to time.Time) {
	if !to.IsZero() {
		x.Earlier(k, to)
	}
	x.Confirm(x.Later(k, to))
}

// ran ends a run whose handler has done what it should and set no new alarm.
func ran(x *alarm.Index, k dormouse.Key, now time.Time) {
	l := x.Later(k, time.Time{})
	x.Finish(k, alarm.Ran, now)
	x.Confirm(l)
}

func TestRunsAtItsTime(t *testing.T) {
	x := alarm.New(half)
	set(x, key(1), at(10))
	set(x, key(2), at(5))
	set(x, key(3), at(20))
	if next, ok := x.Next(); !ok || !next.Equal(at(5)) {
		t.Errorf("next: got %v, %v", next, ok)
	}
	due(t, x, at(4.999), 0)
	runs := due(t, x, at(10), 2)
	if runs[0].Key != key(2) || runs[1].Key != key(1) || !runs[1].Scheduled.Equal(at(10)) || runs[1].Retry != 0 {
		t.Errorf("got %v", runs)
	}
	due(t, x, at(15), 0) // both are running
	ran(x, key(2), at(15))
	ran(x, key(1), at(15))
	if x.Len() != 1 || x.Repairs() != 0 {
		t.Errorf("%d alarms left, %d repairs; want 1 and 0", x.Len(), x.Repairs())
	}
}

func TestAtMostSoManyRuns(t *testing.T) {
	x := alarm.New(half)
	for i := range 10 {
		set(x, key(i), at(1))
	}
	if got := len(x.Due(nil, at(2), 3)); got != 3 {
		t.Errorf("got %d runs, want 3", got)
	}
	due(t, x, at(2), 7)
}

// A handler that fails is tried again after 2, 4, 8, 16, 32 and 64 seconds, each
// up to a quarter longer, and then no more.
func TestRetries(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999} {
		x := alarm.New(func() float64 { return random })
		set(x, key(1), at(0))
		now := at(0)
		for retry := range 7 {
			run := due(t, x, now, 1)[0]
			if run.Retry != retry || !run.Scheduled.Equal(at(0)) {
				t.Errorf("got %+v, want retry %d of the alarm at %v", run, retry, at(0))
			}
			now = now.Add(100 * time.Millisecond)
			effects := x.Finish(key(1), alarm.Failed, now)
			if retry == 6 {
				if run := due(t, x, now, 1)[0]; !run.Drop {
					t.Error("the last try is not dropped")
				}
				break
			}
			if run.Drop || !effects.Store || effects.Wake.Retry != retry+1 || !effects.Wake.At.Equal(at(0)) {
				t.Errorf("retry %d: got %+v", retry, effects)
			}
			shortest := 2 * time.Second << retry
			delay := shortest + time.Duration(random*0.25*float64(shortest))
			due(t, x, now.Add(delay-2*time.Millisecond), 0)
			now = now.Add(delay)
		}
		ran(x, key(1), now) // its deletion
		if _, ok := x.Next(); ok || x.Len() != 0 {
			t.Error("something is left of a dropped alarm")
		}
	}
}

func TestInterruptedRunsDoNotCount(t *testing.T) {
	x := alarm.New(half)
	set(x, key(1), at(0))
	now := at(0)
	for range 20 {
		if run := due(t, x, now, 1)[0]; run.Retry != 0 || run.Drop {
			t.Fatalf("got %+v", run)
		}
		x.Finish(key(1), alarm.Interrupted, now)
		next, _ := x.Next()
		if wait := next.Sub(now); wait < 2*time.Second || wait > 80*time.Second {
			t.Fatalf("tried again after %v", wait)
		}
		now = next
	}
}

func TestNoRetryIfTheObjectSaysSo(t *testing.T) {
	x := alarm.New(half)
	set(x, key(1), at(0))
	due(t, x, at(0), 1)
	effects := x.Finish(key(1), alarm.FailedForGood, at(0))
	if !effects.Store || effects.Wake.Retry != alarm.MaxRetries+1 {
		t.Errorf("got %+v", effects)
	}
	again := alarm.New(half) // a restart does not forget it
	again.Load(key(1), effects.Wake)
	for _, x := range []*alarm.Index{x, again} {
		if run := due(t, x, at(0), 1)[0]; !run.Drop {
			t.Errorf("got %+v", run)
		}
		// If that does not succeed either it is tried again, but not in a row.
		x.Finish(key(1), alarm.Failed, at(0))
		due(t, x, at(1), 0)
		if run := due(t, x, at(100), 1)[0]; !run.Drop {
			t.Errorf("got %+v", run)
		}
		ran(x, key(1), at(100))
		if x.Len() != 0 {
			t.Errorf("%d left", x.Len())
		}
	}
}

func TestNewAlarmReplacesARetry(t *testing.T) {
	x := alarm.New(half)
	set(x, key(1), at(0))
	due(t, x, at(0), 1)
	x.Finish(key(1), alarm.Failed, at(0))
	set(x, key(1), at(100))
	due(t, x, at(99), 0)
	if run := due(t, x, at(100), 1)[0]; run.Retry != 0 || !run.Scheduled.Equal(at(100)) {
		t.Errorf("got %+v", run)
	}
}

func TestAlarmSetByTheHandler(t *testing.T) {
	for _, how := range []alarm.Outcome{alarm.Ran, alarm.Failed} {
		x := alarm.New(half)
		set(x, key(1), at(0))
		due(t, x, at(0), 1)
		set(x, key(1), at(1))
		due(t, x, at(5), 0) // one run at a time
		x.Finish(key(1), how, at(5))
		if run := due(t, x, at(5), 1)[0]; run.Retry != 0 || !run.Scheduled.Equal(at(1)) {
			t.Errorf("outcome %d: got %+v", how, run)
		}
	}
}

// A handler that sets an alarm in a transaction that is rolled back, and fails,
// is tried again as if it had not.
func TestRolledBackAlarmDoesNotReplaceARetry(t *testing.T) {
	x := alarm.New(half)
	set(x, key(1), at(0))
	due(t, x, at(0), 1)
	x.Earlier(key(1), at(500))
	x.Finish(key(1), alarm.Failed, at(0))
	if run := due(t, x, at(3), 1)[0]; run.Retry != 1 {
		t.Errorf("got %+v", run)
	}
}

// The index moves earlier before the commit, and later only when the commit is
// durable and nothing else was said since.
func TestNeverLaterThanTheTruth(t *testing.T) {
	x := alarm.New(half)
	effects := x.Earlier(key(1), at(50))
	if !effects.Store || !effects.Wake.At.Equal(at(50)) {
		t.Errorf("before the first commit: got %+v", effects)
	}
	x.Confirm(x.Later(key(1), at(50)))

	later := x.Later(key(1), at(80))
	if next, _ := x.Next(); !next.Equal(at(50)) {
		t.Errorf("before it is durable: got %v", next)
	}
	effects = x.Earlier(key(1), at(60)) // another commit follows
	if effects.Store {
		t.Errorf("what is stored is earlier still: got %+v", effects)
	}
	if effects := x.Confirm(later); effects.Store {
		t.Errorf("an old word moves the index: %+v", effects)
	}
	if next, _ := x.Next(); !next.Equal(at(50)) {
		t.Errorf("got %v", next)
	}
	if effects := x.Confirm(x.Later(key(1), at(60))); !effects.Store || !effects.Wake.At.Equal(at(60)) {
		t.Errorf("got %+v", effects)
	}
	if effects := x.Confirm(x.Later(key(1), time.Time{})); !effects.Store || !effects.Wake.At.IsZero() {
		t.Errorf("got %+v", effects)
	}
	if x.Len() != 0 {
		t.Errorf("%d left", x.Len())
	}
}

// An object that was asked too early tells the truth.
func TestSpuriousWakeIsHarmless(t *testing.T) {
	x := alarm.New(half)
	x.Earlier(key(1), at(1)) // and its transaction is rolled back
	due(t, x, at(1), 1)
	l := x.Later(key(1), at(30))
	x.Finish(key(1), alarm.Ran, at(1))
	x.Confirm(l)
	due(t, x, at(29), 0)
	due(t, x, at(30), 1)
}

// If an object says nothing, or what it says does not become durable, it is
// asked again: an alarm is never forgotten.
func TestSilenceIsRepaired(t *testing.T) {
	x := alarm.New(half)
	set(x, key(1), at(0))
	due(t, x, at(0), 1)
	x.Finish(key(1), alarm.Ran, at(0))
	due(t, x, at(3), 1)
	if x.Repairs() != 1 {
		t.Errorf("%d repairs", x.Repairs())
	}
	x.Later(key(1), at(9)) // its guest dies before it is durable
	x.Finish(key(1), alarm.Ran, at(3))
	due(t, x, at(32), 0)
	due(t, x, at(33), 1)
}

func TestUnknownAlarmIsFound(t *testing.T) {
	x := alarm.New(half)
	effects := x.Confirm(x.Later(key(1), at(5)))
	if !effects.Store || !effects.Wake.At.Equal(at(5)) || x.Repairs() != 1 {
		t.Errorf("got %+v, %d repairs", effects, x.Repairs())
	}
	due(t, x, at(5), 1)
}

// What an object's database holds when it is opened is news only if the index
// would be later than the truth.
func TestFoundAlarm(t *testing.T) {
	x := alarm.New(half)
	if effects := x.Found(key(1), at(5)); !effects.Store || !effects.Wake.At.Equal(at(5)) || x.Repairs() != 1 {
		t.Errorf("unknown: got %+v, %d repairs", effects, x.Repairs())
	}
	if effects := x.Found(key(1), at(5)); effects.Store {
		t.Errorf("known: got %+v", effects)
	}
	x.Found(key(1), at(4))
	due(t, x, at(3.9), 0)
	due(t, x, at(4), 1)
	x.Found(key(1), at(4))
	x.Finish(key(1), alarm.Failed, at(4))
	x.Found(key(1), at(4)) // between two retries it is still there
	due(t, x, at(5.9), 0)
	if run := due(t, x, at(7), 1)[0]; run.Retry != 1 {
		t.Errorf("got %+v", run)
	}
	if x.Repairs() != 2 {
		t.Errorf("%d repairs, want 2", x.Repairs())
	}
}

// An object whose guest has died is asked soon, whatever was known of it.
func TestDoubt(t *testing.T) {
	x := alarm.New(half)
	if effects := x.Doubt(key(1), at(0)); !effects.Store {
		t.Errorf("unknown: got %+v", effects)
	}
	set(x, key(2), at(1))
	x.Doubt(key(2), at(0))
	set(x, key(3), at(100))
	if effects := x.Doubt(key(3), at(0)); effects.Store {
		t.Errorf("known: got %+v", effects)
	}
	if run := due(t, x, at(1), 1)[0]; run.Key != key(2) {
		t.Errorf("got %+v", run)
	}
	due(t, x, at(2), 2)
	ran(x, key(1), at(2))
	x.Confirm(x.Later(key(3), at(100)))
	x.Finish(key(3), alarm.Ran, at(2))
	due(t, x, at(99), 0)
	due(t, x, at(100), 1)
	if x.Repairs() != 0 || x.Len() != 2 {
		t.Errorf("%d repairs, %d alarms; want 0 and 2", x.Repairs(), x.Len())
	}
}

func TestLook(t *testing.T) {
	x := alarm.New(half)
	if _, ok := x.Look(key(1)); ok {
		t.Error("there is no alarm")
	}
	set(x, key(1), at(5))
	due(t, x, at(5), 1)
	if a, _ := x.Look(key(1)); !a.Running || !a.Scheduled.Equal(at(5)) || !a.Next.IsZero() {
		t.Errorf("while it runs: %+v", a)
	}
	x.Finish(key(1), alarm.Failed, at(5))
	if a, _ := x.Look(key(1)); a.Running || a.Retry != 1 || !a.Scheduled.Equal(at(5)) || a.Next.Before(at(7)) {
		t.Errorf("before the retry: %+v", a)
	}
}

// An entry that nobody waits for is found and put right.
func TestMend(t *testing.T) {
	for name, spoil := range alarm.Spoilers {
		x := alarm.New(half)
		for i := range 500 {
			set(x, key(i), at(float64(i)))
		}
		due(t, x, at(2), 3)
		for range 3 {
			if x.Mend() {
				t.Fatalf("%s: mended what was right", name)
			}
		}
		spoil(x)
		mended := 0
		for range 3 {
			if x.Mend() {
				mended++
			}
		}
		if mended != 1 || x.Repairs() != 1 {
			t.Errorf("%s: mended %d times, %d repairs; want 1 and 1", name, mended, x.Repairs())
		}
		last := time.Time{}
		for _, run := range x.Due(nil, at(500), 1000) {
			if run.Scheduled.Before(last) {
				t.Errorf("%s: %v after %v", name, run.Scheduled, last)
			}
			last = run.Scheduled
		}
		if x.Running() != 500 {
			t.Errorf("%s: %d of 500 alarms came", name, x.Running())
		}
	}
}

func TestRestart(t *testing.T) {
	x := alarm.New(half)
	x.Load(key(1), storage.Wake{At: at(5), Retry: 4})
	x.Load(key(2), storage.Wake{At: at(100)})
	x.Load(key(3), storage.Wake{})
	if run := due(t, x, at(50), 1)[0]; run.Retry != 4 || run.Key != key(1) {
		t.Errorf("got %+v", run)
	}
	x.Finish(key(1), alarm.Failed, at(50))
	next, _ := x.Next()
	if wait := next.Sub(at(50)); wait < 32*time.Second || wait > 40*time.Second {
		t.Errorf("fifth retry after %v", wait)
	}
	if x.Len() != 2 {
		t.Errorf("%d alarms", x.Len())
	}
}

// What do 100,000 alarms cost? The budget is what was measured on 2026-11-22
// (141 bytes) and half as much again; when it trips, look at entry.
func TestAlarmsAreSmall(t *testing.T) {
	const n, budget = 100_000, 212
	keys := make([]dormouse.Key, n)
	for i := range keys {
		keys[i] = key(i)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := alarm.New(half)
	for i, k := range keys {
		set(x, k, at(float64(i%5000)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.HeapAlloc - before.HeapAlloc) / n; each > budget {
		t.Errorf("an alarm takes %d bytes, the budget is %d", each, budget)
	} else {
		t.Logf("%d bytes each", each)
	}
	if x.Len() != n {
		t.Errorf("%d alarms", x.Len())
	}
}

// What does it cost to set, wake and finish an alarm among 100,000 others?
func BenchmarkAlarm(b *testing.B) {
	x := alarm.New(half)
	for i := range 100_000 {
		set(x, key(i), at(float64(1_000_000+i)))
	}
	k := key(-1)
	var runs []alarm.Run
	for b.Loop() {
		set(x, k, at(1))
		runs = x.Due(runs[:0], at(1), 10)
		ran(x, k, at(1))
	}
}
