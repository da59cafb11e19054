//go:build unix

package nodeguest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

	// retireDeadline is for what runs in a guest that has been replaced, if
	// nobody says another.
	retireDeadline = 30 * time.Second
	// maxRetiring bounds the guests that have been replaced and have not ended,
	// for each place.
	maxRetiring = 3
)

// Slot keeps the guests of one shard running: one for everything, and one for
// each place that the host wants kept apart. It starts a process, another when
// that one ends, with a growing pause between those that do not live, and
// another beside it when the code has changed.
type Slot struct {
	cfg     SlotConfig
	ctx     context.Context // ends with Stop
	cancel  context.CancelFunc
	running sync.WaitGroup // keepers, spares, and what waits for processes to end

	// Owned by the loop.
	procs []*Process

	mu      sync.Mutex // guards the following
	command func() Command
	keepers map[guest.Place]*keeper
	others  map[uint32]admin.Guest // spare ones and those that have been replaced
	history history                // of the guests for everything
	stopped bool
	hold    *suspension // nil: the slot is not suspended
}

// SlotConfig is what a Slot needs.
type SlotConfig struct {
	Loop    *loop.Loop
	Host    SlotHost
	Command func() Command // asked at each start, until a guest has been replaced
	Held    *os.File       // open in the process as long as it lives; may be nil
	Next    *atomic.Uint32 // the last incarnation, shared by all slots
	Log     *slog.Logger
	// Newer is asked for the command of Prepare; nil: Command is.
	Newer func() Command
	// Spare keeps one more guest ready, for when the one for everything dies.
	Spare bool
}

// SlotHost is what a Slot talks to.
type SlotHost interface {
	Host
	// Unfit tells that the code cannot be run in that place; another try follows.
	Unfit(guest.Place, *dormouse.Error)
	// Retire tells that a newer guest is ready: what this one runs moves when it
	// is quiet, or at the deadline whatever it does. gone is called when nothing
	// of it is left.
	Retire(g guest.Guest, deadline time.Duration, gone func())
}

