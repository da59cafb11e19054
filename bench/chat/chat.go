// Package chat asks: how many messages a second does a chat take that keeps each
// of them on disk before anybody hears it?
package chat

import (
	"bytes"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

const (
	rooms = 50
	size  = 20
)

// Group is 50 objects with 20 sockets each. In every room one message is on the
// way: it is inserted with SQL, and when that is on disk all 20 hear it, the
// speaker too; then the next socket of the room speaks. The same with ws, and a
// SQLite database for each room whose commits wait for the disk.
func Group() contest.Group {
	payload := bytes.Repeat([]byte("m"), 64)
	return contest.Group{Name: "chat", Questions: []contest.Question{{
		Name:    fmt.Sprintf("durable chat, %d rooms × %d sockets", rooms, size),
		Asks:    "How many messages a second does a chat keep and deliver?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU, contest.P50, contest.P99},
		Peers:   []string{peers.Dormouse, peers.Workerd, peers.WS},
		Prepare: func(t *contest.Target) (any, error) {
			return load.Dial(t.Server.Addr, rooms*size, 100, func(i int) string { return fmt.Sprintf("/ws/Chat/room-%d", i/size) })
		},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			var spoken int
			s, err := t.LoopFor(max(t.Pace.Measure, time.Second), func(w load.Window) (*load.Result, error) {
				r, err := t.Prepared.(*load.Fleet).Broadcast(load.Broadcast{Send: payload, Room: size, Turns: true}, w)
				if err == nil {
					spoken = r.Spoken
				}
				return r, err
			})
			if err != nil {
				return s, err
			}
			// The loop counts deliveries; what a chat counts is messages.
			each := s.Values[contest.Rate.Name] / size
			s.Values[contest.Rate.Name], s.Values["messages"] = each, float64(spoken)
			s.Values[contest.CPU.Name] *= size
			return s, nil
		},
	}}}
}
