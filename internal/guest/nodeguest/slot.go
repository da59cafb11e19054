//go:build unix

package nodeguest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
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

	retireDeadline = 30 * time.Second // for what runs in a guest that has been replaced
)

// Slot keeps one guest running for one shard: it starts a process, another when
// that one ends, with a growing pause between those that do not live, and
// another beside it when the code has changed.
type Slot struct {
	cfg     SlotConfig
	cancel  context.CancelFunc
	done    chan struct{}
	replace chan chan error
	poke    chan struct{} // holds one: somebody wants to suspend the slot
	retired sync.WaitGroup

	// Owned by the loop.
	procs []*Process

	mu      sync.Mutex // guards the following
	now     admin.Guest
	history history
	hold    *suspension // nil: the slot is not suspended
}

// SlotConfig is what a Slot needs.
type SlotConfig struct {
	Loop    *loop.Loop
	Host    SlotHost
	Command func() Command // asked at each start
	Held    *os.File       // open in the process as long as it lives; may be nil
	Next    *atomic.Uint32 // the last incarnation, shared by all slots
	Log     *slog.Logger
}

// SlotHost is what a Slot talks to.
type SlotHost interface {
	Host
	// Unfit tells that the code cannot be run; another try follows.
	Unfit(*dormouse.Error)
	// Retire tells that a newer guest is ready: what this one runs moves when it
	// is quiet, or at the deadline whatever it does. gone is called when nothing
	// of it is left.
	Retire(g guest.Guest, deadline time.Duration, gone func())
}

// NewSlot makes a slot. Call it before the loop starts.
func NewSlot(c SlotConfig) *Slot {
	s := &Slot{cfg: c, done: make(chan struct{}), replace: make(chan chan error), poke: make(chan struct{}, 1)}
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
	s.retired.Wait()
}

// Replace starts a guest with the command of now beside the one that runs. When
// it is ready it takes over, and the old one retires. If it does not become
// ready the old one runs on, and the error says why.
func (s *Slot) Replace(ctx context.Context) error {
	result := make(chan error, 1)
	select {
	case s.replace <- result:
	case <-s.done:
		return errors.New("the guest has been stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-result
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

// keep runs guests, one after the other, until the slot is stopped.
func (s *Slot) keep(ctx context.Context, first chan<- error) {
	defer close(s.done)
	wait := firstWait
	for {
		began := time.Now()
		p, err := s.launch(ctx)
		if first != nil {
			first <- err
			if first = nil; err != nil {
				return // whoever started it decides
			}
		}
		if err == nil {
			err = s.watch(ctx, p)
		} else if ctx.Err() == nil {
			s.unfit(err)
		}
		held := ctx.Err() == nil && s.held(ctx)
		if ctx.Err() != nil {
			return
		}
		if held {
			wait = firstWait
			continue
		}
		if time.Since(began) > longWait {
			wait = firstWait
		}
		s.set(func(i *admin.Guest) {
			i.State, i.Since, i.Why, i.PID = "waiting", time.Now(), err.Error(), 0
			i.Restarts++
			s.history.ended(i.Since, err)
		})
		s.cfg.Log.Error("guest ended; starting another", "guest", s.Describe().ID, "reason", err, "pause", wait)
		select {
		case <-ctx.Done():
			return
		case result := <-s.replace:
			result <- nil // the next one has the new code anyway
		case <-s.poke:
		case <-time.After(wait):
		}
		s.held(ctx)
		wait = min(2*wait, longWait)
	}
}

// watch returns when the guest, or the last one that replaced it, is gone.
func (s *Slot) watch(ctx context.Context, p *Process) error {
	for {
		select {
		case err := <-p.done:
			<-p.exited
			return err
		case <-ctx.Done():
			p.kill()
			<-p.done
			<-p.exited
			return ctx.Err()
		case result := <-s.replace:
			next, err := s.launch(ctx)
			if err == nil {
				s.retire(p)
				p = next
			} else {
				s.show(p, "running")
			}
			result <- err
		}
	}
}

// retire lets the old guest finish, and ends it.
func (s *Slot) retire(p *Process) {
	gone := make(chan struct{})
	s.cfg.Loop.Post(func() {
		if p.gone {
			close(gone)
			return
		}
		s.cfg.Host.Retire(p, retireDeadline, func() { close(gone) })
	})
	s.retired.Go(func() {
		select {
		case <-gone:
		case <-p.exited:
		case <-s.done:
		}
		p.kill()
		<-p.done
		<-p.exited
	})
}

// launch starts one process and returns when it is ready.
func (s *Slot) launch(ctx context.Context) (*Process, error) {
	n := s.cfg.Next.Add(1)
	ready := make(chan struct{})
	h := &announced{SlotHost: s.cfg.Host, ready: ready}
	p, err := launch(s.cfg.Command(), s.cfg.Held, n, s.cfg.Loop, h, s.cfg.Log)
	if err != nil {
		return nil, err
	}
	s.show(p, "starting")
	s.cfg.Loop.Post(func() { s.procs = append(s.procs, p) })
	go func() {
		<-p.exited
		s.cfg.Loop.Post(func() {
			s.procs = slices.DeleteFunc(s.procs, func(q *Process) bool { return q == p })
		})
	}()
	limit := time.AfterFunc(startLimit, func() {
		s.cfg.Loop.Post(func() {
			if !p.ready {
				p.Break(errors.New("guest was not ready within " + startLimit.String()))
			}
		})
	})
	defer limit.Stop()
	select {
	case <-ready:
		s.show(p, "running")
		return p, nil
	case err = <-p.done:
	case <-ctx.Done():
		p.kill()
		<-p.done
		err = ctx.Err()
	}
	<-p.exited
	return nil, err
}

func (s *Slot) show(p *Process, state string) {
	s.set(func(i *admin.Guest) { i.ID, i.PID, i.State, i.Since = p.incarnation, p.PID, state, time.Now() })
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
