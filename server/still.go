package server

import (
	"context"

	"github.com/dormouse-dev/dormouse/internal/observe/clock"
)

// watchClock has alarms and health hear of it when the clock of the machine is
// set, so that neither has to look at it all the time. Where the system does not
// tell, they do look.
func (s *Server) watchClock() {
	if s.Parts != nil { // the clock is not the machine's, or time is virtual
		return
	}
	w, err := clock.Open()
	if err != nil {
		s.log.Debug("the clock is looked at every few seconds", "reason", err)
		return
	}
	told := func(yes bool) {
		for _, sh := range s.shards {
			sh.loop.Post(func() { sh.alarms.Told(yes) })
		}
	}
	told(true)
	s.clock.begin(func(ctx context.Context) {
		defer w.Close()
		defer context.AfterFunc(ctx, func() { w.Close() })()
		for w.Wait() == nil {
			for _, sh := range s.shards {
				sh.loop.Post(sh.alarms.ClockSet)
			}
			s.bell.Ring()
		}
		told(false)
	})
}
