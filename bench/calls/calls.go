// Package calls asks: how many methods of an object can a Worker call in a
// second?
package calls

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/proctree"
)

// Question is one Worker that calls one object with a text of size bytes and
// gets it back, inFlight calls at a time. The Worker counts to a number and is
// asked again until the time is over; the requests are no measurable part.
func Question(inFlight, size int) contest.Question {
	batch := max(inFlight, min(2000, 64<<20/size))
	return contest.Question{
		Name:    fmt.Sprintf("calls, %d × %s in flight", inFlight, bytes(size)),
		Asks:    "How many methods of an object can a Worker call in a second?",
		Metrics: []contest.Metric{{Name: "rate", Unit: "calls/s"}, contest.CPU},
		Workers: true,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			url := fmt.Sprintf("http://%s/calls/Callee/%d/%d/%d", t.Server.Addr, batch, inFlight, size)
			if _, _, err := run(url, t.Pace.Warm); err != nil {
				return nil, err
			}
			before, err := cpu(t)
			if err != nil {
				return nil, err
			}
			batches, elapsed, err := run(url, t.Pace.Measure)
			if err != nil {
				return nil, err
			}
			after, err := cpu(t)
			if err != nil {
				return nil, err
			}
			n := float64(batches * batch)
			own := (after.self - before.self).Seconds() / elapsed.Seconds()
			return contest.Sample{
				"rate":           n / elapsed.Seconds(),
				contest.CPU.Name: float64((after.server - before.server).Microseconds()) / n,
				contest.LoadBusy: own,
			}, nil
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
func run(url string, limit time.Duration) (batches int, elapsed time.Duration, err error) {
	began := time.Now()
	for elapsed < limit {
		r, err := http.Get(url)
		if err != nil {
			return 0, 0, err
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return 0, 0, err
		}
		if r.StatusCode != http.StatusOK || string(text) != "right" {
			return 0, 0, fmt.Errorf("the Worker answered %d %.200q", r.StatusCode, text)
		}
		batches++
		elapsed = time.Since(began)
	}
	return batches, elapsed, nil
}

type used struct{ server, self time.Duration }

func cpu(t *contest.Target) (u used, err error) {
	if u.server, err = proctree.CPU(t.Server.PID()); err != nil {
		return u, err
	}
	var r syscall.Rusage
	err = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	u.self = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return u, err
}
