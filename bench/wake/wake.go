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

// Group is objects that have hibernated, in a guest that runs and in one that
// does not.
func Group() contest.Group {
	return contest.Group{Name: "wake", Questions: []contest.Question{warm(), cold()}}
}

// warm has objects with a socket each. They are woken one after another, and
// answer from their constructor and handler; each is asked once.
func warm() contest.Question {
	return contest.Question{
		Name:    "wake, first reply of a hibernated object",
		Asks:    "How long does the first reply of a hibernated object take?",
		Metrics: []contest.Metric{contest.P50, contest.P99, contest.CPU},
		Peers:   []string{peers.Dormouse, peers.Workerd, peers.GoObjects},
		Rounds:  rounds,
		Asleep:  true,
		Prepare: func(t *contest.Target) (any, error) {
			return load.Dial(t.Server.Addr, rounds*perWave, 50, func(i int) string { return fmt.Sprintf("/ws/Idle/asleep-%d", i) })
		},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			var h load.Histogram
			m, err := t.Measure(func() error {
				for i := t.Round * perWave; i < (t.Round+1)*perWave; i++ {
					sent := time.Now()
					if err := wake(t.Prepared.(*load.Fleet), i); err != nil {
						return err
					}
					h.Add(time.Since(sent), 1)
				}
				return nil
			})
			s := m.Sample(perWave)
			s.Latencies(&h)
			return s, err
		},
	}
}

// wake asks the i-th socket's object, which must have hibernated.
func wake(f *load.Fleet, i int) error {
	births, err := f.Ask(i, "births?")
	if err == nil && births != "2" {
		err = fmt.Errorf("the constructor has run %s times, want 2: the object was not woken", births)
	}
	return err
}
