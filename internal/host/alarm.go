package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// AlarmEnd is how a run of an alarm has ended.
type AlarmEnd uint8

const (
	// AlarmInterrupted: through no fault of the author's. It has to run again.
	AlarmInterrupted AlarmEnd = iota
	// AlarmRan: to its end, and what it wrote is durable; or there was nothing to
	// run.
	AlarmRan
	// AlarmFailed: the handler or the constructor threw, or the object was reset
	// by its own code.
	AlarmFailed
	// AlarmFailedForGood: and its code wants no other try.
	AlarmFailedForGood
)

// DropAlarm is the retry count with which an alarm that is due is not run but
// deleted: it has failed too often.
const DropAlarm = 7

// Alarm asks an object for its alarm, which runs if it is due. retry is how
// often it has failed, or DropAlarm. done is called on the loop, once. May be
// called on any goroutine.
func (s *Shard) Alarm(k dormouse.Key, class int, scheduled time.Time, retry int, done func(AlarmEnd, *dormouse.Error)) {
	c := &Call{shard: s, answer: &alarmRun{done: done}}
	s.Loop.Post(func() {
		if s.refuses(k, class, c.fail) {
			return
		}
		o := s.resident(k, class)
		c.object = o
		o.eventOf(observe.Alarm, 64, func(g guest.Guest) { c.beginAlarm(g, o.num, scheduled, retry) }, c.fail)
	})
}

func (c *Call) beginAlarm(g guest.Guest, num guest.Object, scheduled time.Time, retry int) {
	if c.enter(g, response) {
		c.span = c.object.traced(observe.Alarm, trace.Context{})
		g.Alarm(c.x, num, scheduled, retry)
	}
}

// alarmRun is the Answer to an alarm. Whatever ends it that is not said to be
// the author's doing is not.
type alarmRun struct {
	failed AlarmEnd // what Failure means
	done   func(AlarmEnd, *dormouse.Error)
}

func (r *alarmRun) Response(*guest.Response)  { r.done(AlarmRan, nil) }
func (r *alarmRun) Failure(e *dormouse.Error) { r.done(r.failed, e) }
func (r *alarmRun) BodyAbort(string)          {}
func (r *alarmRun) Body([]byte)               {}
func (r *alarmRun) BodyEnd()                  {}
func (r *alarmRun) Credit(uint32)             {}
func (r *alarmRun) Cancel(string)             {}

// blame notes that the call, if it is an alarm, fails through its author's code.
func (c *Call) blame(end AlarmEnd) {
	if r, is := c.answer.(*alarmRun); is {
		r.failed = end
	}
}

// blameAlarms notes that the instance ends through its own code, and its alarm
// with it. An error that may be tried again is none of that.
func (o *resident) blameAlarms(e *dormouse.Error, a guest.Abort) {
	end := AlarmFailed
	switch {
	case a.NoAlarmRetry:
		end = AlarmFailedForGood
	case e.Retryable:
		return
	}
	for c := range o.live.calls {
		c.blame(end)
	}
}

// SetAlarm takes what the object says of its alarm: before a commit that makes
// it earlier, or after one that makes it later.
func (s *Shard) SetAlarm(g guest.Guest, num guest.Object, at time.Time, committed bool) {
	o := s.at(g, num)
	if o == nil || s.Alarms == nil {
		return
	}
	if committed {
		o.whenSaved(s.Alarms.Later(o.key, at))
		return
	}
	s.Alarms.Earlier(o.key, at)
	o.live.alarm, o.live.announced = at, true // pairs with Commit
}

// FoundAlarm tells which alarm the object's database had when it was opened.
func (s *Shard) FoundAlarm(g guest.Guest, num guest.Object, at time.Time) {
	if o := s.at(g, num); o != nil && s.Alarms != nil {
		s.Alarms.Found(o.key, at)
	}
}

// alarmCommitted tells that the commit is made which SetAlarm has announced.
func (o *resident) alarmCommitted() {
	if l := o.live; l.announced {
		l.announced = false
		o.whenSaved(o.shard.Alarms.Later(o.key, l.alarm))
	}
}

// saved is what happens when so many questions to Durability have been answered.
type saved struct {
	answers uint64
	do      func()
}

// whenSaved has f called when all that the object has committed is durable, and
// not at all if that fails.
func (o *resident) whenSaved(f func()) {
	if o.saving == 0 {
		f()
		return
	}
	o.whenAnswered = append(o.whenAnswered, saved{o.answered + uint64(o.saving), f})
}

// answer counts an answer of Durability, and calls what has waited for it.
func (o *resident) answer(err error) {
	o.saving--
	o.answered++
	for len(o.whenAnswered) > 0 && o.whenAnswered[0].answers <= o.answered {
		w := o.whenAnswered[0]
		o.whenAnswered = o.whenAnswered[1:]
		if err == nil {
			w.do()
		}
	}
	if len(o.whenAnswered) == 0 {
		o.whenAnswered = nil
	}
}

// doubtAlarms tells of the objects of a dead guest that were at work in it: they
// may have committed an alarm of which nothing has come.
func (s *Shard) doubtAlarms(l *life) {
	if s.Alarms == nil {
		return
	}
	for _, o := range l.activations {
		if !o.m.Idle() && l.hasAlarm(o.class) {
			s.Alarms.Doubt(o.key)
		}
	}
}

// hasAlarm says whether a class has an alarm handler, as far as its guest knows.
func (l *life) hasAlarm(class int) bool {
	n := l.code.class(class)
	return n < 0 || n >= len(l.ready.Classes) || l.ready.Classes[n].Alarm
}
