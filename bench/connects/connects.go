// Package connects asks: how many sockets a second can join an object?
package connects

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/proctree"
)

const atOnce = 64

// Question opens sockets to one object, 64 handshakes at a time, and keeps
// them open until the last has joined.
func Question() contest.Question {
	return contest.Question{
		Name:    "connects",
		Asks:    "How many sockets a second can join an object?",
		Metrics: []contest.Metric{{Name: "rate", Unit: "sockets/s"}, contest.CPU},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			room := fmt.Sprintf("/ws/Echo/connects-%d", t.Round)
			before, err := proctree.CPU(t.Server.PID())
			if err != nil {
				return nil, err
			}
			start := time.Now()
			fleet, err := load.Dial(t.Server.Addr, t.Pace.Connects, atOnce, func(int) string { return room })
			if err != nil {
				return nil, err
			}
			elapsed := time.Since(start)
			after, err := proctree.CPU(t.Server.PID())
			fleet.Close()
			if err != nil {
				return nil, err
			}
			n := float64(t.Pace.Connects)
			return contest.Sample{
				"rate": n / elapsed.Seconds(),
				"cpu":  float64(after-before) / float64(time.Microsecond) / n,
			}, nil
		},
	}
}
