package object

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

var rest = Rest{Hibernate: 10 * time.Second, Evict: 100 * time.Second}

func at(s int) time.Time { return time.Unix(int64(s), 0) }

// active is a machine with one event delivered.
func active(t *testing.T) *Machine {
	t.Helper()
	m := new(Machine)
	if got := m.Arrive(); got != Activate {
		t.Fatalf("first event: got verdict %d, want Activate", got)
	}
	m.Deliver(1, 1)
	return m
}

func progress(t *testing.T, m *Machine, p guest.Progress, now time.Time) {
	t.Helper()
	if err := m.Progress(p, now); err != nil {
		t.Fatal(err)
	}
}

func TestRestBeginsWhenTheLastTaskEnds(t *testing.T) {
	m := active(t)
	if _, _, ok := m.Due(rest); ok {
		t.Error("due while an event runs")
	}
	progress(t, m, guest.Progress{Started: 1, Finished: 1, Tasks: 1}, at(5))
	if due, mode, ok := m.Due(rest); !ok || mode != guest.Evict || due != at(105) {
		t.Errorf("with a task got %v %v %v, want eviction at 105", due.Unix(), mode, ok)
	}
	progress(t, m, guest.Progress{Started: 1, Finished: 1}, at(20))
	if due, mode, ok := m.Due(rest); !ok || mode != guest.IfIdle || due != at(30) {
		t.Errorf("idle got %v %v %v, want hibernation at 30", due.Unix(), mode, ok)
	}
	progress(t, m, guest.Progress{Started: 1, Finished: 1}, at(25))
	if due, _, _ := m.Due(rest); due != at(30) {
		t.Errorf("a second report moved the rest to %v", due.Unix())
	}
	m.Deliver(1, 1)
	if _, _, ok := m.Due(rest); ok {
		t.Error("due although a new event came")
	}
}

func TestRestBeginsAnewAfterEventsThatOnlyTheGuestHasSeen(t *testing.T) {
	m := active(t)
	m.Met(at(2)) // no rest had begun
	if _, _, ok := m.Due(rest); ok {
		t.Error("due while an event runs")
	}
	progress(t, m, guest.Progress{Started: 1, Finished: 1}, at(5))
	m.Met(at(9))
	if due, mode, ok := m.Due(rest); !ok || mode != guest.IfIdle || due != at(19) {
		t.Errorf("got %v %v %v, want hibernation at 19", due.Unix(), mode, ok)
	}
}

func TestTasksWithoutEvictionKeepAnObjectForEver(t *testing.T) {
	m := active(t)
	progress(t, m, guest.Progress{Started: 1, Finished: 1, Tasks: 1}, at(5))
	if _, _, ok := m.Due(Rest{Hibernate: time.Second}); ok {
		t.Error("due although a task is pending and eviction is off")
	}
}

func TestEventsWaitWhileAnObjectSettles(t *testing.T) {
	m := active(t)
	progress(t, m, guest.Progress{Started: 1, Finished: 1}, at(1))
	m.Settle()
	if got := m.Arrive(); got != Wait {
		t.Errorf("while settling got verdict %d, want Wait", got)
	}
	m.Awake(at(12))
	if got := m.Arrive(); got != Deliver {
		t.Errorf("after awake got verdict %d, want Deliver", got)
	}
	if due, _, _ := m.Due(rest); due != at(22) {
		t.Errorf("after awake due at %v, want 22", due.Unix())
	}
	m.Settle()
	m.Gone()
	if got := m.Arrive(); got != Activate {
		t.Errorf("after sleep got verdict %d, want Activate", got)
	}
	if m.Delivered() != 0 {
		t.Errorf("a new activation has %d events", m.Delivered())
	}
}

func TestImpossibleReportsAreErrors(t *testing.T) {
	for name, p := range map[string]guest.Progress{
		"more begun than delivered": {Started: 2, Finished: 1},
		"more finished than begun":  {Started: 0, Finished: 1},
	} {
		if err := active(t).Progress(p, at(1)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m := active(t)
	progress(t, m, guest.Progress{Started: 1, Finished: 1}, at(1))
	if err := m.Progress(guest.Progress{Started: 0, Finished: 0}, at(1)); err == nil {
		t.Error("counters that fall: no error")
	}
	m.Break()
	if err := m.Progress(guest.Progress{Started: 9}, at(1)); err != nil {
		t.Errorf("a report that crossed a reset: %v", err)
	}
}

func TestWindowEmptiesWhenTheGuestCaughtUp(t *testing.T) {
	m := active(t)
	m.Deliver(1, 100)
	progress(t, m, guest.Progress{Started: 1}, at(1))
	if events, bytes := m.Behind(); events != 1 || bytes != 101 {
		t.Errorf("got %d events, %d bytes behind, want 1, 101", events, bytes)
	}
	progress(t, m, guest.Progress{Started: 2}, at(1))
	if events, bytes := m.Behind(); events != 0 || bytes != 0 {
		t.Errorf("got %d events, %d bytes behind, want none", events, bytes)
	}
}

// TestNeverDueWhileAnEventRuns drives random lives with counters about to wrap.
func TestNeverDueWhileAnEventRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Machine
		m.Arrive()
		m.delivered = 1<<32 - 3
		m.progress = guest.Progress{Started: 1<<32 - 3, Finished: 1<<32 - 3}
		running, waiting, now := 0, 0, 1
		report := func(tasks uint32) {
			p := guest.Progress{Started: m.delivered - uint32(waiting), Tasks: tasks}
			p.Finished = p.Started - uint32(running)
			now++
			if err := m.Progress(p, at(now)); err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) { m.Deliver(1, 1); waiting++ },
			"start": func(t *rapid.T) {
				if waiting > 0 {
					waiting, running = waiting-1, running+1
					report(0)
				}
			},
			"finish": func(t *rapid.T) {
				if running > 0 {
					running--
					report(rapid.Uint32Range(0, 2).Draw(t, "tasks"))
				}
			},
			"": func(t *rapid.T) {
				if _, _, ok := m.Due(rest); ok && running+waiting > 0 {
					t.Fatalf("due with %d running and %d waiting", running, waiting)
				}
			},
		})
	})
}
