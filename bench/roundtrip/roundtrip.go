// Package roundtrip asks: how long does a message take to an object and back,
// when nothing else is going on?
package roundtrip

import (
	"bytes"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

// Group is one socket with one message of 64 bytes on the way.
func Group() contest.Group {
	payload := bytes.Repeat([]byte("m"), 64)
	return contest.Group{Name: "roundtrip", Questions: []contest.Question{{
		Name:    "round trip, 1 socket",
		Asks:    "How long does a message take to an object and back?",
		Metrics: []contest.Metric{contest.P50, contest.P99, contest.CPU},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := load.Dial(t.Server.Addr, 1, 1, func(int) string { return "/ws/Echo/alone" })
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: payload, Reply: payload, InFlight: 1}, w)
			})
		},
	}}}
}
