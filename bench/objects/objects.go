// Package objects asks: what do many objects cost, each with a socket: to have
// them all asleep, to wake them all at once, and to have them all at work?
package objects

import (
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// Group has 1, 100 and 10,000 objects. (100,000 are more sockets than a process
// may open: see growth.)
func Group() contest.Group {
	g := contest.Group{Name: "objects"}
	for _, n := range []int{1, 100} {
		g.Questions = append(g.Questions, work(n))
	}
	g.Questions = append(g.Questions, woken(1000, peers.Dormouse, peers.Workerd, peers.GoObjects))
	// workerd holds no 10,000 objects in 20,000 descriptors.
	g.Questions = append(g.Questions, woken(10_000, peers.Dormouse, peers.GoObjects))
	return g
}

func dial(t *contest.Target, class, room string, n int) (*load.Fleet, error) {
	return load.Dial(t.Server.Addr, n, 64, func(i int) string { return fmt.Sprintf("/ws/%s/%s-%d", class, room, i) })
}

// work has every object echo.
func work(n int) contest.Question {
	return contest.Question{
		Name:    fmt.Sprintf("echo of %d objects, a socket each", n),
		Asks:    "How many messages a second do so many objects echo?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU, contest.P50, contest.P99},
		Workers: true,
		Rounds:  3,
		Prepare: func(t *contest.Target) (any, error) { return dial(t, "Echo", fmt.Sprint("work-", n), n) },
		Ask: func(t *contest.Target) (contest.Sample, error) {
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return t.Prepared.(*load.Fleet).Pump(load.Pump{Send: []byte("hello"), Reply: []byte("hello"), InFlight: 1}, w)
			})
		},
	}
}

// woken has every object asleep, and all of their sockets speak at once; then
// all echo.
func woken(n int, who ...string) contest.Question {
	return contest.Question{
		Name:    fmt.Sprintf("%d objects woken at once", n),
		Asks:    "How long does it take until so many hibernated objects have answered?",
		Metrics: []contest.Metric{{Name: "rate", Unit: "objects/s"}, contest.P50, contest.P99, contest.CPU},
		Peers:   who,
		Rounds:  1,
		Prepare: func(t *contest.Target) (any, error) { return dial(t, "Echo", fmt.Sprint("asleep-", n), n) },
		Ask: func(t *contest.Target) (contest.Sample, error) {
			var r *load.Result
			m, err := t.Measure(func() (err error) {
				r, err = t.Prepared.(*load.Fleet).AskAll("hello")
				return err
			})
			if err != nil {
				return contest.Sample{}, err
			}
			s := m.Sample(n)
			s.Latencies(&r.Latency)
			return s, nil
		},
	}
}
