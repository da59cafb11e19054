// Package object is the life of one object: when it is in memory, when an event
// may go to it, when it shall leave. It knows states, counters and times that
// it is told, and never sees a guest, a socket or a clock.
package object

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// State of an object. To people, an inactive object that has sockets is called
// hibernated, and an active one without work idle.
type State uint8

const (
	Inactive State = iota // not in memory
	Active                // in a guest; events go to it
	Settling              // asked to leave memory; events wait for the answer
	Broken                // being reset; events wait for the next instance
)

func (s State) String() string {
	return [...]string{"inactive", "active", "settling", "broken"}[s]
}

// Verdict says what to do with an event.
type Verdict uint8

const (
	Deliver  Verdict = iota // give it to the guest
	Activate                // start the object, then deliver
	Wait                    // keep it in the mailbox
)

// Rest says when an object leaves memory.
type Rest struct {
	Hibernate time.Duration // after it became idle
	Evict     time.Duration // after it became quiet but has tasks; 0: never
}

// Machine is the life of one object. The zero value is inactive. One caller at
// a time.
//
// Invariant: started and finished never pass delivered (all three wrap), and
// only an Active or Settling machine has counters that are not zero.
type Machine struct {
	state     State
	delivered uint32
	progress  guest.Progress
	window    int   // bytes delivered since the guest had begun everything
	quietAt   int64 // Unix nanoseconds; when the last event finished, 0 if one runs
	idleAt    int64 // the same, without tasks
}

// State returns the state.
func (m *Machine) State() State { return m.state }

// Delivered is the number of events given to this activation.
func (m *Machine) Delivered() uint32 { return m.delivered }

// Tasks is what besides events keeps the object in memory.
func (m *Machine) Tasks() int { return int(m.progress.Tasks) }

// Arrive decides about an event. After Activate the machine is active.
func (m *Machine) Arrive() Verdict {
	switch m.state {
	case Active:
		return Deliver
	case Inactive:
		m.state = Active
		return Activate
	}
	return Wait
}

// Deliver counts n events of the given size together that go to the guest now.
func (m *Machine) Deliver(n, size int) {
	m.delivered += uint32(n)
	m.window += size
	m.quietAt, m.idleAt = 0, 0
}

// Behind says how far the guest is behind: events that have not begun, and the
// bytes delivered since it last had begun all of them.
func (m *Machine) Behind() (events int, bytes int) {
	return int(m.delivered - m.progress.Started), m.window
}

// Progress takes what the guest reports. A report that cannot be true is an
// error of the guest.
func (m *Machine) Progress(p guest.Progress, now time.Time) error {
	if m.state == Inactive || m.state == Broken {
		return nil // it crossed
	}
	if m.delivered-p.Started > m.delivered-m.progress.Started || p.Started-p.Finished > p.Started-m.progress.Finished {
		return fmt.Errorf("progress %+v after %+v with %d events delivered", p, m.progress, m.delivered)
	}
	m.progress = p
	if p.Started == m.delivered {
		m.window = 0
	}
	if !m.Quiet() {
		return nil
	}
	at := now.UnixNano()
	if m.quietAt == 0 {
		m.quietAt = at
	}
	if p.Tasks > 0 {
		m.idleAt = 0
	} else if m.idleAt == 0 {
		m.idleAt = at
	}
	return nil
}

// Met tells of events of which the guest alone has known, and which are over: what
// rest there was begins anew.
func (m *Machine) Met(now time.Time) {
	if m.quietAt != 0 {
		m.quietAt = now.UnixNano()
	}
	if m.idleAt != 0 {
		m.idleAt = now.UnixNano()
	}
}

// Running says that an event has begun and not finished, as far as the guest has
// told.
func (m *Machine) Running() bool { return m.progress.Started != m.progress.Finished }

// Quiet says that no event is in progress.
func (m *Machine) Quiet() bool {
	return m.progress.Finished == m.delivered
}

// Finished says whether the event with this number, as Delivered counts, has.
func (m *Machine) Finished(event uint32) bool {
	return int32(m.progress.Finished-event) >= 0
}

// Idle says that the object has nothing to do.
func (m *Machine) Idle() bool {
	return m.state == Active && m.Quiet() && m.progress.Tasks == 0
}

// Due says when the object has to be asked to leave, and how. ok is false when
// only something new can change that.
func (m *Machine) Due(r Rest) (at time.Time, mode guest.Mode, ok bool) {
	switch {
	case m.state != Active || !m.Quiet():
		return time.Time{}, 0, false
	case m.idleAt != 0:
		return time.Unix(0, m.idleAt).Add(r.Hibernate), guest.IfIdle, true
	case m.quietAt != 0 && r.Evict > 0:
		return time.Unix(0, m.quietAt).Add(r.Evict), guest.Evict, true
	}
	return time.Time{}, 0, false
}

// Settle tells that the guest was asked to drop the instance.
func (m *Machine) Settle() {
	if m.state != Active {
		panic(fmt.Sprintf("settle an object that is %s", m.state))
	}
	m.state = Settling
}

// Awake tells that the guest keeps the instance: it stays as it was, and its
// rest begins anew.
func (m *Machine) Awake(now time.Time) {
	if m.state != Settling {
		return
	}
	m.state = Active
	if m.quietAt != 0 {
		m.quietAt = now.UnixNano()
	}
	if m.idleAt != 0 {
		m.idleAt = now.UnixNano()
	}
}

// Break tells that the instance is being reset: Gone will follow.
func (m *Machine) Break() {
	if m.state != Inactive {
		m.state = Broken
	}
}

// Gone tells that there is no instance any more, for whatever reason.
func (m *Machine) Gone() { *m = Machine{} }
