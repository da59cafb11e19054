// Package neighbour asks: what does an object feel of others that work hard
// beside it?
package neighbour

import (
	"bytes"
	"errors"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// rate is what the quiet object is sent; few enough to wait for nothing of its
// own.
const rate = 200

// Burner has one object that computes for some milliseconds at each message, all
// the time, and another one that echoes.
func Burner() contest.Question {
	payload := bytes.Repeat([]byte("m"), 64)
	return contest.Question{
		Name:    "echo beside an object that burns CPU",
		Asks:    "How long does a quiet object's echo take beside one that computes all the time?",
		Metrics: []contest.Metric{contest.P50, contest.P99, contest.CPU},
		Peers:   []string{peers.Dormouse, peers.Workerd},
		Rounds:  3,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			quiet, err := load.Dial(t.Server.Addr, 10, 10, func(int) string { return "/ws/Echo/quiet" })
			if err != nil {
				return contest.Sample{}, err
			}
			defer quiet.Close()
			burner, err := load.Dial(t.Server.Addr, 1, 1, func(int) string { return "/ws/Burner/hot" })
			if err != nil {
				return contest.Sample{}, err
			}
			defer burner.Close()
			stop, ended := make(chan struct{}), make(chan error, 1)
			go func() { ended <- burn(burner, stop) }()
			s, err := t.LoopFor(max(t.Pace.Measure, time.Second), func(w load.Window) (*load.Result, error) {
				return quiet.Open(load.Open{Send: payload, Reply: payload, Rate: rate}, w)
			})
			close(stop)
			return s, errors.Join(err, <-ended)
		},
	}
}

// burn keeps the object at it until stop is closed.
func burn(f *load.Fleet, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if _, err := f.Ask(0, "20"); err != nil {
			return err
		}
	}
}
