package scheduler

import "time"

// Forget loses the timer.
func (s *Scheduler) Forget() { s.c.Loop.Cancel(s.timer) }

// Oversleep has the timer fire at the wrong time.
func (s *Scheduler) Oversleep(at time.Time) {
	s.armed, s.at = true, at
	s.c.Loop.Schedule(s.timer, at)
}
