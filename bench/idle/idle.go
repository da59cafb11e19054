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
	quiet   = 10 * time.Second
	// still is how long no thread may have run until the server is said to be at
	// rest. After a burst of handshakes Dormouse looks whether all is well for ten
	// seconds (docs/architecture.md, "At rest"), and V8 collects garbage of guests
	// that do nothing, three times with pauses of eight seconds and more.
	still = 25 * time.Second
	// patience is for a server that is never at rest: it is measured as it is.
	patience = 2 * time.Minute
)

// Group has as many sockets as the load may open, all of objects that have left
// memory. When the server has come to rest it counts how often any thread wakes
// up, and what it computes.
func Group() contest.Group {
	return contest.Group{Name: "idle", Questions: []contest.Question{{
		Name: "idle, 19,000 hibernated sockets",
		Asks: "How often does a server wake up for sockets that say nothing?",
		Metrics: []contest.Metric{
			{Name: "wakeups", Unit: "wake-ups/s"}, {Name: "busy", Unit: "ms CPU/s"}, {Name: "sockets", Unit: "sockets"}, {Name: "rest", Unit: "s until at rest"},
		},
		Peers:  []string{peers.Dormouse},
		Rounds: 1,
		Prepare: func(t *contest.Target) (any, error) {
			return load.Dial(t.Server.Addr, t.Pace.Sleepers, 100, func(i int) string { return fmt.Sprintf("/ws/Idle/%d", i%objects) })
		},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			rest, err := atRest(t.Server.PID())
			if err != nil {
				return contest.Sample{}, err
			}
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
			s.Values["rest"] = rest.Seconds()
			return s, err
		},
	}}}
}

// atRest waits until no thread of the tree has run for a while, and returns after
// what time the last one did.
func atRest(pid int) (time.Duration, error) {
	began := time.Now()
	last, lastRun := uint64(0), began
	for time.Since(began) < patience && time.Since(lastRun) < still {
		n, err := proctree.Wakeups(pid)
		if err != nil {
			return 0, err
		}
		if n != last {
			last, lastRun = n, time.Now()
		}
		time.Sleep(time.Second)
	}
	return lastRun.Sub(began), nil
}
