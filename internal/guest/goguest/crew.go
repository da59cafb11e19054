package goguest

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
)

// crew runs the handlers of one guest.
//
// Usually the loop's own goroutine does it, at the end of a round in which there
// is work: the loop is lent to it, so a short handler costs no change of
// goroutines, and what it says leaves in the same round. When a handler waits, or
// takes long, the loop is taken from it and goes on elsewhere, and its goroutine
// becomes the handler's own: see lent.go.
//
// For classes whose handlers have done so again and again there are workers,
// goroutines that the loop starts at the end of a round and that end when there is
// no work. When a handler of theirs takes long, the loop notices within a moment,
// hands over what the handler has said so far, and starts more workers for what
// waits behind it.
type crew struct {
	// Set once, before use.
	loop    *loop.Loop
	publish func()       // has what has come in the round pushed; on the loop
	apply   func(*batch) // on the loop

	// Owned by the loop.
	watch *loop.Timer
	extra int // workers to start when nothing has moved since the last look

	fresh atomic.Int32 // runners whose handler the loop has not found slow yet

	mu        sync.Mutex  // guards the following
	ready     []*instance // with work, and nobody who does it, in order
	workers   int         // that take from ready
	runners   map[*runner]struct{}
	out       []*batch // handed over, oldest first
	attending bool     // the loop will look at out by itself
	posted    bool     // apply was posted and has not run
	free      []*batch
	drained   chan struct{} // closed when the last runner has ended; nil: nobody waits
	lent
}

// stallAfter is how long a handler may run before the loop looks after those
// that wait.
const stallAfter = time.Millisecond

// maxWorkers bounds the goroutines that run handlers of one guest; Yield's come
// on top, for they wait. Past it events wait in the mail of their objects.
const maxWorkers = 4096

// maxKept bounds the memory of batches that wait to be used again.
const maxKept = 64

// newCrew makes a crew. Call it before the transport of the loop is made, so
// that what handlers say is flushed in the same round.
func newCrew(l *loop.Loop) *crew {
	c := &crew{loop: l, extra: 1, runners: make(map[*runner]struct{})}
	c.watch = loop.NewTimer(c.look)
	l.OnFlush(func() { c.publish() })
	l.OnFlushLend(c.begin)
	l.OnFlush(c.round)
	return c
}

// runner is a goroutine that runs handlers.
type runner struct {
	crew *crew
	own  atomic.Bool // it is no worker any more, but an event's own
	slow atomic.Bool // the loop need not look at it again
	on   atomic.Pointer[instance]

	// Of one that the loop is lent to: see lent.go.
	borrows bool // set once, as is run
	run     func()
	tired   atomic.Bool // it shall let the loop have its turn
	said    int         // full batches; its own goroutine's

	// The watch looks while the loop is lent to the runner, then the loop does; one
	// may not have ended when the other begins.
	looks sync.Mutex // guards the following; before an instance's lock
	seen  *instance  // at the last look
	turns uint32
}

// note says that the runner goes on with an instance.
func (r *runner) note(i *instance) {
	r.on.Store(i)
	r.setSlow(false)
}

// moved says whether the runner has begun another turn since the last look.
func (r *runner) moved() bool {
	r.looks.Lock()
	defer r.looks.Unlock()
	i := r.on.Load()
	if i == nil {
		return r.seen != nil
	}
	i.mu.Lock()
	i.countLocked()
	n := i.turns
	i.mu.Unlock()
	moved := i != r.seen || n != r.turns
	r.seen, r.turns = i, n
	return moved
}

// setSlow notes whether the loop need not look at the runner. When it has to
// again, it is woken, to see to that.
func (r *runner) setSlow(slow bool) {
	switch {
	case r.slow.Load() == slow || r.slow.Swap(slow) == slow:
	case slow:
		r.crew.fresh.Add(-1)
	default:
		r.crew.fresh.Add(1)
		r.crew.loop.Post(func() {})
	}
}

// push adds an instance with work. Pairs with instance.work.
func (c *crew) push(i *instance) {
	c.mu.Lock()
	c.ready = append(c.ready, i)
	c.mu.Unlock()
}

// begin is the end of the loop's round, when what the round has brought has been
// published: it returns the runner that does it on this goroutine, or starts a
// worker.
func (c *crew) begin() (work func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) == 0 || c.workers > 0 {
		return nil
	}
	c.attending = true
	if !c.patientLocked() {
		return c.lendLocked().run
	}
	c.startLocked()
	c.mu.Unlock()
	runtime.Gosched() // the worker has its turn at once
	c.mu.Lock()
	return nil
}

// round says what came of the round's work.
func (c *crew) round() {
	if c.say() {
		c.loop.Post(func() {}) // what was said has made work: another round
	}
	c.arm()
}

// arm has the loop look again if somebody runs whom it has not found slow, or
// somebody waits behind one who is.
func (c *crew) arm() {
	if c.watch.Scheduled() {
		return
	}
	c.mu.Lock()
	waiting := len(c.ready) > 0
	c.mu.Unlock()
	if waiting || c.fresh.Load() > 0 {
		c.loop.Schedule(c.watch, time.Now().Add(stallAfter))
	}
}

