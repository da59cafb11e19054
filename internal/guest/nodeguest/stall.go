package nodeguest

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
)

// stallGrace is what a guest is given beyond its limit: it ends what runs too
// long by itself, and has a second for it.
const stallGrace = time.Second

// stall ends a guest that has frames to handle and handles none. It looks only
// while there are such frames: an idle guest costs no wake-up.
type stall struct {
	p     *Process
	limit time.Duration // with the grace; 0: none
	timer *loop.Timer

	seen  signs     // as of the last look
	moved time.Time // when they have last been seen to change
	due   time.Time // the next look
}

// signs of life: any of them changes when the guest handles something.
type signs struct {
	handled, mark uint64
	turns         uint32
}

func (s *stall) signs() signs {
	out := &s.p.out
	return signs{out.handled, out.marks.read(), out.marks.turns()}
}

func newStall(p *Process, limit time.Duration) stall {
	if limit > 0 {
		limit += stallGrace
	}
	return stall{p: p, limit: limit}
}

// spoken tells that the guest has frames to handle. On the loop.
func (s *stall) spoken() {
	if s.limit == 0 || !s.p.ready {
		return
	}
	if s.timer == nil {
		s.timer = loop.NewTimer(s.look)
	}
	if !s.timer.Scheduled() {
		s.see()
		s.plan()
	}
}

func (s *stall) see() {
	s.seen, s.moved = s.signs(), s.p.loop.Now()
}

func (s *stall) plan() {
	s.due = s.p.loop.Now().Add(s.limit / 8)
	s.p.loop.Schedule(s.timer, s.due)
}

func (s *stall) look() {
	p, now := s.p, s.p.loop.Now()
	switch {
	case p.gone || p.failed != nil || p.exit != nil || !p.out.outstanding():
		return
	case p.inspection.on: // it may stand at a breakpoint
		s.see()
	case p.memory.waits(): // for a heap snapshot; memory.go has its own patience
		s.see()
	case now.Sub(s.due) > s.limit/2: // we stood still ourselves, and so may the guest have
		s.see()
	case s.signs() != s.seen:
		s.see()
	case now.Sub(s.moved) >= s.limit:
		p.outside = stopped(p.PID)
		p.Break(fmt.Errorf("%w for %v (limits.guest_stall)", errStalled, now.Sub(s.moved).Round(100*time.Millisecond)))
		return
	}
	s.plan()
}

// stop pairs with spoken.
func (s *stall) stop() {
	if s.timer != nil {
		s.p.loop.Cancel(s.timer)
	}
}
