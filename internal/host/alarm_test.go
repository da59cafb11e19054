package host_test

import (
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// TestAlarmIsLaterOnlyWhenDurable: earlier is told before the commit that
// follows, what the alarm is when that has come, and that it is durable when all
// that was committed until then is.
func TestAlarmIsLaterOnlyWhenDurable(t *testing.T) {
	inWorld(t, options{disk: true}, func(t *testing.T, w *world) {
		s, k := w.one(), key(0, "lobby")
		s.auto(false)
		s.host.Alarm(k, 0, never, 0, func(host.AlarmEnd, *dormouse.Error) {})
		s.on(s.guest.Turn)
		i := s.guest.Last()
		say := func(seconds int64, committed bool) {
			s.guest.Host.SetAlarm(s.guest, i.Object, time.Unix(seconds, 0), committed)
		}
		s.on(func() {
			i.Commit()
			say(9, true)
			say(5, false)
			i.Commit()
			i.Commit()
		})
		said := []string{"lobby is 9000", "lobby earlier 5000", "lobby is 5000"}
		same(t, "before anything is durable", s.wakes, said)
		s.sync(1, nil)
		said = append(said, "lobby durable 9000")
		same(t, "the first commit", s.wakes, said)
		s.sync(1, nil)
		said = append(said, "lobby durable 5000")
		same(t, "the second", s.wakes, said)
		s.on(func() {
			i.Commit()
			say(20, true)
		})
		s.sync(1, nil)
		s.sync(1, errDisk)
		same(t, "a commit that failed", s.wakes, append(said, "lobby is 20000"))
	})
}

// TestAlarmsOfADeadGuest: who was at work in it is asked again.
func TestAlarmsOfADeadGuest(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		s := w.one()
		s.fetch(key(0, "idle"), nil).got("response 200")
		s.fetch(key(0, "tasks"), nil).got("response 200")
		s.on(func() { s.guest.Last().Tasks(1) })
		s.auto(false)
		s.fetch(key(0, "busy"), nil)
		s.wakes = nil
		s.on(func() { s.guest.Die(nil) })
		if len(s.wakes) == 2 && s.wakes[0] > s.wakes[1] {
			s.wakes[0], s.wakes[1] = s.wakes[1], s.wakes[0]
		}
		same(t, "in doubt", s.wakes, []string{"busy doubt", "tasks doubt"})
	})
}

// TestWhoseFaultItIs: what the author's code did counts, and what befell it does
// not.
func TestWhoseFaultItIs(t *testing.T) {
	own := &dormouse.Error{Message: "its own doing", ObjectReset: true}
	fault := &dormouse.Error{Message: "the disk", ObjectReset: true, Retryable: true}
	for name, c := range map[string]struct {
		do   func(s *shard, i guest.Object)
		want host.AlarmEnd
	}{
		"the handler threw":     {func(s *shard, _ guest.Object) { s.guest.Peer().Failure(2, own) }, host.AlarmFailed},
		"something else's does": {func(s *shard, _ guest.Object) { s.guest.Peer().Failure(2, fault) }, host.AlarmFailed},
		"abort":                 {func(s *shard, o guest.Object) { s.guest.Host.Aborted(s.guest, o, own, guest.Abort{}) }, host.AlarmFailed},
		"abort for good": {func(s *shard, o guest.Object) {
			s.guest.Host.Aborted(s.guest, o, own, guest.Abort{NoAlarmRetry: true})
		}, host.AlarmFailedForGood},
		"the constructor threw": {func(s *shard, o guest.Object) { s.guest.Host.StartFailed(s.guest, o, own) }, host.AlarmFailed},
		"the storage failed":    {func(s *shard, o guest.Object) { s.guest.Host.Aborted(s.guest, o, fault, guest.Abort{}) }, host.AlarmInterrupted},
		"the guest died":        {func(s *shard, _ guest.Object) { s.guest.Die(nil) }, host.AlarmInterrupted},
		"it ran":                {func(s *shard, _ guest.Object) { s.guest.Host.Done(s.guest, 2) }, host.AlarmRan},
	} {
		inWorld(t, options{}, func(t *testing.T, w *world) {
			s := w.one()
			s.auto(false)
			var ends []host.AlarmEnd
			s.host.Alarm(key(0, "lobby"), 0, never, 0, func(end host.AlarmEnd, _ *dormouse.Error) { ends = append(ends, end) })
			s.on(func() { c.do(s, s.guest.Last().Object) })
			if len(ends) != 1 || ends[0] != c.want {
				t.Errorf("%s: got %v, want %v", name, ends, c.want)
			}
		})
	}
}
