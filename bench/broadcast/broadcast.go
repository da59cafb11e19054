// Package broadcast asks: how many deliveries a second does one object make
// when it sends what one socket said to all of 200?
package broadcast

import (
	"bytes"
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

const listeners = 200

// Question has one message of 64 bytes on the way; the next is sent when all
// have heard it.
func Question() contest.Question {
	payload := bytes.Repeat([]byte("m"), 64)
	return contest.Question{
		Name:    fmt.Sprintf("broadcast, 1 → %d", listeners),
		Asks:    "How many deliveries a second does a broadcast make?",
		Metrics: []contest.Metric{contest.Deliveries, contest.CPU, contest.P50, contest.P99},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			room := fmt.Sprintf("/ws/Broadcast/round-%d", t.Round)
			fleet, err := load.Dial(t.Server.Addr, listeners, listeners, func(int) string { return room })
			if err != nil {
				return nil, err
			}
			defer fleet.Close()
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return fleet.Broadcast(load.Broadcast{Send: payload}, w)
			})
		},
	}
}
