// Package memory asks: how much memory does a socket cost whose object has
// left memory?
package memory

import (
	"fmt"
	"math"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/proctree"
)

const (
	objects     = 10
	settleLimit = 15 * time.Second
)

// Question opens idle sockets to ten objects, waits until the objects are gone
// and compares the whole process tree with what it held when one object had
// been used and left. That the objects were gone is checked afterwards: each
// counts its constructor's runs. For a peer that cannot hibernate it is simply
// an idle socket.
func Question() contest.Question {
	return contest.Question{
		Name:    "memory of an idle socket, hibernated",
		Asks:    "How much memory does a socket cost whose object has left memory?",
		Metrics: []contest.Metric{{Name: "bytes", Unit: "bytes each"}, {Name: "empty", Unit: "MB without sockets"}},
		Once:    true,
		Ask:     ask,
	}
}

func ask(t *contest.Target) (contest.Sample, error) {
	if err := useOnce(t); err != nil {
		return nil, err
	}
	empty, err := settled(t, 0)
	if err != nil {
		return nil, err
	}
	room := func(i int) string { return fmt.Sprintf("/ws/Idle/%d", i%objects) }
	fleet, err := load.Dial(t.Server.Addr, t.Pace.Idle, 32, room)
	if err != nil {
		return nil, err
	}
	defer fleet.Close()
	full, err := settled(t, t.Peer.Hibernates)
	if err != nil {
		return nil, err
	}
	want := "1"
	if t.Peer.Hibernates > 0 {
		want = "2"
	}
	for i := range objects {
		births, err := fleet.Ask(i, "births?")
		if err != nil {
			return nil, err
		}
		if births != want {
			return nil, fmt.Errorf("the constructor of object %d has run %s times, want %s: not what was to be measured", i, births, want)
		}
	}
	return contest.Sample{
		"bytes": (float64(full) - float64(empty)) / float64(t.Pace.Idle),
		"empty": float64(empty) / 1e6,
	}, nil
}

// useOnce makes the server load whatever it loads for its first object.
func useOnce(t *contest.Target) error {
	fleet, err := load.Dial(t.Server.Addr, 1, 1, func(int) string { return "/ws/Idle/warm" })
	if err != nil {
		return err
	}
	defer fleet.Close()
	_, err = fleet.Ask(0, "births?")
	return err
}

// settled waits at least that long and then until the tree's memory has stopped
// moving.
func settled(t *contest.Target, wait time.Duration) (uint64, error) {
	time.Sleep(wait)
	deadline := time.Now().Add(settleLimit)
	last := uint64(0)
	for {
		now, err := proctree.Memory(t.Server.PID())
		if err != nil {
			return 0, err
		}
		if math.Abs(float64(now)-float64(last)) < 0.002*float64(now) || time.Now().After(deadline) {
			return now, nil
		}
		last = now
		time.Sleep(500 * time.Millisecond)
	}
}
