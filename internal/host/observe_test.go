package host_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/observe"
)

func (s *shard) observed() (o host.Observed) {
	s.on(func() { o = s.host.Observed() })
	return o
}

// TestSlowEventSaysWhereItWaited, in virtual time: a tenth of a second in each
// place but the mailbox, where nothing waits.
func TestSlowEventSaysWhereItWaited(t *testing.T) {
	var log bytes.Buffer
	inWorld(t, options{disk: true, log: &log, slow: 250 * time.Millisecond}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a := s.connect(k, "amy")
		g := s.guest
		g.OnMessage = func(i *guesttest.Instance, _ dormouse.SocketID, _ bool, _ string) { i.Commit() }
		s.auto(false)
		a.say("hello")
		s.on(func() {})
		time.Sleep(200 * time.Millisecond)
		s.on(func() {
			s.host.Waited(g, g.Last().Object, 100*time.Millisecond)
			g.Turn()
		})
		if log.Len() > 0 {
			t.Errorf("logged %q before its outputs have left", log.String())
		}
		time.Sleep(100 * time.Millisecond)
		s.sync(1, nil)
		want := "level=WARN msg=\"slow event\" class=Room object=006c6f6262790000000000000000000000000000000000000000000000000000 event=message took=300ms mailbox=0s input_gate=100ms handler=100ms output_gate=100ms guest=1"
		if !strings.Contains(log.String(), want) {
			t.Errorf("got %q\nwant %q", log.String(), want)
		}
		o := s.observed()
		if o.Slow != 1 || o.InputGate.Count() != 1 || o.OutputGate.Count() == 0 || o.Commits.Count() != 1 {
			t.Errorf("got %+v", o)
		}
	})
}

// TestWhatWaitsInAMailboxIsCounted: events for an object that has no guest yet.
func TestWhatWaitsInAMailboxIsCounted(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a := s.connect(k, "amy")
		s.on(func() { s.guest.Die(nil) })
		a.say("one", "two")
		s.on(func() {})
		o := s.observed()
		if o.Mail != 2 || o.MailBytes == 0 || o.Waiting != 1 || o.States[0] != (host.States{Hibernated: 1}) {
			t.Errorf("while they wait: %+v", o)
		}
		time.Sleep(time.Second)
		s.newGuest(true)
		s.on(func() {})
		o = s.observed()
		if o.Mail != 0 || o.MailboxWait.Count() != 2 || o.MailboxWait.Sum < 2*time.Second || o.States[0].Idle != 1 {
			t.Errorf("afterwards: %+v", o)
		}
		e := o.Events[0]
		if e.Delivered[observe.Message] != 2 || e.Latency[observe.Message].Sum != o.MailboxWait.Sum || e.Delivered[observe.Request] != 1 {
			t.Errorf("events: %+v", e)
		}
	})
}

// TestHistoryAndKeys: what an operator finds of an object, by name, and what had
// become of it.
func TestHistoryAndKeys(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a := s.connect(k, "amy")
		s.fetch(key(0, "hall"), nil)
		time.Sleep(hibernateAfter + time.Second)
		s.wantState(k, "hibernated")
		a.say("hello")
		s.on(func() { s.host.StartFailed(s.guest, s.guest.Last().Object, &dormouse.Error{Message: "boom"}) })
		var history []host.Moment
		keys := func(f host.Filter) (n int) {
			s.on(func() { n = len(s.host.Keys(f)) })
			return n
		}
		s.on(func() { history = s.host.History(k) })
		var got []string
		for _, m := range history {
			got = append(got, m.What+" "+m.Why)
		}
		same(t, "history", got, []string{"wake ", "sleep idle", "wake ", "reset boom", "sleep constructor failed"})
		if m := history[1]; m.Events != 1 || m.Lasted < hibernateAfter {
			t.Errorf("the first sleep: %+v", m)
		}
		s.connect(k, "amy")
		for want, f := range map[int]host.Filter{
			1: {State: "idle", Search: "006C6F62"},
			0: {Class: "Cell"},
		} {
			if got := keys(f); got != want {
				t.Errorf("%+v finds %d, want %d", f, got, want)
			}
		}
	})
}

// TestSlowEventsDoNotFillTheLog: what is not logged is counted, and the next line
// says so.
func TestSlowEventsDoNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	inWorld(t, options{log: &log, slow: time.Nanosecond}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		a := s.connect(k, "amy")
		for range 30 { // within a second
			s.auto(false)
			a.say("hello")
			s.on(func() {})
			time.Sleep(time.Millisecond)
			s.on(s.guest.Turn)
		}
		if got := strings.Count(log.String(), "slow event"); got != 10 {
			t.Errorf("got %d lines, want 10", got)
		}
		if got := s.observed().Slow; got != 30 {
			t.Errorf("counted %d, want 30", got)
		}
		time.Sleep(time.Second)
		a.say("hello")
		s.on(func() {})
		time.Sleep(time.Millisecond)
		s.on(s.guest.Turn)
		if !strings.Contains(log.String(), "unlogged=20") {
			t.Errorf("got %s", log.String())
		}
	})
}
