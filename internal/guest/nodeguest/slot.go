//go:build unix

package nodeguest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// Times of a slot's life.
const (
	startLimit = 30 * time.Second // from the start of a process to its ready
	firstWait  = 100 * time.Millisecond
	longWait   = 10 * time.Second // the longest back-off, and the life that resets it
)

// Slot keeps one guest running for one shard: it starts a process, and another
// when that one ends, with a growing pause between those that do not live.
type Slot struct {
	cfg    SlotConfig
	cancel context.CancelFunc
	done   chan struct{}

	// Owned by the loop.
	procs []*Process

	mu  sync.Mutex // guards the following
	now admin.Guest
}

// SlotConfig is what a Slot needs.
type SlotConfig struct {
	Loop    *loop.Loop
	Host    SlotHost
	Command func() Command // asked at each start
	Next    *atomic.Uint32 // the last incarnation, shared by all slots
	Log     *slog.Logger
}

// SlotHost is what a Slot talks to.
type SlotHost interface {
	Host
	// Unfit tells that the code cannot be run; another try follows.
	Unfit(*dormouse.Error)
}

// NewSlot makes a slot. Call it before the loop starts.
func NewSlot(c SlotConfig) *Slot {
	s := &Slot{cfg: c, done: make(chan struct{})}
	c.Loop.OnFlush(s.flush)
	return s
}

// Start begins to keep a guest running. The first result, nil when it is ready,
// is sent to first.
func (s *Slot) Start(first chan<- error) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.keep(ctx, first)
}

// Stop ends the guest and waits for its process to be gone.
func (s *Slot) Stop() {
	s.cancel()
	<-s.done
}

// Describe tells what there is to see of the guest.
func (s *Slot) Describe() admin.Guest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *Slot) set(f func(*admin.Guest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.now)
}

func (s *Slot) flush() {
	for _, p := range s.procs {
		p.flush()
	}
}

func (s *Slot) keep(ctx context.Context, first chan<- error) {
	defer close(s.done)
	wait := firstWait
	for {
		began := time.Now()
		err := s.run(ctx, func() {
			if first != nil {
				first <- nil
				first = nil
			}
		})
		if ctx.Err() != nil {
			return
		}
		if first != nil {
			first <- err
			first = nil
		}
		if time.Since(began) > longWait {
			wait = firstWait
		}
		s.set(func(i *admin.Guest) {
			i.State, i.Since, i.Why, i.PID = "waiting", time.Now(), err.Error(), 0
			i.Restarts++
		})
		s.cfg.Log.Error("guest ended; starting another", "guest", s.Describe().ID, "reason", err, "pause", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, longWait)
	}
}

// run starts one process and returns when it is gone.
func (s *Slot) run(ctx context.Context, ready func()) error {
	n := s.cfg.Next.Add(1)
	s.set(func(i *admin.Guest) { i.ID, i.State, i.Since, i.PID = n, "starting", time.Now(), 0 })
	h := &announced{SlotHost: s.cfg.Host, ready: make(chan struct{})}
	p, err := launch(s.cfg.Command(), n, s.cfg.Loop, h, s.cfg.Log)
	if err != nil {
		s.unfit(err)
		return err
	}
	s.set(func(i *admin.Guest) { i.PID = p.PID })
	s.cfg.Loop.Post(func() { s.procs = append(s.procs, p) })
	limit := time.AfterFunc(startLimit, func() {
		s.cfg.Loop.Post(func() { p.Break(errors.New("guest was not ready within " + startLimit.String())) })
	})
	defer limit.Stop()
	select {
	case <-h.ready:
		limit.Stop()
		s.set(func(i *admin.Guest) { i.State, i.Since = "running", time.Now() })
		ready()
		select {
		case err = <-p.done:
		case <-ctx.Done():
			p.kill()
			err = <-p.done
		}
	case err = <-p.done:
		s.unfit(err)
	case <-ctx.Done():
		p.kill()
		err = <-p.done
	}
	<-p.exited
	s.cfg.Loop.Post(func() {
		for i := range s.procs {
			if s.procs[i] == p {
				s.procs = append(s.procs[:i], s.procs[i+1:]...)
				return
			}
		}
	})
	return err
}

// unfit tells the host why there is no guest.
func (s *Slot) unfit(err error) {
	e, ok := errors.AsType[*dormouse.Error](err)
	if !ok {
		e = &dormouse.Error{Message: "The Worker cannot be started: " + err.Error()}
	}
	s.cfg.Loop.Post(func() { s.cfg.Host.Unfit(e) })
}

// announced is a host that also tells the slot when the guest is ready.
type announced struct {
	SlotHost
	ready chan struct{}
}

func (a *announced) Ready(g guest.Guest, r guest.Ready) {
	a.SlotHost.Ready(g, r)
	close(a.ready)
}
