// Package objects asks: what do many objects cost, each with a socket: to have
// them all asleep, to wake them all at once, and to have them all at work?
package objects

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// Group has 1, 100 and 10,000 objects. (100,000 are more sockets than a process
// may open: see growth.) workerd holds no 10,000 objects in 20,000 descriptors.
func Group() contest.Group {
	three, ours := []string{peers.Dormouse, peers.Workerd, peers.GoObjects}, []string{peers.Dormouse, peers.GoObjects}
	return contest.Group{Name: "objects", Questions: []contest.Question{
		work(1, 3, three),
		work(100, 3, three),
		work(10_000, 1, ours),
		woken(1000, three),
		woken(10_000, ours),
	}}
}

func dial(t *contest.Target, class, room string, n int) (*load.Fleet, error) {
	return load.Dial(t.Server.Addr, n, 64, func(i int) string { return fmt.Sprintf("/ws/%s/%s-%d", class, room, i) })
}

// work has every object echo. They have a timer: among 10,000 the next message
// may come when an object would have left memory.
func work(n, rounds int, who []string) contest.Question {
	return contest.Question{
		Name:    fmt.Sprintf("echo of %d objects, a socket each", n),
		Asks:    "How many messages a second do so many objects echo?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU, contest.P50, contest.P99},
		Peers:   who,
		Rounds:  rounds,
		// Not before the rounds: the sockets of all peers together may be more than
		// the load can open.
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := dial(t, "Steady", fmt.Sprint("work-", n), n)
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			if _, err := fleet.AskAll("hello"); err != nil { // all are in memory
				return contest.Sample{}, err
			}
			window := t.Pace.Measure
			if n > 1000 {
				window = max(window, time.Second)
			}
			sample, err := t.LoopFor(window, func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: []byte("hello"), Reply: []byte("hello"), InFlight: 1}, w)
			})
			if n > 1000 { // as many again would not find room in a guest's memory
				fleet.Close()
				time.Sleep(t.Peer.Hibernates)
			}
			return sample, err
		},
	}
}

// woken has every object asleep, and all of their sockets speak at once.
func woken(n int, who []string) contest.Question {
	return contest.Question{
		Name:    fmt.Sprintf("%d objects woken at once", n),
		Asks:    "How long does it take until so many hibernated objects have answered?",
		Metrics: []contest.Metric{{Name: "rate", Unit: "objects/s"}, contest.P50, contest.P99, contest.CPU},
		Peers:   who,
		Rounds:  1,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := dial(t, "Echo", fmt.Sprint("asleep-", n), n)
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			time.Sleep(t.Peer.Hibernates)
			var r *load.Result
			m, err := t.Measure(func() (err error) {
				r, err = fleet.AskAll("hello")
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
