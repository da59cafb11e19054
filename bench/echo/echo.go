// Package echo asks: how many messages a second does one object echo to 100
// sockets, and what does each cost in CPU?
package echo

import (
	"bytes"
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

const sockets = 100

// Question has inFlight messages of 64 bytes on the way in each socket.
func Question(inFlight int) contest.Question {
	payload := bytes.Repeat([]byte("m"), 64)
	return contest.Question{
		Name:    fmt.Sprintf("echo, %d sockets × %d in flight", sockets, inFlight),
		Asks:    "How many messages a second does one object echo?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU, contest.P50, contest.P99},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := load.Dial(t.Server.Addr, sockets, sockets, func(int) string { return "/ws/Echo/room" })
			if err != nil {
				return nil, err
			}
			defer fleet.Close()
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: payload, Reply: payload, InFlight: inFlight}, w)
			})
		},
	}
}
