// Package calls asks: how many methods of an object can a Worker call in a
// second?
package calls

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
)

// Group is small calls, one and many at a time, and large ones.
func Group() contest.Group {
	return contest.Group{Name: "calls", Questions: []contest.Question{question(1, 1<<10), question(64, 1<<10), question(1, 1<<20)}}
}

// question is one Worker that calls one object with a text of size bytes and
// gets it back, inFlight calls at a time. The Worker counts to a number and is
// asked again until the time is over; the requests are no measurable part.
func question(inFlight, size int) contest.Question {
	batch := max(inFlight, min(2000, 64<<20/size))
	return contest.Question{
		Name:    fmt.Sprintf("calls, %d × %s in flight", inFlight, bytes(size)),
		Asks:    "How many methods of an object can a Worker call in a second?",
		Metrics: []contest.Metric{{Name: "rate", Unit: "calls/s"}, contest.CPU},
		Workers: true,
		Rounds:  2,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			url := fmt.Sprintf("http://%s/calls/Callee/%d/%d/%d", t.Server.Addr, batch, inFlight, size)
			if _, err := run(url, t.Pace.Warm); err != nil {
				return contest.Sample{}, err
			}
			var batches int
			m, err := t.Measure(func() (err error) {
				batches, err = run(url, t.Pace.Measure)
				return err
			})
			return m.Sample(batches * batch), err
		},
	}
}

func bytes(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d kB", n>>10)
}

// run asks for whole batches until the time is over.
func run(url string, limit time.Duration) (batches int, err error) {
	for began := time.Now(); time.Since(began) < limit; batches++ {
		r, err := http.Get(url)
		if err != nil {
			return 0, err
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return 0, err
		}
		if r.StatusCode != http.StatusOK || string(text) != "right" {
			return 0, fmt.Errorf("the Worker answered %d %.200q", r.StatusCode, text)
		}
	}
	return batches, nil
}
