//go:build unix

package nodeguest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// keeper keeps one guest running for one place.
type keeper struct {
	slot     *Slot
	place    guest.Place
	ctx      context.Context // ends with the slot, or when the host leaves the place
	cancel   context.CancelFunc
	done     chan struct{}
	swap     chan *candidate // guests that take over
	poke     chan struct{}   // holds one: somebody wants to suspend the slot
	retiring atomic.Int32    // guests that have been replaced and have not ended
	spare    *spare          // owned by keep; nil: none is kept

	mu  sync.Mutex // guards the following
	now admin.Guest
}

func newKeeper(s *Slot, p guest.Place) *keeper {
	k := &keeper{slot: s, place: p, done: make(chan struct{}), swap: make(chan *candidate), poke: make(chan struct{}, 1)}
	k.now.Place = string(p)
	k.ctx, k.cancel = context.WithCancel(s.ctx)
	return k
}

// command is what guests are started with now.
func (k *keeper) command() Command {
	k.slot.mu.Lock()
	f := k.slot.command
	k.slot.mu.Unlock()
	return f()
}

// keep runs guests, one after the other, until the slot is stopped or the place
// is left.
func (k *keeper) keep(first chan<- error) {
	defer close(k.done)
	defer k.cancel()
	defer k.noSpare()
	wait := firstWait
	var next *Process // is ready and known to the host
	for {
		began := time.Now()
		p, err := next, error(nil)
		if p == nil {
			p, err = k.start()
		}
		next = nil
		if first != nil {
			first <- err
			if first = nil; err != nil {
				return // whoever started it decides
			}
		}
		if err == nil {
			err = k.watch(p)
		} else if k.ctx.Err() == nil {
			k.unfit(err)
		}
		if k.ctx.Err() != nil {
			return
		}
		if k.held() {
			wait = firstWait
			continue
		}
		if time.Since(began) > longWait {
			wait = firstWait
		}
		if next = k.afterDeath(err, wait); next == nil && k.ctx.Err() != nil {
			return
		}
		if next == nil {
			k.held()
		}
		wait = min(2*wait, longWait)
	}
}

// afterDeath returns the guest that takes over: a spare one at once, or one with
// newer code. Without either it returns nil after a pause.
func (k *keeper) afterDeath(why error, pause time.Duration) *Process {
	id := k.describe().ID
	k.set(func(i *admin.Guest) {
		i.State, i.Since, i.Why, i.PID = "waiting", time.Now(), why.Error(), 0
		i.Restarts++
	})
	if k.place == guest.Everywhere {
		k.slot.mu.Lock()
		k.slot.history.ended(time.Now(), why)
		k.slot.mu.Unlock()
	}
	if c := k.takeSpare(); c != nil {
		k.slot.cfg.Log.Error("guest ended; a spare one takes over", "guest", id, "reason", why, "next", c.process.incarnation)
		k.adopt(c, nil)
		return c.process
	}
	k.slot.cfg.Log.Error("guest ended; starting another", "guest", id, "reason", why, "pause", pause)
	select {
	case <-k.ctx.Done():
	case c := <-k.swap:
		k.adopt(c, nil)
		return c.process
	case <-k.poke:
	case <-time.After(pause):
	}
	return nil
}

// start starts a guest, and returns when it is ready or when another, with newer
// code, has come first.
func (k *keeper) start() (*Process, error) {
	type result struct {
		p   *Process
		err error
	}
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	done := make(chan result, 1)
	c := k.command()
	go func() {
		h := &announced{SlotHost: k.slot.cfg.Host, place: k.place, code: c.Code, ready: make(chan struct{})}
		p, err := k.slot.launch(ctx, c, h, func(p *Process) { k.show(p, "starting") })
		done <- result{p, err}
	}()
	select {
	case r := <-done:
		if r.err == nil {
			k.show(r.p, "running")
		}
		return r.p, r.err
	case c := <-k.swap:
		cancel()
		r := <-done
		k.adopt(c, r.p) // it may have become ready meanwhile
		return c.process, nil
	}
}

// watch returns when the guest, or the last one that replaced it, is gone.
func (k *keeper) watch(p *Process) error {
	k.wantSpare()
	for {
		select {
		case err := <-p.done:
			<-p.exited
			return err
		case <-k.ctx.Done():
			p.kill()
			<-p.done
			<-p.exited
			return k.ctx.Err()
		case c := <-k.swap:
			k.adopt(c, p)
			k.noSpare() // it has the old code
			p = c.process
			k.wantSpare()
		}
	}
}

// adopt gives a guest that is ready to the host; old, if not nil, retires.
func (k *keeper) adopt(c *candidate, old *Process) {
	if old != nil {
		k.retiring.Add(1)
		k.slot.note(old, k.place, "retiring")
	}
	k.slot.note(c.process, k.place, "")
	k.show(c.process, "running")
	gone := make(chan struct{})
	k.slot.cfg.Loop.Post(func() {
		k.slot.present(c)
		switch {
		case old == nil:
		case old.gone:
			close(gone)
		default:
			k.slot.cfg.Host.Retire(old, c.deadline, func() { close(gone) })
		}
	})
	if old != nil {
		k.slot.running.Go(func() { k.endRetired(old, gone) })
	}
	if c.taken != nil {
		close(c.taken)
	}
}

// endRetired lets the old guest finish, and ends it.
func (k *keeper) endRetired(p *Process, gone <-chan struct{}) {
	select {
	case <-gone:
	case <-p.exited:
	case <-k.ctx.Done():
	}
	p.kill()
	<-p.done
	<-p.exited
	k.slot.note(p, k.place, "")
	k.retiring.Add(-1)
}

// unfit tells the host why there is no guest.
func (k *keeper) unfit(err error) {
	e, ok := errors.AsType[*dormouse.Error](err)
	if !ok {
		e = &dormouse.Error{Message: "The Worker cannot be started: " + err.Error()}
	}
	k.slot.cfg.Loop.Post(func() { k.slot.cfg.Host.Unfit(k.place, e) })
}

func (k *keeper) describe() admin.Guest {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *keeper) set(f func(*admin.Guest)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.now)
}

// show describes the guest of the place.
func (k *keeper) show(p *Process, state string) {
	k.set(func(i *admin.Guest) {
		restarts, why := i.Restarts, i.Why
		*i = p.describe(k.place, state)
		i.Restarts, i.Why = restarts, why
	})
}
