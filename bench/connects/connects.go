// Package connects asks: how many sockets a second can join an object, and
// leave?
package connects

import (
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

const atOnce = 64

// Group opens sockets to one object, 64 handshakes at a time, and keeps them
// open until the last has joined; and has each socket say goodbye as soon as it
// has joined.
func Group() contest.Group {
	return contest.Group{Name: "connects", Questions: []contest.Question{
		{
			Name:    "connects",
			Asks:    "How many sockets a second can join an object?",
			Metrics: []contest.Metric{{Name: "rate", Unit: "sockets/s"}, contest.CPU},
			Ask: func(t *contest.Target) (contest.Sample, error) {
				room := fmt.Sprintf("/ws/Echo/connects-%d", t.Round)
				var fleet *load.Fleet
				m, err := t.Measure(func() (err error) {
					fleet, err = load.Dial(t.Server.Addr, t.Pace.Connects, atOnce, func(int) string { return room })
					return err
				})
				if err != nil {
					return contest.Sample{}, err
				}
				return m.Sample(t.Pace.Connects), fleet.Close()
			},
		},
		{
			Name:    "connects and closes",
			Asks:    "How many sockets a second can join an object and close?",
			Metrics: []contest.Metric{{Name: "rate", Unit: "sockets/s"}, contest.CPU},
			Rounds:  2,
			Ask: func(t *contest.Target) (contest.Sample, error) {
				room := fmt.Sprintf("/ws/Echo/closes-%d", t.Round)
				m, err := t.Measure(func() error {
					for left := t.Pace.Connects; left > 0; left -= atOnce {
						fleet, err := load.Dial(t.Server.Addr, min(left, atOnce), atOnce, func(int) string { return room })
						if err != nil {
							return err
						}
						if err := fleet.Goodbye(); err != nil {
							return err
						}
						fleet.Close()
					}
					return nil
				})
				return m.Sample(t.Pace.Connects), err
			},
		},
	}}
}
