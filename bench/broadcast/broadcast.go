// Package broadcast asks: how many deliveries a second does an object make when
// it sends what one socket said to all in its room?
package broadcast

import (
	"bytes"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// Group has rooms of many sizes.
func Group() contest.Group {
	return contest.Group{Name: "broadcast", Questions: []contest.Question{
		question(1, 200, 0, nil),
		question(1, 1000, 2, nil),
		// workerd ends connections before there are so many.
		question(1, 10_000, 1, []string{peers.Dormouse, peers.BareEpoll}),
		question(100, 10, 2, []string{peers.Dormouse, peers.Workerd, peers.WS, peers.BareEpoll}),
	}}
}

// question has one message of 64 bytes on the way in each room; the next is sent
// when all have heard it.
func question(rooms, listeners, rounds int, who []string) contest.Question {
	payload := bytes.Repeat([]byte("m"), 64)
	name := fmt.Sprintf("broadcast, 1 → %d", listeners)
	if rooms > 1 {
		name += fmt.Sprintf(", %d rooms", rooms)
	}
	return contest.Question{
		Name:    name,
		Asks:    "How many deliveries a second does a broadcast make?",
		Metrics: []contest.Metric{contest.Deliveries, contest.CPU, contest.P50, contest.P99},
		Rounds:  rounds,
		Peers:   who,
		// Not before the rounds: the sockets of all peers together may be more than
		// the load can open.
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := load.Dial(t.Server.Addr, rooms*listeners, 100, func(i int) string {
				return fmt.Sprintf("/ws/Broadcast/%d-%d-%d-%d", rooms, listeners, t.Round, i/listeners)
			})
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			window := t.Pace.Measure
			if listeners > 1000 {
				window = max(window, 2*time.Second)
			}
			return t.LoopFor(window, func(w load.Window) (*load.Result, error) {
				return fleet.Broadcast(load.Broadcast{Send: payload, Room: listeners}, w)
			})
		},
	}
}
