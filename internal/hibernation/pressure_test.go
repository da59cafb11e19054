package hibernation

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// TestBufferedIsTold when much begins to wait, at each doubling and halving, and
// when nothing does.
func TestBufferedIsTold(t *testing.T) {
	r := newRig(t, false)
	c := r.accept(1)
	sent := func(waits int) {
		c.waits = waits
		r.reg.Send(2, true, []byte("x"))
	}
	drained := func(waits int) {
		c.waits = waits
		if waits <= c.low {
			c.sink.Drained()
		}
	}
	sent(60 << 10)
	sent(70 << 10)
	sent(100 << 10)
	sent(140 << 10)
	sent(300 << 10)
	drained(200 << 10)
	drained(150 << 10)
	drained(80 << 10)
	drained(20 << 10)
	drained(0)
	sent(70 << 10)
	want := []int{70, 140, 300, 150, 20, 0, 70}
	for i := range want {
		want[i] <<= 10
	}
	if !slices.Equal(r.rec.waiting, want) {
		t.Errorf("told %d, want %d", r.rec.waiting, want)
	}
}

// TestPauseOfOneSocket outlives the pause of its whole set, and has none in it.
func TestPauseOfOneSocket(t *testing.T) {
	r := newRig(t, false)
	a, b := r.accept(1), r.accept(2)
	want := func(aPaused, bPaused bool) {
		t.Helper()
		if a.paused != aPaused || b.paused != bPaused {
			t.Errorf("paused: %v and %v, want %v and %v", a.paused, b.paused, aPaused, bPaused)
		}
	}
	r.reg.Pause(2, true)
	want(true, false)
	r.set.Pause()
	want(true, true)
	r.set.Resume()
	want(true, false)
	r.set.Pause()
	r.reg.Pause(2, false)
	want(true, true)
	r.set.Resume()
	want(false, false)
	r.reg.Pause(99, true) // nobody
}

// inTime runs a registry on a loop in virtual time.
func inTime(t *testing.T, f func(r *rig, on func(func()))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.reg.cfg.CloseHandshake = 30 * time.Second
		l := r.reg.Loop()
		l.Start()
		defer l.Stop()
		f(r, func(f func()) { l.Call(f) })
	})
}

// TestAnswerThatIsNotRead is waited for: a client whose answer to our Close may
// be there, and is not read for reasons of our own, is not dropped.
func TestAnswerThatIsNotRead(t *testing.T) {
	inTime(t, func(r *rig, on func(func())) {
		var c *conn
		gone := func() (is bool) {
			on(func() { is = c.gone })
			return is
		}
		on(func() {
			c = r.accept(1)
			r.reg.Close(2, 1000, "")
			r.set.Pause()
		})
		time.Sleep(time.Minute)
		if gone() {
			t.Error("dropped while its object was behind")
		}
		on(func() {
			r.set.Resume()
			r.reg.AllPaused(true)
		})
		time.Sleep(time.Minute)
		if gone() {
			t.Error("dropped while nobody was read")
		}
		on(func() { r.reg.AllPaused(false) })
		time.Sleep(time.Minute)
		if !gone() {
			t.Error("not dropped")
		}
	})
}

// TestEndThatNobodyTakes: a connection whose other side has no owner is not
// kept for ever.
func TestEndThatNobodyTakes(t *testing.T) {
	inTime(t, func(r *rig, on func(func())) {
		var taken, untaken *conn
		on(func() {
			for _, id := range []dormouse.SocketID{3, 5} {
				if err := r.reg.Attach(id, nil, nil, ws.Options{}); err != nil {
					t.Error(err)
				}
			}
			taken, untaken = r.tr.made[0], r.tr.made[1]
		})
		time.Sleep(takeLimit - time.Second)
		on(func() {
			if err := r.reg.Accept(r.set, 2, nil); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(takeLimit)
		on(func() {
			if taken.gone || taken.paused || !untaken.gone {
				t.Errorf("taken gone %v, paused %v; untaken gone %v", taken.gone, taken.paused, untaken.gone)
			}
			if n := len(r.reg.sockets); n != 1 {
				t.Errorf("%d sockets are left, want 1", n)
			}
		})
	})
}

// TestRelayToSomebodyBehind ends on both sides instead of growing.
func TestRelayToSomebodyBehind(t *testing.T) {
	l := loop.NewPortable()
	var reg *Registry
	reg = New(Config{Loop: l, Transport: &transport{}, MaxSockets: 10, Options: ws.Options{MaxOutbound: 1000}, Home: func(uint32) *Registry { return reg }})
	var sender, receiver recipient
	a, b := reg.NewSet(&sender, true), reg.NewSet(&receiver, true)
	l.Start()
	defer l.Stop()
	l.Call(func() {
		if err := reg.Accept(a, 2, nil); err != nil {
			t.Error(err)
		}
		if err := reg.Accept(b, 3, nil); err != nil {
			t.Error(err)
		}
		receiver.behind = 1000
		reg.Send(2, true, []byte("first"))
	})
	l.Call(func() {
		receiver.behind = 1001
		reg.Send(2, true, []byte("second"))
	})
	for range 3 {
		l.Call(func() {}) // what was said travels a round, and its end another
	}
	l.Call(func() {
		if want := []string{"3 first", "3 " + ws.ErrSlow.Error()}; !slices.Equal(receiver.heard, want) {
			t.Errorf("the receiver heard %q, want %q", receiver.heard, want)
		}
		if want := []string{"2 " + ws.ErrSlow.Error()}; !slices.Equal(sender.heard, want) {
			t.Errorf("the sender heard %q, want %q", sender.heard, want)
		}
	})
}
