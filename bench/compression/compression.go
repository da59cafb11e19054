// Package compression asks: what does an echo cost when both sides have agreed
// to permessage-deflate?
package compression

import (
	"bytes"
	"fmt"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// Group is 100 sockets with one message of 4 kB of JSON on the way in each,
// compressed both ways without a context that is taken over.
func Group() contest.Group {
	var text bytes.Buffer
	for i := 0; text.Len() < 4<<10; i++ {
		fmt.Fprintf(&text, `{"id":%d,"user":"user-%d","text":"message number %d"},`, i, i*7919%1000, i)
	}
	payload := text.Bytes()[:4<<10]
	return contest.Group{Name: "compression", Questions: []contest.Question{{
		Name:    "echo, 100 × 1 in flight, 4 kB, compressed",
		Asks:    "How many compressed messages a second does one object echo?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU, contest.P50, contest.P99},
		Peers:   []string{peers.Dormouse, peers.Workerd, peers.GoObjects, peers.WS},
		Rounds:  3,
		Prepare: func(t *contest.Target) (any, error) {
			return load.Dial(t.Server.Addr, 100, 100, func(int) string { return "/ws/Echo/compressed" }, load.Compressed)
		},
		Ask: func(t *contest.Target) (contest.Sample, error) {
			return t.Loop(func(w load.Window) (*load.Result, error) {
				return t.Prepared.(*load.Fleet).Pump(load.Pump{Send: payload, Reply: payload, InFlight: 1, Deflate: true}, w)
			})
		},
	}}}
}
