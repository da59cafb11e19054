//go:build unix

package nodeguest

import (
	"context"
	"errors"
	"time"
)

// suspension has a slot without a process: the files that it had open are free.
type suspension struct {
	parked chan struct{} // closed when no process is left and none will be started
	over   chan struct{} // closed by Resume
}

// errSuspended ends the watch over a guest that was ended for a suspension.
var errSuspended = errors.New("the guest has been suspended")

// Suspend ends the guest, and those that it has replaced, and starts no other
// until Resume. What they had not begun is said again then. After an error
// Resume is due all the same; a second call waits for what the first one began.
func (s *Slot) Suspend(ctx context.Context) error {
	s.mu.Lock()
	if s.hold == nil {
		s.hold = &suspension{parked: make(chan struct{}), over: make(chan struct{})}
	}
	h := s.hold
	s.mu.Unlock()
	select {
	case s.poke <- struct{}{}: // it may wait to start another
	default:
	}
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
		select {
		case <-h.parked:
			s.retired.Wait()
			return nil
		case <-s.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
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
func (s *Slot) held(ctx context.Context) bool {
	s.mu.Lock()
	h := s.hold
	s.mu.Unlock()
	if h == nil {
		return false
	}
	s.cfg.Loop.Call(func() {}) // what the end of the process has posted has run
	close(h.parked)
	for {
		select {
		case <-h.over:
			return true
		case <-ctx.Done():
			return true
		case result := <-s.replace:
			result <- errSuspended
		}
	}
}
