// Package party asks: how fast is an application on partyserver, unmodified, on
// two runtimes?
package party

import (
	"bytes"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// Group is a room of 100 in which one speaks and all hear it, and one of one.
func Group() contest.Group {
	payload := bytes.Repeat([]byte("m"), 64)
	question := func(name, room string, listeners int) contest.Question {
		return contest.Question{
			Name:    name,
			Asks:    "How fast is a room on partyserver?",
			Metrics: []contest.Metric{contest.Deliveries, contest.CPU, contest.P50, contest.P99},
			Peers:   []string{peers.PartyDormouse, peers.PartyWorkerd},
			Prepare: func(t *contest.Target) (any, error) {
				return load.Dial(t.Server.Addr, listeners, listeners, func(int) string { return "/parties/room/" + room })
			},
			Ask: func(t *contest.Target) (contest.Sample, error) {
				return t.Loop(func(w load.Window) (*load.Result, error) {
					return t.Prepared.(*load.Fleet).Broadcast(load.Broadcast{Send: payload}, w)
				})
			},
		}
	}
	return contest.Group{Name: "party", Questions: []contest.Question{
		question("partyserver, round trip", "alone", 1),
		question("partyserver, 1 → 100", "many", 100),
	}}
}
