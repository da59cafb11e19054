package loop

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// each runs a test on both kinds of loop.
func each(t *testing.T, test func(t *testing.T, l *Loop)) {
	t.Run("portable", func(t *testing.T) { test(t, NewPortable()) })
	t.Run("system", func(t *testing.T) {
		l, err := New()
		if err != nil {
			t.Fatal(err)
		}
		test(t, l)
	})
}

func start(t *testing.T, l *Loop) {
	t.Helper()
	l.Start()
	t.Cleanup(l.Stop)
}

func TestPostRunsInOrder(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		start(t, l)
		const posters, each = 4, 1000
		var got [posters][]int // owned by the loop
		var wg sync.WaitGroup
		for p := range posters {
			wg.Go(func() {
				for i := range each {
					l.Post(func() { got[p] = append(got[p], i) })
				}
			})
		}
		wg.Wait()
		l.Call(func() {
			for p, list := range got {
				if len(list) != each || !slices.IsSorted(list) {
					t.Errorf("poster %d: %d functions ran, in order: %t; want %d in order", p, len(list), slices.IsSorted(list), each)
				}
			}
		})
	})
}

func TestStopRunsWhatWasPosted(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		l.Start()
		var ran, accepted atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for l.Post(func() { ran.Add(1) }) {
					accepted.Add(1)
				}
			})
		}
		for ran.Load() < 100 {
			runtime.Gosched()
		}
		l.Stop()
		wg.Wait()
		if ran.Load() != accepted.Load() {
			t.Errorf("%d functions ran, want all %d that were accepted", ran.Load(), accepted.Load())
		}
		if l.Post(func() { t.Error("ran after Stop") }) || l.Call(func() { t.Error("ran after Stop") }) {
			t.Error("Post or Call accepted a function after Stop")
		}
		l.Stop() // again does nothing
	})
}

func TestStopWithoutStart(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		called := make(chan bool)
		go func() { called <- l.Call(func() { t.Error("ran") }) }()
		l.Stop()
		if <-called {
			t.Error("Call says that the function ran")
		}
	})
}

func TestRoundsDoNotStarve(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		flushes := 0
		l.OnFlush(func() { flushes++ })
		start(t, l)
		done := make(chan int)
		left := 100
		var again func()
		again = func() {
			if left--; left > 0 {
				l.Post(again)
				return
			}
			done <- flushes
		}
		l.Post(again)
		// Each of them ran in a round of its own, with a flush between.
		if got := <-done; got < 99 {
			t.Errorf("%d flushes between 100 functions that post each other, want at least 99", got)
		}
	})
}

func TestFlushHooksRunInOrderAfterTheRest(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		var got []string
		l.OnFlush(func() { got = append(got, "first") })
		l.OnFlush(func() { got = append(got, "second") })
		start(t, l)
		l.Call(func() {
			got = nil
			l.Post(func() { got = append(got, "posted") })
			l.Schedule(NewTimer(func() { got = append(got, "timer") }), l.Now())
		})
		l.Call(func() {})
		l.Call(func() {
			// The rest of the round of the first call, then the next round.
			want := []string{"first", "second", "posted", "timer", "first", "second"}
			if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
				t.Errorf("got %q, want %q first", got, want)
			}
		})
	})
}

func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPortable()
		l.Start()
		defer l.Stop()
		begin := time.Now()
		type firing struct {
			name string
			at   time.Duration
		}
		var got []firing
		timer := func(name string) *Timer {
			return NewTimer(func() { got = append(got, firing{name, l.Now().Sub(begin)}) })
		}
		l.Call(func() {
			a, b, c, d := timer("a"), timer("b"), timer("c"), timer("d")
			l.Schedule(a, begin.Add(3*time.Second))
			l.Schedule(b, begin.Add(time.Second))
			l.Schedule(c, begin.Add(2*time.Second))
			l.Schedule(d, begin.Add(2*time.Second))
			l.Schedule(b, begin.Add(5*time.Second)) // a later plan replaces
			l.Cancel(c)
			l.Cancel(c)
			if !a.Scheduled() || c.Scheduled() {
				t.Error("Scheduled does not tell planned from cancelled")
			}
			l.Schedule(timer("past"), begin.Add(-time.Hour))
			l.Schedule(timer("e"), begin.Add(2*time.Second)) // after d: same time, later plan
		})
		time.Sleep(10 * time.Second)
		l.Call(func() {
			want := []firing{{"past", 0}, {"d", 2 * time.Second}, {"e", 2 * time.Second}, {"a", 3 * time.Second}, {"b", 5 * time.Second}}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	})
}

func TestTimerThatPlansItselfDoesNotStarve(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		start(t, l)
		fired := 0
		l.Call(func() {
			var again *Timer
			again = NewTimer(func() {
				fired++
				l.Schedule(again, l.Now()) // due at once, but in the next round
			})
			l.Schedule(again, l.Now())
		})
		l.Call(func() {}) // gets its turn all the same
		l.Call(func() {
			if fired == 0 {
				t.Error("the timer did not fire")
			}
		})
	})
}

// TestTimersAgainstASort runs random plans and cancellations and compares the
// order with a plain sort.
func TestTimersAgainstASort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPortable()
		l.Start()
		defer l.Stop()
		r := rand.New(rand.NewPCG(1, 2))
		begin := time.Now()
		var got, want []int
		due := map[int]time.Duration{}
		timers := make([]*Timer, 200)
		for i := range timers {
			timers[i] = NewTimer(func() { got = append(got, i) })
		}
		l.Call(func() {
			for range 2000 {
				i := r.IntN(len(timers))
				if r.IntN(4) == 0 {
					l.Cancel(timers[i])
					delete(due, i)
					continue
				}
				// Every time is another, so the order is certain.
				at := time.Duration(r.IntN(1000))*time.Second + time.Duration(i)*time.Millisecond
				l.Schedule(timers[i], begin.Add(time.Second+at))
				due[i] = at
			}
		})
		for i := range due {
			want = append(want, i)
		}
		slices.SortFunc(want, func(a, b int) int { return int(due[a] - due[b]) })
		time.Sleep(2000 * time.Second)
		l.Call(func() {
			if !slices.Equal(got, want) {
				t.Errorf("got order %v, want %v", got, want)
			}
		})
	})
}

func TestNowIsOneTimePerRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPortable()
		l.Start()
		defer l.Stop()
		l.Call(func() {
			before := l.Now()
			time.Sleep(time.Second) // the test's own: the bubble's clock moves
			if !l.Now().Equal(before) {
				t.Error("Now changed within a round")
			}
		})
		l.Call(func() {
			if got := time.Since(l.Now()); got != 0 {
				t.Errorf("Now in a new round is %v old", got)
			}
		})
	})
}

func TestStartTwicePanics(t *testing.T) {
	l := NewPortable()
	start(t, l)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	l.Start()
}

// What does it cost to hand a function to a busy loop?
func BenchmarkPost(b *testing.B) {
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	l.Start()
	defer l.Stop()
	var n int
	f := func() { n++ }
	b.ReportAllocs()
	for b.Loop() {
		l.Post(f)
	}
	l.Call(func() {})
}

// How long does a hand-over to the loop and back take?
func BenchmarkCall(b *testing.B) {
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	l.Start()
	defer l.Stop()
	b.ReportAllocs()
	for b.Loop() {
		l.Call(func() {})
	}
}
