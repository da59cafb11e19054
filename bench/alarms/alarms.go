// Package alarms asks: how many alarms a second run, and how long after they
// were set?
package alarms

import (
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

const objects = 64

// Group is objects with a socket each. A message sets the object's alarm to now,
// and the handler answers: from the message to the answer stand two durable
// commits, the alarm's and its end.
func Group() contest.Group {
	send, reply := []byte("ring"), []byte("rang")
	return contest.Group{Name: "alarms", Questions: []contest.Question{{
		Name:    "alarms, 64 objects",
		Asks:    "How many alarms a second run, and how soon?",
		Metrics: []contest.Metric{{Name: "rate", Unit: "alarms/s"}, contest.P50, contest.P99, contest.CPU},
		Workers: true,
		Rounds:  3,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			path := func(i int) string { return fmt.Sprintf("/ws/Alarm/alarm-%d", i) }
			fleet, err := load.Dial(t.Server.Addr, objects, objects, path)
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: send, Reply: reply, InFlight: 1}, w)
			})
		},
	}}}
}
