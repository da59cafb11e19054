//go:build unix

package nodeguest

import (
	"context"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// spareDelay is how long a guest runs before a spare one is started beside it:
// it has the processors for itself while it begins.
const spareDelay = 2 * time.Second

// spare keeps one guest ready that runs nothing.
type spare struct {
	ready  chan *candidate // unbuffered: what is taken from it was alive
	cancel context.CancelFunc
	done   chan struct{}
}

// wantSpare has a spare guest kept, of the code of now.
func (k *keeper) wantSpare() {
	if !k.slot.cfg.Spare || k.place != guest.Everywhere || k.spare != nil {
		return
	}
	ctx, cancel := context.WithCancel(k.ctx)
	s := &spare{ready: make(chan *candidate), cancel: cancel, done: make(chan struct{})}
	k.spare = s
	k.slot.running.Go(func() { s.keep(ctx, k) })
}

// noSpare pairs with wantSpare, and waits for its process to be gone.
func (k *keeper) noSpare() {
	if k.spare != nil {
		k.spare.cancel()
		<-k.spare.done
		k.spare = nil
	}
}

// takeSpare returns the spare guest if it is ready; nil if not.
func (k *keeper) takeSpare() *candidate {
	if k.spare == nil {
		return nil
	}
	select {
	case c := <-k.spare.ready:
		return c
	default:
		return nil
	}
}

// keep starts a guest, and another when that one has been taken or has died.
func (s *spare) keep(ctx context.Context, k *keeper) {
	defer close(s.done)
	pause := spareDelay
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		c, err := k.slot.candidate(ctx, k.command(), k.place)
		if ctx.Err() != nil {
			if err == nil {
				k.slot.drop(c)
			}
			return
		}
		if err != nil {
			pause = min(2*pause, longWait)
			k.slot.cfg.Log.Warn("a spare guest does not start", "reason", err, "pause", pause)
			continue
		}
		k.slot.note(c.process, k.place, "spare")
		pause = spareDelay
		select {
		case s.ready <- c:
		case err := <-c.process.done:
			c.process.done <- err
			k.slot.drop(c)
			pause = longWait
		case <-ctx.Done():
			k.slot.drop(c)
			return
		}
	}
}
