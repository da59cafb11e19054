//go:build unix

package nodeguest

import (
	"errors"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

const (
	// silentFor is how long a guest with something to handle may show no sign of
	// life until that is said. It is far from being ended then.
	silentFor = 1500 * time.Millisecond
	// A guest that ends oftenEnds times within oftenWithin is said to do so all
	// the time.
	oftenEnds   = 3
	oftenWithin = time.Minute
)

// errStalled is in the reason why a guest was ended that handled nothing.
var errStalled = errors.New("guest handled nothing")

// history is what a slot remembers of the ends of its guests.
type history struct {
	ends   [oftenEnds]time.Time // the latest, in a ring
	n      int
	stalls int
}

func (h *history) ended(at time.Time, why error) {
	h.ends[h.n%oftenEnds] = at
	h.n++
	if errors.Is(why, errStalled) {
		h.stalls++
	}
}

// often says whether guests end all the time.
func (h *history) often(now time.Time) bool {
	oldest := h.ends[h.n%oftenEnds]
	return !oldest.IsZero() && now.Sub(oldest) < oftenWithin
}

// Stalls is how many guests were ended because they handled nothing.
func (s *Slot) Stalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history.stalls
}

// Trouble says what is wrong with the slot's guest, for people; empty means
// nothing. On the loop.
func (s *Slot) Trouble() string {
	s.mu.Lock()
	var now admin.Guest
	if k := s.keepers[guest.Everywhere]; k != nil {
		now = k.describe()
	}
	often := s.history.often(time.Now())
	s.mu.Unlock()
	if often {
		return fmt.Sprintf("guests end all the time, %d so far; the last one: %s", now.Restarts, now.Why)
	}
	for _, p := range s.procs {
		if p.incarnation != now.ID || !p.ready || p.gone || p.failed != nil || p.exit != nil {
			continue
		}
		if stopped(p.PID) {
			return fmt.Sprintf("guest %d (process %d) has been stopped by a signal; continue it with kill -CONT %d, or end it", p.incarnation, p.PID, p.PID)
		}
		if p.memory.waits() {
			return fmt.Sprintf("guest %d (process %d) takes more than guest_memory: it writes a heap snapshot, and is ended then", p.incarnation, p.PID)
		}
		if d := p.stall.silent(); d >= silentFor {
			return fmt.Sprintf("guest %d (process %d) has handled nothing for %v", p.incarnation, p.PID, d.Round(100*time.Millisecond))
		}
		return ""
	}
	if now.Why != "" {
		return fmt.Sprintf("no guest runs (%s); the last one: %s", now.State, now.Why)
	}
	return "no guest runs yet"
}

// silent is for how long the guest has had something to handle and handled
// nothing, as of the last look.
func (s *stall) silent() time.Duration {
	if s.timer == nil || !s.timer.Scheduled() || !s.p.out.outstanding() || s.signs() != s.seen {
		return 0
	}
	return s.p.loop.Now().Sub(s.moved)
}
