// Package autoresponse asks: how many pings a second are answered without
// waking the object?
package autoresponse

import (
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

const (
	sockets  = 100
	inFlight = 32
)

// Question sends "ping", to which the object has left "pong" as the answer.
func Question() contest.Question {
	return contest.Question{
		Name:    fmt.Sprintf("auto-response, %d sockets × %d in flight", sockets, inFlight),
		Asks:    "How many pings a second are answered for the object?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := load.Dial(t.Server.Addr, sockets, sockets, func(int) string { return "/ws/AutoResponse/room" })
			if err != nil {
				return nil, err
			}
			defer fleet.Close()
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: []byte("ping"), Reply: []byte("pong"), InFlight: inFlight}, w)
			})
		},
	}
}
