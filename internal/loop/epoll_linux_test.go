package loop

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type handlerFunc func(events uint32)

func (f handlerFunc) Ready(events uint32) { f(events) }

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return p[0], p[1]
}

func epollLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWatch(t *testing.T) {
	l := epollLoop(t)
	start(t, l)
	r, w := pipe(t)
	ready := make(chan byte)
	l.Call(func() {
		err := l.Watch(r, unix.EPOLLIN, handlerFunc(func(events uint32) {
			if events&unix.EPOLLIN == 0 {
				return
			}
			var b [1]byte
			unix.Read(r, b[:])
			ready <- b[0]
		}))
		if err != nil {
			t.Error(err)
		}
	})
	for i := range byte(3) {
		unix.Write(w, []byte{i})
		if got := <-ready; got != i {
			t.Errorf("got byte %d, want %d", got, i)
		}
	}
	l.Call(func() {
		if err := l.Rewatch(r, 0); err != nil {
			t.Error(err)
		}
		if err := l.Unwatch(r); err != nil {
			t.Error(err)
		}
		if err := l.Unwatch(r); !errors.Is(err, unix.ENOENT) {
			t.Errorf("second Unwatch: got %v, want ENOENT", err)
		}
		if err := l.Rewatch(r, 0); !errors.Is(err, unix.ENOENT) {
			t.Errorf("Rewatch after Unwatch: got %v, want ENOENT", err)
		}
		unix.Close(r)
		unix.Close(w)
		if err := l.Watch(r, unix.EPOLLIN, handlerFunc(func(uint32) {})); !errors.Is(err, unix.EBADF) {
			t.Errorf("Watch of a closed descriptor: got %v, want EBADF", err)
		}
		if err := l.Watch(-1, 0, nil); !errors.Is(err, unix.EBADF) {
			t.Errorf("Watch of -1: got %v, want EBADF", err)
		}
	})
}

// TestStaleEventIsNotDelivered: two descriptors become ready together; the
// handler of the first closes the second, whose number goes to a new owner
// before the round has come to it.
func TestStaleEventIsNotDelivered(t *testing.T) {
	l := epollLoop(t)
	a, aw := pipe(t)
	b, bw := pipe(t)
	var wrong, right atomic.Int64
	var newOwner int
	handled := make(chan struct{})
	// Whichever the kernel names first replaces the other one.
	replace := func(own, other, otherW int) Handler {
		return handlerFunc(func(uint32) {
			if newOwner != 0 {
				wrong.Add(1)
				return
			}
			l.Unwatch(own)
			l.Unwatch(other)
			unix.Close(other)
			unix.Close(otherW)
			nr, nw := pipe(t)
			if nr != other && nw != other {
				t.Errorf("the system gave %d and %d, not %d again", nr, nw, other)
			}
			newOwner = nr
			if err := l.Watch(other, unix.EPOLLIN|unix.EPOLLOUT, handlerFunc(func(events uint32) {
				// The new owner's own events are fine: a pipe's write end is writable.
				if events&unix.EPOLLIN != 0 {
					wrong.Add(1)
				}
				right.Add(1)
				l.Unwatch(other)
			})); err != nil {
				t.Error(err)
			}
			close(handled)
		})
	}
	l.Watch(a, unix.EPOLLIN, replace(a, b, bw))
	l.Watch(b, unix.EPOLLIN, replace(b, a, aw))
	unix.Write(aw, []byte{1})
	unix.Write(bw, []byte{1})
	start(t, l)
	<-handled
	l.Call(func() {})
	l.Call(func() {})
	if wrong.Load() != 0 {
		t.Errorf("%d events of the old owner were delivered", wrong.Load())
	}
}

// TestIdleLoopSleeps counts rounds: without work there is none, however long.
func TestIdleLoopSleeps(t *testing.T) {
	l := epollLoop(t)
	var rounds atomic.Int64
	l.OnFlush(func() { rounds.Add(1) })
	start(t, l)
	l.Call(func() { l.Schedule(NewTimer(func() {}), time.Now().Add(time.Hour)) })
	asleep(t, l)
	before := rounds.Load()
	// Each of these is one round; one that ticks in between would show.
	for range 50 {
		l.Call(func() {})
		asleep(t, l)
	}
	// A wake-up may come after its function has run in an earlier round.
	if got := rounds.Load() - before; got < 50 || got > 100 {
		t.Errorf("%d rounds for 50 calls", got)
	}
}

// TestOneWakeUpPerBatch counts the rounds that many posts to a sleeping loop
// take.
func TestOneWakeUpPerBatch(t *testing.T) {
	l := epollLoop(t)
	var rounds atomic.Int64
	l.OnFlush(func() { rounds.Add(1) })
	start(t, l)
	hold := make(chan struct{})
	l.Post(func() { <-hold })
	asleep := rounds.Load()
	ran := 0
	for range 1000 {
		l.Post(func() { ran++ })
	}
	close(hold)
	l.Call(func() {
		if ran != 1000 {
			t.Errorf("%d functions ran, want 1000", ran)
		}
	})
	if got := rounds.Load() - asleep; got > 4 {
		t.Errorf("%d rounds for 1000 functions posted at once", got)
	}
}

// asleep waits until the loop has announced that it waits.
func asleep(t *testing.T, l *Loop) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		l.mu.Lock()
		is := l.asleep
		l.mu.Unlock()
		if is {
			return
		}
	}
	t.Fatal("the loop does not go to sleep")
}

// TestPostedWorkDoesNotStarveDescriptors: a function that posts itself for ever
// runs beside a descriptor, which gets its turn.
func TestPostedWorkDoesNotStarveDescriptors(t *testing.T) {
	l := epollLoop(t)
	start(t, l)
	r, w := pipe(t)
	ready := make(chan struct{})
	stop := false
	l.Call(func() {
		l.Watch(r, unix.EPOLLIN, handlerFunc(func(uint32) {
			l.Unwatch(r)
			stop = true
			close(ready)
		}))
		var again func()
		again = func() {
			if !stop {
				l.Post(again)
			}
		}
		again()
	})
	unix.Write(w, []byte{1})
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("the descriptor never got its turn")
	}
}

func TestPortableLoopRefusesDescriptors(t *testing.T) {
	l := NewPortable()
	if err := l.Watch(0, unix.EPOLLIN, handlerFunc(func(uint32) {})); !errors.Is(err, unix.ENOSYS) {
		t.Errorf("got %v, want ENOSYS", err)
	}
}

func TestEnoughLeavesTheRestToTheNextRound(t *testing.T) {
	l := epollLoop(t)
	const descriptors = 10
	var round, handled int // owned by the loop
	var rounds [descriptors]int
	l.OnFlush(func() { round++ })
	all := make(chan struct{})
	for i := range descriptors {
		r, w := pipe(t)
		err := l.Watch(r, unix.EPOLLIN, handlerFunc(func(uint32) {
			var b [1]byte
			unix.Read(r, b[:])
			rounds[i] = round
			if handled++; handled == descriptors {
				close(all)
			}
			l.Enough()
		}))
		if err != nil {
			t.Fatal(err)
		}
		unix.Write(w, []byte{1})
	}
	start(t, l)
	<-all
	l.Call(func() {
		for i, n := range rounds {
			if n != rounds[0]+i {
				t.Errorf("the descriptors were handled in rounds %v, want one in each", rounds)
				break
			}
		}
	})
}
