package loop

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// lender lends its loop to what it is given, once each.
type lender struct {
	*Loop
	work func() // owned by the loop
	done int    // rounds that have come behind work; owned by the loop
}

func newLender(l *Loop) *lender {
	n := &lender{Loop: l}
	l.OnFlushLend(func() func() {
		work := n.work
		n.work = nil
		return work
	})
	l.OnFlush(func() { n.done++ })
	return n
}

func (n *lender) to(work func()) { n.Post(func() { n.work = work }) }

func TestLentLoopComesBack(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		n := newLender(l)
		start(t, l)
		for range 100 {
			ran := false
			n.to(func() { ran = true })
			l.Call(func() {}) // the round behind
			l.Call(func() {
				if !ran {
					t.Error("the work was not run in its round")
				}
			})
		}
		if l.Take() {
			t.Error("a loop was taken that was not lent")
		}
	})
}

func TestTakenLoopGoesOnBehindWorkThatWaits(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		n := newLender(l)
		start(t, l)
		const waiting = 20
		release := make(chan struct{})
		var ended sync.WaitGroup
		for range waiting {
			ended.Add(1)
			n.to(func() {
				defer ended.Done()
				if !l.Take() {
					t.Error("the loop was not taken")
				}
				if l.Take() {
					t.Error("the loop was taken twice")
				}
				<-release
			})
			l.Call(func() {})
		}
		rounds := 0
		l.Call(func() { rounds = n.done })
		if rounds < waiting {
			t.Errorf("%d rounds went on behind %d works that wait", rounds, waiting)
		}
		close(release)
		ended.Wait()
		if !l.Call(func() {}) {
			t.Error("the loop has ended with the work")
		}
	})
}

func TestLoopOutlivesAGoroutineThatEnds(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		n := newLender(l)
		start(t, l)
		for range 10 {
			n.to(runtime.Goexit)
			l.Call(func() {})
			n.to(func() {
				l.Take()
				runtime.Goexit()
			})
			l.Call(func() {})
		}
	})
}

func TestStopWaitsForALoopThatIsLent(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		n := newLender(l)
		l.Start()
		begun, release := make(chan struct{}), make(chan struct{})
		n.to(func() { close(begun); <-release })
		<-begun
		stopped := make(chan struct{})
		go func() { l.Stop(); close(stopped) }()
		for !l.Take() {
			t.Fatal("the loop was not lent")
		}
		<-stopped // the work still waits
		close(release)
	})
}

// Whoever takes the loop, and whenever: at any time one goroutine has it.
func TestOneGoroutineHasTheLoop(t *testing.T) {
	each(t, func(t *testing.T, l *Loop) {
		n := newLender(l)
		var inside atomic.Int32
		l.OnFlush(func() {
			if inside.Add(1) != 1 {
				t.Error("two goroutines have the loop")
			}
			inside.Add(-1)
		})
		start(t, l)
		end := make(chan struct{})
		var wg sync.WaitGroup
		taken := 0
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					if l.Take() {
						taken++
					}
					runtime.Gosched()
				}
			}
		})
		const works = 2000
		var ran atomic.Int32
		for range works {
			n.to(func() { ran.Add(1); runtime.Gosched() })
			l.Call(func() {})
		}
		close(end)
		wg.Wait()
		if ran.Load() != works {
			t.Errorf("%d of %d works ran", ran.Load(), works)
		}
		t.Logf("taken %d times", taken)
	})
}
