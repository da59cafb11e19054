// Package wake asks: how long does a message take to an object that is not in
// memory?
package wake

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

const (
	rounds  = 3
	perWave = 100
)

// Group is objects with a socket each that have hibernated. They are woken one
// after another, and answer from their constructor and handler; each is asked
// once.
func Group() contest.Group {
	return contest.Group{Name: "wake", Questions: []contest.Question{{
		Name:    "wake, first reply of a hibernated object",
		Asks:    "How long does the first reply of a hibernated object take?",
		Metrics: []contest.Metric{contest.P50, contest.P99, contest.CPU},
		Peers:   []string{peers.Dormouse, peers.Workerd, peers.GoObjects},
		Rounds:  rounds,
		Prepare: func(t *contest.Target) (any, error) {
			return load.Dial(t.Server.Addr, rounds*perWave, 50, func(i int) string { return fmt.Sprintf("/ws/Idle/asleep-%d", i) })
		},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			var h load.Histogram
			m, err := t.Measure(func() error {
				for i := t.Round * perWave; i < (t.Round+1)*perWave; i++ {
					sent := time.Now()
					births, err := t.Prepared.(*load.Fleet).Ask(i, "births?")
					if err != nil {
						return err
					}
					if births != "2" {
						return fmt.Errorf("the constructor has run %s times, want 2: the object was not woken", births)
					}
					h.Add(time.Since(sent), 1)
				}
				return nil
			})
			s := m.Sample(perWave)
			s.Latencies(&h)
			return s, err
		},
	}}}
}
