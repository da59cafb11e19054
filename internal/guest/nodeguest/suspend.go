//go:build unix

package nodeguest

import (
	"context"
	"time"
)

// suspension has a slot without a process: the files that it had open are free.
type suspension struct {
	over   chan struct{}    // closed by Resume
	parked map[*keeper]bool // have no process and start none; guarded by the slot's mu
}

// Suspend ends the guests, and those that they have replaced, and starts no other
// until Resume. What they had not begun is said again then. After an error
// Resume is due all the same; a second call waits for what the first one began.
func (s *Slot) Suspend(ctx context.Context) error {
	s.mu.Lock()
	if s.hold == nil {
		s.hold = &suspension{over: make(chan struct{}), parked: make(map[*keeper]bool)}
	}
	h := s.hold
	for _, k := range s.keepers {
		select {
		case k.poke <- struct{}{}: // it may wait to start another
		default:
		}
	}
	s.mu.Unlock()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// Again and again: one may just have been about to start.
		s.cfg.Loop.Call(func() {
			for _, p := range s.procs {
				p.outside = true // none of its objects is to blame
				p.kill()
			}
		})
		if s.allParked(h) || s.ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *Slot) allParked(h *suspension) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keepers {
		select {
		case <-k.done:
			continue
		default:
		}
		if !h.parked[k] || k.retiring.Load() > 0 {
			return false
		}
	}
	return true
}

// Resume pairs with Suspend.
func (s *Slot) Resume() {
	s.mu.Lock()
	h := s.hold
	s.hold = nil
	s.mu.Unlock()
	if h != nil {
		close(h.over)
	}
}

// held waits for the end of a suspension, if there is one, and reports it.
func (k *keeper) held() bool {
	s := k.slot
	s.mu.Lock()
	h := s.hold
	s.mu.Unlock()
	if h == nil {
		return false
	}
	k.noSpare()
	s.cfg.Loop.Call(func() {}) // what the end of the process has posted has run
	s.mu.Lock()
	h.parked[k] = true
	s.mu.Unlock()
	for {
		select {
		case <-h.over:
			return true
		case <-k.ctx.Done():
			return true
		case c := <-k.swap: // it has been killed: the next one has its code
			s.drop(c)
			close(c.taken)
		}
	}
}
