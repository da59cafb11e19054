// Package echo asks: how many messages a second does one object echo, how soon,
// and what does each cost?
package echo

import (
	"bytes"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// shape is one way to ask.
type shape struct {
	sockets, inFlight, size int
	binary                  bool
}

func (s shape) String() string {
	text := fmt.Sprintf("echo, %d × %d in flight", s.sockets, s.inFlight)
	if s.size != 64 {
		text += fmt.Sprintf(", %d kB", s.size>>10)
	}
	if s.binary {
		text += ", binary"
	}
	return text
}

// Few answer the lesser shapes.
var few = []string{peers.Dormouse, peers.Workerd, peers.WS, peers.BareEpoll}

// Group leads with what all are asked: 100 sockets with one and with 32 messages
// of 64 bytes on the way in each.
func Group() contest.Group {
	g := contest.Group{Name: "echo", Questions: []contest.Question{
		question(shape{100, 1, 64, false}, 0, nil),
		question(shape{100, 32, 64, false}, 0, nil),
		open(100, 5000, nil),
		open(100, 10_000, few),
	}}
	for _, s := range []shape{
		{1, 32, 64, false}, {100, 1, 64, true}, {100, 32, 64, true},
		{100, 1, 4 << 10, false}, {100, 32, 4 << 10, false},
		{100, 1, 64 << 10, false}, {10, 32, 16 << 10, false}, {10, 32, 64 << 10, false}, // of a hundred sockets that would be 200 MB on the way each way
		{5000, 1, 64, false}, {5000, 32, 64, false},
	} {
		rounds := 2
		if s.sockets > 1000 {
			rounds = 1 // to open them takes longest
		}
		g.Questions = append(g.Questions, question(s, rounds, few))
	}
	return g
}

func question(s shape, rounds int, who []string) contest.Question {
	payload := bytes.Repeat([]byte("m"), s.size)
	op := byte(load.Text)
	if s.binary {
		op = load.Binary
	}
	return contest.Question{
		Name:    s.String(),
		Asks:    "How many messages a second does one object echo?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU, contest.P50, contest.P99},
		Rounds:  rounds,
		Peers:   who,
		// Not before the rounds: the sockets of all peers together may be more than
		// the load can open.
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := dial(t, fmt.Sprint(s, t.Round), s.sockets)
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			window := t.Pace.Measure
			if s.sockets > 1000 {
				window = max(window, time.Second)
			}
			return t.LoopFor(window, func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: payload, Reply: payload, InFlight: s.inFlight, Op: op}, w)
			})
		},
	}
}

func dial(t *contest.Target, room string, sockets int) (*load.Fleet, error) {
	path := fmt.Sprintf("/ws/Echo/%x", room)
	return load.Dial(t.Server.Addr, sockets, 100, func(int) string { return path })
}

// open sends so many messages a second, however fast they are answered.
func open(sockets, rate int, who []string) contest.Question {
	payload := bytes.Repeat([]byte("m"), 64)
	return contest.Question{
		Name:    fmt.Sprintf("echo, open loop, %d sockets, %d messages/s", sockets, rate),
		Asks:    "How long does a message take at a fixed rate, from when it was due?",
		Metrics: []contest.Metric{contest.P50, contest.P99, contest.P999, contest.CPU, contest.Late},
		Rounds:  2,
		Peers:   who,
		Prepare: func(t *contest.Target) (any, error) { return dial(t, fmt.Sprint("open ", rate), sockets) },
		Ask: func(t *contest.Target) (contest.Sample, error) {
			return t.LoopFor(max(t.Pace.Measure, time.Second), func(w load.Window) (*load.Result, error) {
				return t.Prepared.(*load.Fleet).Open(load.Open{Send: payload, Reply: payload, Rate: rate}, w)
			})
		},
	}
}
