package host_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestADatabaseIsReleasedWhenNobodyHasItOpen: a guest keeps it beyond the
// activation, and a newer guest may have it before the old one has closed it.
func TestADatabaseIsReleasedWhenNobodyHasItOpen(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		closed := func(want int) {
			t.Helper()
			if s.disk.closed != want {
				t.Errorf("released %d times, want %d", s.disk.closed, want)
			}
		}
		s.fetch(k, nil).got("response 200")
		old := s.guest
		if got := old.Last().Database; got != "/lobby" {
			t.Errorf("the guest was given the database %q, want /lobby", got)
		}
		s.newGuest(true)
		s.on(func() { s.host.Retire(old, evictAfter, func() {}) })
		closed(0)
		s.fetch(k, nil).got("response 200")
		if s.disk.opened != 2 {
			t.Errorf("opened %d times, want once for each guest", s.disk.opened)
		}
		s.on(func() { old.Host.DatabaseClosed(old, 1) })
		closed(1)
		s.on(func() { s.guest.Die(nil) })
		closed(2)
		if old.Broken != nil || s.guest.Broken != nil {
			t.Errorf("guests were given up: %v, %v", old.Broken, s.guest.Broken)
		}
	})
}

// TestWordsAboutDatabasesThatCannotBeTrue end the guest.
func TestWordsAboutDatabasesThatCannotBeTrue(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.fetch(k, nil).got("response 200")
		g := s.guest
		for what, say := range map[string]func(){
			"closed in memory":          func() { g.Host.DatabaseClosed(g, 1) },
			"closed what it never had":  func() { g.Host.DatabaseClosed(g, 9) },
			"a snapshot unasked":        func() { g.Host.SnapshotHeld(g, 1) },
			"a checkpoint unasked":      func() { g.Host.Checkpointed(g, 1, 0) },
			"a checkpoint of an unborn": func() { g.Host.Checkpointed(g, 9, 0) },
		} {
			g.Broken = nil
			s.on(say)
			if g.Broken == nil {
				t.Errorf("%s: the guest was believed", what)
			}
		}
		s.host.NeedCheckpoint(k)
		g.Broken = nil
		s.on(func() { g.Host.Checkpointed(g, 1, 7) }) // before it was told to
		if g.Broken == nil || len(s.disk.moved) > 0 {
			t.Errorf("frames moved without leave: the guest was believed, and told as %v", s.disk.moved)
		}
	})
}

// TestCheckpoint goes step by step: nothing is moved before it is durable.
func TestCheckpoint(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.fetch(k, nil)
		s.take()
		g := s.guest
		s.disk.manual = true
		s.host.NeedCheckpoint(k)
		s.host.NeedCheckpoint(k) // one at a time
		s.host.NeedCheckpoint(key(0, "unknown"))
		s.heard("checkpoint 1 hold")
		s.on(func() { g.Host.SnapshotHeld(g, 1) })
		s.heard()
		s.sync(1, nil)
		s.heard("checkpoint 1 move")
		s.on(func() { g.Host.Checkpointed(g, 1, 12) })

		s.host.NeedCheckpoint(k)
		s.on(func() { g.Host.SnapshotHeld(g, 1) })
		s.sync(1, errDisk)
		s.heard("checkpoint 1 hold", "checkpoint 1 end")
		s.on(func() { g.Host.Checkpointed(g, 1, 0) })

		s.host.NeedCheckpoint(k)
		s.on(func() { g.Host.Checkpointed(g, 1, 0) }) // it could not hold a snapshot
		s.heard("checkpoint 1 hold")
		if want := []int{12, 0}; !slices.Equal(s.disk.moved, want) {
			t.Errorf("moved %v, want %v", s.disk.moved, want)
		}
		s.on(func() { s.disk.refuses = errDisk })
		s.host.NeedCheckpoint(k)
		s.on(func() { g.Host.SnapshotHeld(g, 1) })
		s.heard("checkpoint 1 hold", "checkpoint 1 end")
	})
}

// TestAKeeperThatDoesNotAnswer ends its guest: the journal cannot be cut.
func TestAKeeperThatDoesNotAnswer(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.fetch(k, nil)
		s.host.NeedCheckpoint(k)
		s.disk.manual = true
		s.on(func() { s.guest.Host.SnapshotHeld(s.guest, 1) })
		sleep(time.Hour) // for the disk, which is not its fault
		if s.guest.Broken != nil {
			t.Fatalf("the guest was given up: %v", s.guest.Broken)
		}
		s.sync(1, nil)
		sleep(time.Hour)
		if s.guest.Broken == nil || !strings.Contains(s.guest.Broken.Error(), "keeper") {
			t.Errorf("got %v, want the guest given up for its keeper", s.guest.Broken)
		}
		s.on(func() { s.guest.Die(nil) })
		if s.disk.closed != 1 || len(s.disk.moved) != 1 {
			t.Errorf("released %d times and moved %v, want once, and nothing", s.disk.closed, s.disk.moved)
		}
	})
}

// TestAGuestThatDiesInACheckpoint leaves none under way.
func TestAGuestThatDiesInACheckpoint(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.fetch(k, nil)
		s.host.NeedCheckpoint(k)
		s.disk.manual = true
		s.on(func() { s.guest.Host.SnapshotHeld(s.guest, 1) })
		s.on(func() { s.guest.Die(nil) })
		s.disk.manual = false
		s.newGuest(true)
		s.fetch(k, nil)
		s.sync(1, nil) // the answer to the dead one
		s.take()
		s.host.NeedCheckpoint(k)
		s.heard("checkpoint 1 hold")
	})
}

// TestFilesThatCannotBeOpened: requests fail, messages wait, others run.
func TestFilesThatCannotBeOpened(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		c := s.connect(k, "amy")
		sleep(hibernateAfter)
		s.on(func() { s.disk.refuses = errors.New("damaged") })
		s.take()
		c.say("hello")
		a := s.fetch(k, nil)
		s.heard("close-database 1") // which is all that could help
		sleep(10 * time.Second)
		a.got("failure Durable Object storage failed, and the object was reset: damaged retryable reset")
		s.take()
		s.on(func() { s.disk.refuses = nil })
		sleep(2 * time.Second)
		s.heard("start 2 [1.2 tags=amy]", "message 1.2 text hello")
	})
}

// TestAFailureHasTheDatabaseClosed, or it could never be opened again.
func TestAFailureHasTheDatabaseClosed(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		s.fetch(k, nil)
		s.take()
		g := s.guest
		s.on(func() { s.disk.refuses = errDisk })
		s.on(func() { s.guest.Last().Commit() })
		s.heard("close-database 1", "reset 1 Durable Object storage failed, and the object was reset: no space left on device")
		s.on(func() {
			g.Host.Asleep(g, 1)
			g.Host.DatabaseClosed(g, 1)
		})
		if s.disk.closed != 1 {
			t.Errorf("released %d times, want once", s.disk.closed)
		}
	})
}