// NewSlot makes a slot. Call it before the loop starts.
func NewSlot(c SlotConfig) *Slot {
	s := &Slot{
		cfg: c, command: c.Command,
		keepers: make(map[guest.Place]*keeper), others: make(map[uint32]admin.Guest),
	}
	if c.Newer == nil {
		s.cfg.Newer = c.Command
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	c.Loop.OnFlush(s.flush)
	return s
}

// Start begins to keep a guest running. The first result, nil when it is ready,
// is sent to first.
func (s *Slot) Start(first chan<- error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(guest.Everywhere, first)
}

func (s *Slot) keep(p guest.Place, first chan<- error) {
	if s.stopped || s.keepers[p] != nil {
		return
	}
	k := newKeeper(s, p)
	s.keepers[p] = k
	s.running.Go(func() { k.keep(first) })
}

// Want has a guest run for a place of its own. Any goroutine; it does not wait.
func (s *Slot) Want(p guest.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(p, nil)
}

// Leave pairs with Want: the guest is ended, whatever runs in it.
func (s *Slot) Leave(p guest.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keepers[p]; k != nil && p != guest.Everywhere {
		delete(s.keepers, p)
		k.cancel()
	}
}

// Stop ends the guests and waits for their processes to be gone.
func (s *Slot) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// Replacement is guests with newer code that are ready and run nothing yet.
// Exactly one of Commit and Abort is to be called.
type Replacement struct {
	slot    *Slot
	command Command
	ready   map[*keeper]*candidate
}

// Prepare starts guests with newer code beside those that run, which notice
// nothing of it. If one does not become ready the error says why.
func (s *Slot) Prepare(ctx context.Context) (*Replacement, error) {
	r := &Replacement{slot: s, command: s.cfg.Newer(), ready: make(map[*keeper]*candidate)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	s.mu.Lock()
	var list []*keeper
	for _, k := range s.keepers {
		list = append(list, k)
	}
	s.mu.Unlock()
	// The one for everything first: it tells best whether the code can run.
	slices.SortFunc(list, func(a, b *keeper) int { return cmp.Compare(a.place, b.place) })
	for _, k := range list {
		if n := k.retiring.Load(); n >= maxRetiring {
			r.Abort()
			return nil, fmt.Errorf("objects of %d earlier versions are still moving; try again when they have moved", n)
		}
		c, err := s.candidate(ctx, r.command, k.place)
		if err != nil {
			r.Abort()
			if s.ctx.Err() != nil {
				err = errors.New("the guest has been stopped")
			}
			return nil, err
		}
		r.ready[k] = c
	}
	return r, nil
}

// Check says why the new guests cannot take over any more, if one has died.
func (r *Replacement) Check() error {
	for _, c := range r.ready {
		select {
		case err := <-c.process.done:
			c.process.done <- err // for whoever waits for it
			return err
		default:
		}
	}
	return nil
}

// Commit has the new guests take over; the old ones retire. What they run moves
// when it is quiet, or at the deadline, 0 being the default one.
func (r *Replacement) Commit(deadline time.Duration) {
	if deadline == 0 {
		deadline = retireDeadline
	}
	s := r.slot
	s.mu.Lock()
	s.command = func() Command { return r.command }
	s.mu.Unlock()
	for k, c := range r.ready {
		c.deadline, c.taken = deadline, make(chan struct{})
		select {
		case k.swap <- c:
			<-c.taken
		case <-k.done:
			s.drop(c)
		}
	}
}

// Abort ends the new guests.
func (r *Replacement) Abort() {
	for _, c := range r.ready {
		r.slot.drop(c)
	}
}

// Replace is Prepare and Commit in one.
func (s *Slot) Replace(ctx context.Context) error {
	r, err := s.Prepare(ctx)
	if err != nil {
		return err
	}
	r.Commit(0)
	return nil
}

// Describe tells what there is to see of the guests: first the one for
// everything.
func (s *Slot) Describe() []admin.Guest {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []admin.Guest
	for _, k := range s.keepers {
		list = append(list, k.describe())
	}
	slices.SortFunc(list, func(a, b admin.Guest) int { return cmp.Compare(a.Place, b.Place) })
	n := len(list)
	for _, g := range s.others {
		list = append(list, g)
	}
	slices.SortFunc(list[n:], func(a, b admin.Guest) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// note describes a guest that is not the one of its place; no state forgets it.
func (s *Slot) note(p *Process, place guest.Place, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == "" {
		delete(s.others, p.incarnation)
		return
	}
	s.others[p.incarnation] = p.describe(place, state)
}

func (s *Slot) flush() {
	for _, p := range s.procs {
		p.flush()
	}
}

// candidate is a guest that is ready and has not been given to the host.
type candidate struct {
	process *Process
	ready   guest.Ready

	// For a keeper that takes it in place of the one it has.
	deadline time.Duration
	taken    chan struct{}
}

// candidate starts a guest and keeps it from the host.
func (s *Slot) candidate(ctx context.Context, c Command, place guest.Place) (*candidate, error) {
	h := &announced{SlotHost: s.cfg.Host, place: place, code: c.Code, ready: make(chan struct{}), secret: true}
	p, err := s.launch(ctx, c, h, func(*Process) {})
	if err != nil {
		return nil, err
	}
	return &candidate{process: p, ready: h.said}, nil
}

// present gives the guest to the host. On the loop.
func (s *Slot) present(c *candidate) {
	if !c.process.gone {
		s.cfg.Host.Ready(c.process, c.ready)
	}
}

// drop ends a guest that the host has not got.
func (s *Slot) drop(c *candidate) {
	c.process.kill()
	<-c.process.exited
	s.note(c.process, "", "")
}

// launch starts one process and returns when it is ready. shown is told of it as
// soon as it runs.
func (s *Slot) launch(ctx context.Context, c Command, h *announced, shown func(*Process)) (*Process, error) {
	p, err := launch(c, s.cfg.Held, s.cfg.Next.Add(1), s.cfg.Loop, h, s.cfg.Log)
	if err != nil {
		return nil, err
	}
	shown(p)
	s.cfg.Loop.Post(func() { s.procs = append(s.procs, p) })
	s.running.Go(func() {
		<-p.exited
		s.cfg.Loop.Post(func() {
			s.procs = slices.DeleteFunc(s.procs, func(q *Process) bool { return q == p })
		})
	})
	limit := time.AfterFunc(startLimit, func() {
		s.cfg.Loop.Post(func() {
			if !p.ready {
				p.Break(errors.New("guest was not ready within " + startLimit.String()))
			}
		})
	})
	defer limit.Stop()
	select {
	case <-h.ready:
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

// describe tells what there is to see of the process.
func (p *Process) describe(place guest.Place, state string) admin.Guest {
	g := admin.Guest{ID: p.incarnation, PID: p.PID, State: state, Since: time.Now(), Place: string(place)}
	if p.code != nil {
		g.Version = p.code.Version
	}
	return g
}

// announced is a host that also tells the slot when the guest is ready.
type announced struct {
	SlotHost
	place  guest.Place
	code   *guest.Code
	ready  chan struct{}
	secret bool // the host is not told
	said   guest.Ready
}

func (a *announced) Ready(g guest.Guest, r guest.Ready) {
	r.Place, r.Code = a.place, a.code
	a.said = r
	if !a.secret {
		a.SlotHost.Ready(g, r)
	}
	close(a.ready)
}
