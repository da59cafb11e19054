package nodeguest

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
)

const (
	// memoryEvery is how often a guest that works is looked at.
	memoryEvery = 250 * time.Millisecond
	// snapshotReaction is how long a guest that takes too much may go on until it
	// begins to write a heap snapshot, and snapshotTime how long that may take for
	// each snapshotPart of its limit: half a second to some ten, by how small its
	// objects are.
	snapshotReaction = 5 * time.Second
	snapshotTime     = time.Minute
	snapshotPart     = 256 << 20
	// snapshotRoom is how often its limit the machine must have free for one. V8
	// has been seen to take seven times the heap.
	snapshotRoom = 8
)

// memory ends a guest that takes more than it may. The limit of V8's heap does
// not see buffers, so the process is what counts. A guest that has nothing to
// handle, does not speak and does not grow is not looked at: an idle one costs
// no wake-up.
//
// Where heap snapshots are wanted a guest that takes too much is given time for
// one, and takes much more meanwhile. It notices by itself that it is to write
// one, and says in its marks how far it is: also when its code does not come to
// an end, or V8 was first.
type memory struct {
	p       *Process
	limit   int64 // bytes; 0: none
	timer   *loop.Timer
	waiting bool  // for timer
	last    int64 // bytes at the last look

	snapshots bool      // are wanted
	over      time.Time // since it has been seen to take too much, and may go on for a while
	took      int64     // bytes then
	snapshot  string    // the file that it has left; known when the process has ended
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
	if m.waits() || now > m.limit {
		m.tooMuch(now)
		return
	}
	grew := now > m.last+m.last/64
	m.last = now
	if grew || m.p.out.outstanding() {
		m.worked()
	}
}

// waits says whether the guest takes too much and has time for a heap snapshot.
func (m *memory) waits() bool { return !m.over.IsZero() || m.p.out.marks.snapshot() != 0 }

// tooMuch ends the guest, at once or when it has left a heap snapshot.
func (m *memory) tooMuch(now int64) {
	first := m.over.IsZero()
	if first {
		m.over, m.took = m.p.loop.Now(), now
	}
	end, why := m.impatient(first)
	if !end {
		m.worked()
		return
	}
	err := fmt.Errorf("guest took %d MiB of memory; the limit is %d MiB (guest_memory)", m.took>>20, m.limit>>20)
	if why != "" {
		err = fmt.Errorf("%w; %s", err, why)
	}
	m.p.Break(err)
}

// impatient says whether the guest is to be ended now, and what is to be said of
// the heap snapshot that it did not write.
func (m *memory) impatient(first bool) (end bool, why string) {
	if !m.snapshots {
		return true, ""
	}
	waited := m.p.loop.Now().Sub(m.over)
	switch m.p.out.marks.snapshot() {
	case snapshotOver:
		return true, ""
	case snapshotBegun:
		if limit := snapshotTime * time.Duration(1+m.limit/snapshotPart); waited > limit {
			return true, fmt.Sprintf("its heap snapshot was not written within %v", limit)
		}
	default:
		if waited > snapshotReaction {
			return true, "it did not begin to write a heap snapshot"
		}
	}
	if free := FreeMemory(); first && free > 0 && free < snapshotRoom*m.limit {
		return true, fmt.Sprintf("no heap snapshot: it may need %d MiB of memory, and %d are free", snapshotRoom*m.limit>>20, free>>20)
	}
	return false, ""
}

// stop pairs with worked.
func (m *memory) stop() {
	if m.waiting {
		m.waiting = false
		m.p.loop.Cancel(m.timer)
	}
}
