package goguest

import (
	"runtime"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// lent is what a crew knows of the runner that the loop is lent to. It is guarded
// by the crew's lock.
//
// The loop cannot look after that runner, so somebody else does: a timer that
// runs while there is work, and ends when there was none for a moment.
type lent struct {
	borrower *runner // has the loop now; nil: nobody
	spare    *runner // the last one that gave it back
	lendings uint64  // ever

	watching  bool // the timer runs
	timer     *time.Timer
	looked    uint64        // lendings when it last looked
	lookedAt  time.Time     // and when that was
	period    time.Duration // between two looks
	stalledAt time.Time     // the last time that it took the loop

	patience map[*dormouse.Class]*stalls
	until    time.Time // when the last of them ends
}

// stalls are how often the loop has been taken from handlers of a class.
type stalls struct {
	n     int
	since time.Time // of the first that counts
	until time.Time // how long its handlers are not run on the loop's goroutine
}

// A class from whose handlers the loop was taken maxStalls times within a
// stallWindow has workers for a while: each time the loop, and so everybody's
// sockets, stood still for a moment.
const (
	maxStalls   = 16
	stallWindow = time.Second
	patienceFor = 10 * time.Second
)

// The timer looks every calmPeriod, because each look wakes a thread; and every
// stallAfter when a handler has stalled less than stallWindow ago. A handler is found
// by its second look.
const calmPeriod = 4 * time.Millisecond

// maxSaid is how many full batches a runner that has the loop may say before they
// are sent.
const maxSaid = 16

// lendLocked makes a runner the borrower of the loop. Pairs with borrow.
func (c *crew) lendLocked() *runner {
	r := c.spare
	if r == nil {
		r = &runner{crew: c, borrows: true}
		r.run = r.borrow
		c.spare = r
	}
	r.tired.Store(false)
	r.said = 0
	c.borrower = r
	c.workers++
	c.lendings++
	if !c.watching {
		c.watching = true
		if c.timer == nil {
			c.period = calmPeriod
			c.timer = time.AfterFunc(c.period, c.watchBorrower)
		} else {
			c.timer.Reset(c.period)
		}
	}
	return r
}

// borrow does what is ready on the loop's goroutine. When it returns the loop goes
// on, unless it was taken.
func (r *runner) borrow() {
	c := r.crew
	returned := false
	defer func() {
		if !returned { // a handler has ended the goroutine
			c.takeFrom(r)
			c.ended(r)
		}
	}()
	for {
		i := c.nextFor(r)
		if i == nil {
			break
		}
		i.work(r)
	}
	returned = true
	if r.own.Load() {
		c.ended(r)
	}
}

// nextFor takes the next instance that has work. Without one, or when the runner
// is tired, the loop goes back. It returns nil, too, when it has been taken.
func (c *crew) nextFor(r *runner) *instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.own.Load() {
		return nil
	}
	if len(c.ready) > 0 && !r.tired.Load() {
		return c.popLocked()
	}
	c.borrower = nil
	c.workers--
	c.restLocked()
	r.on.Store(nil)
	return nil
}

// takeFrom takes the loop from a runner, whose goroutine is the own one of the
// event that it runs from now on. It reports false if the runner does not have it.
func (c *crew) takeFrom(r *runner) bool {
	if !r.borrows {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.borrower != r || !c.loop.Take() {
		return false
	}
	c.borrower, c.spare = nil, nil
	c.workers--
	r.own.Store(true)
	c.runners[r] = struct{}{}
	c.fresh.Add(1)
	return true
}

// waits says that the event is going to wait for something that only the loop can
// bring, or that its client is to have what was said so far.
func (e *event) waits() {
	if e.runner != nil {
		e.runner.crew.takeFrom(e.runner)
	}
}

// unlockToWait releases the instance's lock because its handler, if one runs, is
// going to wait for the host.
func (i *instance) unlockToWait() {
	e := i.holder
	if e != nil {
		e.turn.pin()
	}
	i.mu.Unlock()
	if e != nil {
		e.waits()
	}
}

// watchBorrower takes the loop from a handler that has not moved since the last
// look.
func (c *crew) watchBorrower() {
	now := time.Now()
	c.mu.Lock()
	r, same := c.borrower, c.looked == c.lendings
	// Who looks late is on a machine that has no time for the handler either.
	late := now.Sub(c.lookedAt) > 2*c.period
	c.looked, c.lookedAt = c.lendings, now
	c.period = calmPeriod
	if now.Sub(c.stalledAt) < stallWindow {
		c.period = stallAfter
	}
	period := c.period
	c.watching = r != nil || !same
	ends, spare := !c.watching, c.spare
	c.mu.Unlock()
	if ends {
		if spare != nil {
			spare.unsee()
		}
		return
	}
	switch {
	case r == nil:
	case r.moved() || !same || late:
		if same {
			r.tired.Store(true)
		}
	case c.takeFrom(r):
		r.setSlow(true)
		if i := r.on.Load(); i != nil {
			i.slowDown()
			c.stalled(i.class)
		}
	}
	c.timer.Reset(period)
}

// unsee has a runner at rest keep no instance.
func (r *runner) unsee() {
	r.looks.Lock()
	defer r.looks.Unlock()
	r.seen = nil
}

// stalled notes that the loop was taken from a handler of a class.
func (c *crew) stalled(k *dormouse.Class) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalledAt = now
	s := c.patience[k]
	if s == nil {
		if c.patience == nil {
			c.patience = make(map[*dormouse.Class]*stalls)
		}
		s = new(stalls)
		c.patience[k] = s
	}
	if now.Sub(s.since) > stallWindow {
		s.n, s.since = 0, now
	}
	if s.n++; s.n >= maxStalls {
		s.until = now.Add(patienceFor)
		c.until = s.until
	}
}

// patientLocked says whether something is ready whose handlers are known to wait.
func (c *crew) patientLocked() bool {
	if c.until.IsZero() {
		return false
	}
	now := time.Now()
	if now.After(c.until) {
		c.until = time.Time{}
		return false
	}
	for _, i := range c.ready {
		if s := c.patience[i.class]; s != nil && now.Before(s.until) {
			return true
		}
	}
	return false
}

// filled follows a batch that was handed over because it was full: the loop sends
// it before much more is said.
func (r *runner) filled() {
	if !r.borrows {
		runtime.Gosched()
		return
	}
	if r.said++; r.said >= maxSaid {
		r.tired.Store(true)
	}
}
