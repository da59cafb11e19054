// Package web asks: how many HTTP requests a second does an object answer?
package web

import (
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

const connections = 50

// Group is 50 connections that are kept, with one GET on the way in each. The
// Worker asks an object, which answers with five bytes. ws has Node's own server
// and no object.
func Group() contest.Group {
	return contest.Group{Name: "web", Questions: []contest.Question{{
		Name:    fmt.Sprintf("HTTP, %d connections × 1 request", connections),
		Asks:    "How many HTTP requests a second does an object answer?",
		Metrics: []contest.Metric{{Name: "rate", Unit: "requests/s"}, contest.CPU, contest.P50, contest.P99},
		Peers:   []string{peers.Dormouse, peers.Workerd, peers.WS, peers.Bun},
		Rounds:  3,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return load.Requests(t.Server.Addr, connections, "/http/Hello/room", "hello", w)
			})
		},
	}}}
}
