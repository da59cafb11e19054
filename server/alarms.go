package server

import (
	"iter"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/alarm"
	"github.com/dormouse-dev/dormouse/internal/alarm/scheduler"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/observe/metrics"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// wakes keeps over a restart when objects have to be woken.
type wakes interface {
	scheduler.Store
	Wakes() iter.Seq2[dormouse.Key, storage.Wake]
}

// wakes is the engine, if it is one that keeps them; otherwise alarms are found
// when their objects are next opened.
func (s *Server) wakes() wakes {
	if s.engine == nil {
		return nil
	}
	return s.engine
}

// newAlarms makes what runs the alarms of a shard's objects.
func (s *Server) newAlarms(sh *shard) *scheduler.Scheduler {
	c := scheduler.Config{Loop: sh.loop, Log: s.log, Now: s.wall.now, Run: func(r alarm.Run, done func(alarm.Outcome)) {
		retry := r.Retry
		if r.Drop {
			retry = host.DropAlarm
		}
		class, _, ok := s.classIn(r.Key.Namespace)
		if !ok { // of code that is gone; a later version may have it again
			sh.loop.Post(func() { done(outcomes[host.AlarmInterrupted]) })
			return
		}
		sh.host.Alarm(r.Key, class, r.Scheduled, retry, func(end host.AlarmEnd, _ *dormouse.Error) {
			done(outcomes[end])
		})
	}}
	if w := s.wakes(); w != nil {
		c.Store = w
	}
	return scheduler.New(c)
}

// outcomes are the ends of an alarm as package alarm calls them.
var outcomes = [...]alarm.Outcome{
	host.AlarmInterrupted:   alarm.Interrupted,
	host.AlarmRan:           alarm.Ran,
	host.AlarmFailed:        alarm.Failed,
	host.AlarmFailedForGood: alarm.FailedForGood,
}

// loadAlarms gives the shards what was stored before the start. Before the loops
// run. Alarms of namespaces that this server does not have stay where they are.
func (s *Server) loadAlarms() {
	w := s.wakes()
	if w == nil {
		return
	}
	ours := make(map[dormouse.Namespace]bool)
	for _, n := range (runtime{s}).Namespaces() {
		ours[n] = true
	}
	for k, wake := range w.Wakes() {
		if ours[k.Namespace] {
			s.of(k).alarms.Load(k, wake)
		}
	}
}

// alarm describes an object's alarm for the admin API; nil: it has none. On the
// loop.
func (sh *shard) alarm(k dormouse.Key) *admin.Alarm {
	a, ok := sh.alarms.Look(k)
	if !ok {
		return nil
	}
	d := &admin.Alarm{Retry: a.Retry, Running: a.Running}
	set := func(to **time.Time, t time.Time) {
		if t = t.UTC(); !t.IsZero() {
			*to = &t
		}
	}
	set(&d.Time, a.Scheduled)
	set(&d.Next, a.Next)
	return d
}

// addAlarms adds what the alarms of a shard have counted to the metrics.
func addAlarms(sum *metrics.Alarms, t scheduler.Stats) {
	sum.Waiting += t.Alarms
	sum.Late += t.Overdue
	sum.Repaired += t.Repairs
	sum.Lateness.Add(&t.Lateness)
}

// Alarms adds up what the shards have counted.
func (r runtime) Alarms() admin.Alarms {
	var sum admin.Alarms
	for _, sh := range r.s.shards {
		sh.loop.Call(func() {
			t := sh.alarms.Stats()
			sum.Add(admin.Alarms{
				Alarms: t.Alarms, Running: t.Running, Late: t.Late, Runs: t.Runs, Failures: t.Failures,
				Interrupted: t.Interrupted, Dropped: t.Dropped, Repairs: t.Repairs, ClockJumps: t.ClockJumps,
			})
		})
	}
	return sum
}
