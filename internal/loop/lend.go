package loop

import "time"

// A loop can be lent: work that is short most of the time, and may have to wait,
// runs on the loop's own goroutine, which costs no change of goroutines. If it
// does wait, somebody takes the loop from it, and the rounds go on elsewhere.
//
// While the loop is lent nobody has it, so what belongs to it must not be touched.

// hook is something to be done at the end of each round.
type hook struct {
	f    func()        // on the loop; nil: lend
	lend func() func() // on the loop; returns what the loop is lent to, nil for nothing
}

// OnFlushLend is OnFlush for work that the loop is lent to: f returns it, or nil
// when there is none.
//
// If the work ends its goroutine (runtime.Goexit), the loop is taken from it.
func (l *Loop) OnFlushLend(f func() (work func())) {
	l.hooks = append(l.hooks, hook{lend: f})
}

// Take ends a lending: the rounds go on behind the work, on a new goroutine, and
// the goroutine of the work ends when that returns. It reports false when the
// loop is not lent. Any goroutine, but one of those who could take it at a time.
func (l *Loop) Take() bool { return l.take(l.turn.Load()) }

// take ends the lending with this number, which is odd.
func (l *Loop) take(lent uint64) bool {
	if lent&1 == 0 || !l.turn.CompareAndSwap(lent, lent+1) {
		return false
	}
	go func() {
		l.now = time.Time{}
		if l.flush(l.lentAt + 1) {
			l.run()
		}
	}()
	return true
}

// flush runs the hooks from the given one on. It reports false when the loop has
// been taken: then this goroutine must not touch it any more.
func (l *Loop) flush(from int) (kept bool) {
	for n := from; n < len(l.hooks); n++ {
		h := &l.hooks[n]
		if h.f != nil {
			h.f()
			continue
		}
		work := h.lend()
		if work == nil {
			continue
		}
		if !l.lendTo(work, n) {
			return false
		}
		l.now = time.Time{} // it may have taken long
	}
	return true
}

// lendTo runs work and reports whether the loop is still this goroutine's.
func (l *Loop) lendTo(work func(), n int) (kept bool) {
	l.lentAt = n
	lent := l.turn.Add(1)
	returned := false
	defer func() {
		if !returned {
			l.take(lent)
		}
	}()
	work()
	returned = true
	return l.turn.CompareAndSwap(lent, lent+1)
}
