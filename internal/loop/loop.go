// Package loop runs one shard of the work on one goroutine. A Loop owns a
// shard: whatever is said to run "on the loop" runs on its one goroutine, so
// what belongs to the shard needs no lock. It knows descriptors, functions,
// times and nothing of what they mean.
//
// Its work is a sequence of rounds. In each round it
//
//  1. handles every descriptor that is ready,
//  2. runs the functions that were posted until then,
//  3. runs the timers that are due,
//  4. runs the flush hooks, in the order of their registration.
//
// What they post, and what is scheduled, belongs to the next round, so posted
// work that posts more cannot starve the descriptors. When there is nothing to
// do the loop sleeps without a tick.
package loop

import (
	"sync"
	"sync/atomic"
	"time"
)

// Loop is one shard's goroutine and what it waits for. Use New or NewPortable.
type Loop struct {
	// Set once, before use.
	poll poller
	done chan struct{} // closed when the goroutine has ended

	// Owned by the goroutine; before Start, by the one who made the loop.
	now    time.Time // of this round; zero until asked for
	timers timers
	hooks  []hook
	batch  []func() // being run, or empty and kept for its memory
	lentAt int      // the hook that the loop was last lent to

	turn atomic.Uint64 // odd while the loop is lent: see lend.go

	mu      sync.Mutex // guards the following
	posted  []func()
	asleep  bool // the goroutine waits, and nobody has woken it yet
	started bool
	stopped bool
}

// poller waits for something outside of the loop.
type poller interface {
	// poll handles what is ready and returns. With wait 0 it does not wait,
	// with a negative one it waits for ever.
	poll(wait time.Duration)
	// ready handles what is ready without waiting and reports whether
	// there was anything.
	ready() bool
	// stop has what is ready and has not been handled yet wait for the next call.
	stop()
	// wake ends a poll that waits, or the next one. Any goroutine.
	wake()
	// close releases what the poller holds. After it wake does nothing.
	close()
}

func newLoop(p poller) *Loop {
	return &Loop{poll: p, done: make(chan struct{})}
}

// Start begins the rounds. It may be called once.
func (l *Loop) Start() {
	l.mu.Lock()
	if l.started {
		l.mu.Unlock()
		panic("loop: started twice")
	}
	l.started = true
	l.mu.Unlock()
	go l.run()
}

// Stop ends the loop and waits for it: functions that were posted before still
// run, in a last round, with its flush hooks; timers and descriptors that are
// watched are forgotten. Any goroutine but the loop's own; more than once if
// you like.
func (l *Loop) Stop() {
	l.mu.Lock()
	first := !l.stopped
	l.stopped = true
	started := l.started
	l.started = true
	l.asleep = false
	l.mu.Unlock()
	switch {
	case started:
		l.poll.wake()
	case first:
		l.poll.close()
		close(l.done)
	}
	<-l.done
}

// Post has f run on the loop, later, in the order of the calls. Any
// goroutine; it never blocks. It reports false, and f does not run, after Stop.
//
// The queue has no bound of its own: who posts on behalf of a peer bounds what
// that peer may have outstanding.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return false
	}
	l.posted = append(l.posted, f)
	wake := l.asleep
	l.asleep = false // one wake-up is enough for all who post until the loop sleeps again
	l.mu.Unlock()
	if wake {
		l.poll.wake()
	}
	return true
}

// Call is Post that waits until f has run. Any goroutine but the loop's own,
// where it would wait for itself.
func (l *Loop) Call(f func()) bool {
	ran := make(chan struct{})
	if !l.Post(func() { f(); close(ran) }) {
		return false
	}
	select {
	case <-ran:
		return true
	case <-l.done:
	}
	select {
	case <-ran: // both may be ready; what has run has run
		return true
	default:
		return false // stopped without ever having been started
	}
}

// OnFlush has f run at the end of each round, after the hooks registered
// before. Call it before Start or on the loop. A hook that leaves work for an
// earlier hook posts a function, so that there is another round.
func (l *Loop) OnFlush(f func()) { l.hooks = append(l.hooks, hook{f: f}) }

// Enough has the round handle no more descriptors after this one, because what
// they bring is more than should wait for the round's end. Those that are ready
// already come first in the next round. On the loop.
func (l *Loop) Enough() { l.poll.stop() }

// Now is the time of this round: read once, when first asked for. On the loop.
func (l *Loop) Now() time.Time {
	if l.now.IsZero() {
		l.now = time.Now()
	}
	return l.now
}

// run goes on until the loop ends, or is taken from this goroutine.
func (l *Loop) run() {
	for {
		wait, ok := l.idle()
		if !ok {
			break
		}
		l.now = time.Time{}
		if !l.round(wait) {
			return
		}
	}
	l.poll.close()
	close(l.done)
}

// idle says how long the next round may wait for descriptors: 0 when there is
// something to run, negative when nothing is planned. ok is false at the end.
func (l *Loop) idle() (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.posted) > 0:
		return 0, true
	case l.stopped:
		return 0, false
	}
	at, planned := l.timers.next()
	if !planned {
		return -1, true
	}
	return max(0, time.Until(at)), true
}

func (l *Loop) round(wait time.Duration) (kept bool) {
	scheduled := l.timers.seq
	if !l.poll.ready() && wait != 0 && l.sleep() {
		l.poll.poll(wait)
		l.mu.Lock()
		l.asleep = false
		l.mu.Unlock()
	}
	l.runPosted()
	l.timers.run(l, scheduled)
	return l.flush(0)
}

// sleep announces that the loop is about to wait, so that the next Post wakes
// it. It reports false when there is something to run after all.
func (l *Loop) sleep() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asleep = len(l.posted) == 0 && !l.stopped
	return l.asleep
}

func (l *Loop) runPosted() {
	l.mu.Lock()
	l.posted, l.batch = l.batch[:0], l.posted
	l.mu.Unlock()
	for i, f := range l.batch {
		l.batch[i] = nil
		f()
	}
	if cap(l.batch) > maxKeptBatch {
		l.batch = nil
	}
}

// maxKeptBatch is the longest list of posted functions whose memory is kept.
const maxKeptBatch = 16 << 10
