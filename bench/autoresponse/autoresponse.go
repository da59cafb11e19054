// Package autoresponse asks: how many pings a second are answered without waking
// the object: the application's own, and the protocol's?
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

// Group sends "ping", to which the object has left "pong" as the answer, and
// then Ping frames.
func Group() contest.Group {
	return contest.Group{Name: "autoresponse", Questions: []contest.Question{
		question("auto-response", "How many pings a second are answered for the object?", load.Pump{Send: []byte("ping"), Reply: []byte("pong"), InFlight: inFlight}),
		// One: a server may answer only the last of several. RFC 6455, section 5.5.3.
		question("protocol ping", "How many Ping frames a second are answered?", load.Pump{Send: []byte("ping"), Ping: true, InFlight: 1}),
	}}
}

func question(name, asks string, pump load.Pump) contest.Question {
	return contest.Question{
		Name:    fmt.Sprintf("%s, %d sockets × %d in flight", name, sockets, pump.InFlight),
		Asks:    asks,
		Metrics: []contest.Metric{contest.Rate, contest.CPU},
		Rounds:  2,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := load.Dial(t.Server.Addr, sockets, sockets, func(int) string { return "/ws/AutoResponse/room" })
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			return t.Loop(func(w load.Window) (*load.Result, error) { return fleet.Pump(pump, w) })
		},
	}
}
