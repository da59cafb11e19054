package nodeguest

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
)

// memoryEvery is how often a guest that works is looked at.
const memoryEvery = 250 * time.Millisecond

// memory ends a guest that takes more than it may. The limit of V8's heap does
// not see buffers, so the process is what counts. A guest that has nothing to
// handle, does not speak and does not grow is not looked at: an idle one costs
// no wake-up.
type memory struct {
	p       *Process
	limit   int64 // bytes; 0: none
	timer   *loop.Timer
	waiting bool  // for timer
	last    int64 // bytes at the last look
}

// worked tells that the guest has been spoken to or has spoken. On the loop.
func (m *memory) worked() {
	if m.limit == 0 || m.waiting {
		return
	}
	if m.timer == nil {
		m.timer = loop.NewTimer(m.look)
	}
	m.waiting = true
	m.p.loop.Schedule(m.timer, m.p.loop.Now().Add(memoryEvery))
}

func (m *memory) look() {
	m.waiting = false
	if !m.p.alive() {
		return
	}
	now, err := residentBytes(m.p.PID)
	if err != nil {
		return // it is ending, or the system does not tell
	}
	if now > m.limit {
		m.p.Break(fmt.Errorf("guest took %d MiB of memory; the limit is %d MiB (guest_memory)", now>>20, m.limit>>20))
		return
	}
	grew := now > m.last+m.last/64
	m.last = now
	if grew || m.p.out.outstanding() {
		m.worked()
	}
}

// stop pairs with worked.
func (m *memory) stop() {
	if m.waiting {
		m.waiting = false
		m.p.loop.Cancel(m.timer)
	}
}
