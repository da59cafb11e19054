// Package idle asks: what does a server do when nobody wants anything of it?
package idle

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
	"github.com/dormouse-dev/dormouse/bench/proctree"
)

const (
	objects = 10
	quiet   = 5 * time.Second
)

// Group has as many sockets as the load may open, all of objects that have left
// memory, and counts how often any thread of the server wakes up, and what it
// computes.
func Group() contest.Group {
	return contest.Group{Name: "idle", Questions: []contest.Question{{
		Name:    "idle, 19,000 hibernated sockets",
		Asks:    "How often does a server wake up for sockets that say nothing?",
		Metrics: []contest.Metric{{Name: "wakeups", Unit: "wake-ups/s"}, {Name: "busy", Unit: "ms CPU/s"}, {Name: "sockets", Unit: "sockets"}},
		Peers:   []string{peers.Dormouse},
		Rounds:  1,
		Prepare: func(t *contest.Target) (any, error) {
			return load.Dial(t.Server.Addr, t.Pace.Sleepers, 100, func(i int) string { return fmt.Sprintf("/ws/Idle/%d", i%objects) })
		},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			before, err := proctree.Wakeups(t.Server.PID())
			if err != nil {
				return contest.Sample{}, err
			}
			m, err := t.Measure(func() error {
				time.Sleep(quiet)
				return nil
			})
			if err != nil {
				return contest.Sample{}, err
			}
			after, err := proctree.Wakeups(t.Server.PID())
			s := m.Sample(t.Pace.Sleepers)
			s.Values["wakeups"] = float64(after-before) / quiet.Seconds()
			s.Values["busy"] = s.Values[contest.CPU.Name] * float64(t.Pace.Sleepers) / 1e3 / quiet.Seconds()
			s.Values["sockets"] = float64(t.Pace.Sleepers)
			return s, err
		},
	}}}
}
