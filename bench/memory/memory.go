// Package memory asks: how much memory does a socket cost whose object has left
// memory, and how much an object that has not?
package memory

import (
	"fmt"
	"math"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
	"github.com/dormouse-dev/dormouse/bench/proctree"
)

const settleLimit = 15 * time.Second

// shape is what is counted, and how its Worker's class behaves.
type shape struct {
	name, class string
	objects     int // 0: one for each socket
	part        int // of the pace's idle sockets
	awake       bool
	peers       []string
}

// Groups are one for each shape: memory is compared with that of a server that
// has held nothing yet.
func Groups() (groups []contest.Group) {
	both := []string{peers.Dormouse, peers.Workerd}
	three := []string{peers.Dormouse, peers.Workerd, peers.GoObjects}
	for _, s := range []shape{
		{"memory of an idle socket, hibernated", "Idle", 10, 1, false, nil},
		{"— with two tags and an attachment", "Tagged", 10, 2, false, []string{peers.Dormouse}},
		{"memory of a hibernated object with a socket", "Idle", 0, 4, false, three},
		{"memory of an object in memory with a socket", "Awake", 0, 10, true, both},
	} {
		groups = append(groups, contest.Group{Name: "memory", Questions: []contest.Question{question(s)}})
	}
	return groups
}

// question opens idle sockets, waits until their objects are gone (or have only
// a timer) and compares the whole process tree with what it held when some objects
// had been used and left. That the objects were gone is checked afterwards: each
// counts its constructor's runs. For a peer that cannot hibernate it is simply an
// idle socket.
func question(s shape) contest.Question {
	return contest.Question{
		Name:    s.name,
		Asks:    "How much memory does it cost?",
		Metrics: []contest.Metric{{Name: "bytes", Unit: "bytes each"}, {Name: "empty", Unit: "MB without sockets"}, {Name: "sockets", Unit: "sockets"}},
		Rounds:  1,
		Peers:   s.peers,
		Ask:     s.ask,
	}
}

// slow peers get fewer sockets, so that the run ends.
const slowly = 5

func (s shape) ask(t *contest.Target) (contest.Sample, error) {
	if err := s.useOnce(t); err != nil {
		return contest.Sample{}, err
	}
	empty, err := settled(t, 0)
	if err != nil {
		return contest.Sample{}, err
	}
	sockets := t.Pace.Idle / s.part
	if t.Peer.Name == peers.Workerd {
		sockets /= slowly
	}
	objects := s.objects
	if objects == 0 {
		objects = sockets
	}
	room := func(i int) string { return fmt.Sprintf("/ws/%s/%d", s.class, i%objects) }
	var fleet *load.Fleet
	m, err := t.Measure(func() (err error) {
		fleet, err = load.Dial(t.Server.Addr, sockets, 64, room)
		return err
	})
	if err != nil {
		return contest.Sample{}, err
	}
	defer fleet.Close()
	wait := t.Peer.Hibernates
	if s.awake {
		wait = 0
	}
	full, err := settled(t, wait)
	if err != nil {
		return contest.Sample{}, err
	}
	want := "1"
	if wait > 0 {
		want = "2"
	}
	for i := range min(objects, 10) {
		births, err := fleet.Ask(i, "births?")
		if err != nil {
			return contest.Sample{}, err
		}
		if births != want {
			return contest.Sample{}, fmt.Errorf("the constructor of object %d has run %s times, want %s: not what was to be measured", i, births, want)
		}
	}
	return contest.Sample{Values: map[string]float64{
		"bytes":             (float64(full) - float64(empty)) / float64(sockets),
		"empty":             float64(empty) / 1e6,
		"sockets":           float64(sockets),
		contest.Memory.Name: float64(full) / 1e6,
		contest.CPU.Name:    m.Sample(sockets).Values[contest.CPU.Name],
	}}, nil
}

// warmUp is how many sockets come and go first: code that is compiled by then, and
// pools that are filled, are no cost of those that stay.
const warmUp = 500

// useOnce makes the server load whatever it loads for its first objects.
func (s shape) useOnce(t *contest.Target) error {
	fleet, err := load.Dial(t.Server.Addr, warmUp, 16, func(int) string { return "/ws/Idle/warm" })
	if err != nil {
		return err
	}
	defer fleet.Close()
	_, err = fleet.Ask(0, "births?")
	return err
}

// still is how long memory must not have moved: servers collect what a burst has
// left some seconds after it.
const still = 4 * time.Second

// settled waits at least that long and then until the tree's memory has stopped
// moving.
func settled(t *contest.Target, wait time.Duration) (uint64, error) {
	time.Sleep(wait)
	deadline := time.Now().Add(settleLimit)
	since, last := time.Now(), uint64(0)
	for {
		now, err := proctree.Memory(t.Server.PID())
		if err != nil {
			return 0, err
		}
		if math.Abs(float64(now)-float64(last)) >= 0.002*float64(now) {
			since, last = time.Now(), now
		}
		if time.Since(since) >= still || time.Now().After(deadline) {
			return now, nil
		}
		time.Sleep(500 * time.Millisecond)
	}
}
