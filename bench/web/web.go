// Package web asks: how many HTTP requests a second does an object answer?
package web

import (
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

const connections = 50

// Group is 50 connections that are kept, with one GET on the way in each: the
// Worker asks an object, which answers with five bytes, or answers itself. ws has
// Node's own server and no object.
func Group() contest.Group {
	return contest.Group{Name: "web", Questions: []contest.Question{
		question("HTTP, %d connections × 1 request", "How many HTTP requests a second does an object answer?", "/http/Hello/room", "hello", peers.WS, peers.Bun),
		question("HTTP, %d connections × 1 request, the Worker alone", "How many HTTP requests a second does a Worker answer?", "/ready", "ready"),
	}}
}

func question(name, asks, path, body string, more ...string) contest.Question {
	return contest.Question{
		Name:    fmt.Sprintf(name, connections),
		Asks:    asks,
		Metrics: []contest.Metric{{Name: "rate", Unit: "requests/s"}, contest.CPU, contest.P50, contest.P99},
		Peers:   append([]string{peers.Dormouse, peers.Workerd}, more...),
		Rounds:  3,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return load.Requests(t.Server.Addr, connections, path, body, w)
			})
		},
	}
}