// say applies what was handed over, and tells whether there is work that
// nobody does.
func (c *crew) say() bool {
	for {
		c.mu.Lock()
		c.attending = false
		out := c.out
		c.out = nil
		if len(out) == 0 {
			more := len(c.ready) > 0 && c.workers == 0
			c.mu.Unlock()
			return more
		}
		c.mu.Unlock()
		for _, b := range out {
			c.apply(b)
		}
		c.keep(out)
	}
}

// handOver gives a batch to the loop.
func (c *crew) handOver(b *batch) {
	c.mu.Lock()
	c.out = append(c.out, b)
	post := !c.attending && !c.posted
	if post {
		c.posted = true
	}
	c.mu.Unlock()
	if post {
		c.loop.Post(c.sayPosted)
	}
}

func (c *crew) sayPosted() {
	c.mu.Lock()
	c.posted = false
	c.mu.Unlock()
	c.say() // the end of the round looks for work
}

// batch is an empty one.
func (c *crew) batch(i *instance) *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		b.from = i
		return b
	}
	return &batch{from: i, mark: -1}
}

// keep takes back batches that were applied.
func (c *crew) keep(list []*batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range list {
		if len(c.free) >= maxKept || cap(b.bytes) > 4*batchBytes || cap(b.ops) > 4*batchOps {
			continue
		}
		clear(b.do)
		*b = batch{ops: b.ops[:0], bytes: b.bytes[:0], ids: b.ids[:0], do: b.do[:0], mark: -1}
		c.free = append(c.free, b)
	}
}

// startLocked starts a worker.
func (c *crew) startLocked() {
	r := &runner{crew: c}
	c.workers++
	c.runners[r] = struct{}{}
	c.fresh.Add(1)
	go c.worker(r)
}

// guest is a runner that is no worker: somebody else's goroutine, which the crew
// waits for. Pairs with ended.
func (c *crew) guest() *runner {
	r := &runner{crew: c}
	r.own.Store(true)
	r.slow.Store(true) // until it has an object
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runners[r] = struct{}{}
	return r
}

// worker does what is ready until there is nothing more.
func (c *crew) worker(r *runner) {
	defer c.ended(r) // also after runtime.Goexit in a handler
	for {
		c.mu.Lock()
		if r.own.Load() || len(c.ready) == 0 {
			c.mu.Unlock()
			return
		}
		i := c.popLocked()
		c.mu.Unlock()
		i.work(r)
	}
}

// popLocked takes the first instance that is ready.
func (c *crew) popLocked() *instance {
	i := c.ready[0]
	c.ready[0] = nil
	if c.ready = c.ready[1:]; len(c.ready) == 0 {
		c.ready = nil
	}
	return i
}

// ended forgets a runner whose goroutine ends.
func (c *crew) ended(r *runner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.runners, r)
	r.setSlow(true)
	if !r.own.Load() {
		c.workers--
		c.replaceLocked()
	}
	c.restLocked()
}

// atRestLocked says whether nobody runs a handler.
func (c *crew) atRestLocked() bool { return len(c.runners) == 0 && c.borrower == nil }

// restLocked tells those who wait until nobody runs.
func (c *crew) restLocked() {
	if c.drained != nil && c.atRestLocked() {
		close(c.drained)
		c.drained = nil
	}
}

// replaceLocked starts a worker if there is work and nobody who does it.
func (c *crew) replaceLocked() {
	if len(c.ready) > 0 && c.workers == 0 {
		c.startLocked()
	}
}

// detach makes a worker the own goroutine of the event that it runs, because
// that is going to wait. Others go on with the work.
func (r *runner) detach() {
	c := r.crew
	if c.takeFrom(r) || r.own.Swap(true) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers--
	c.replaceLocked()
}

// look is the loop's look at handlers that take long. The loop's round arms it
// again if need be.
func (c *crew) look() {
	c.mu.Lock()
	runners := slices.Collect(maps.Keys(c.runners))
	c.mu.Unlock()
	moved := false
	for _, r := range runners {
		if r.slow.Load() {
			continue
		}
		if r.moved() {
			moved = moved || !r.own.Load()
			continue
		}
		r.setSlow(true)
		if r.moved() {
			r.setSlow(false) // just now
		} else if i := r.on.Load(); i != nil {
			i.slowDown()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if moved || len(c.ready) == 0 {
		c.extra = 1
		return
	}
	for range min(c.extra, len(c.ready), maxWorkers-c.workers) {
		c.startLocked()
	}
	c.extra *= 2
}

// tell has f run on the loop, behind everything that was handed over.
func (c *crew) tell(f func()) {
	c.handOver(&batch{ops: []op{{kind: opAlways}}, do: []func(){f}, mark: -1})
}

// wait waits until no handler runs any more, or for d.
func (c *crew) wait(d time.Duration) bool {
	c.mu.Lock()
	if c.atRestLocked() {
		c.mu.Unlock()
		return true
	}
	if c.drained == nil {
		c.drained = make(chan struct{})
	}
	drained := c.drained
	c.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-drained:
		return true
	case <-t.C:
		return false
	}
}
