// Package ceiling asks: how fast is the load generator itself?
package ceiling

import (
	"bytes"
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// Group has the bare loop return as many frames as came without looking at them:
// what is left of a server is to read and to write. No other server can be
// measured to be faster than this.
func Group() contest.Group {
	g := contest.Group{Name: "ceiling"}
	payload := bytes.Repeat([]byte("m"), 64)
	for _, inFlight := range []int{1, 32} {
		g.Questions = append(g.Questions, contest.Question{
			Name:    fmt.Sprintf("ceiling of the load, 100 × %d in flight", inFlight),
			Asks:    "How fast is the load generator itself?",
			Metrics: []contest.Metric{contest.Rate, contest.P50, {Name: contest.LoadBusy, Unit: "of a core, the load"}},
			Peers:   []string{peers.BareEpoll},
			Rounds:  3,
			Ask: func(t *contest.Target) (contest.Sample, error) {
				fleet, err := load.Dial(t.Server.Addr, 100, 100, func(int) string { return "/ws/Ceiling/room" })
				if err != nil {
					return contest.Sample{}, err
				}
				defer fleet.Close()
				return t.Loop(func(w load.Window) (*load.Result, error) {
					return fleet.Pump(load.Pump{Send: payload, Reply: payload, InFlight: inFlight}, w)
				})
			},
		})
	}
	return g
}
