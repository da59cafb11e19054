package wake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// coldStarts is how many servers lose their guests: a slot waits longer before
// each start of a guest whose predecessor did not live long, so each server has
// one sample.
const coldStarts = 3

// patience is for a guest to start on a busy machine.
const patience = 20 * time.Second

// cold kills the guest and its spare one, and speaks to a hibernated object when
// nothing is there that could run it: the reply waits for the pause before a guest
// is started again (0.1 s), the process and the code. Then it kills the next one,
// waits until its successor is ready, and speaks to another object: the first that
// this process runs. Only Dormouse's sockets outlive the process that ran their
// object.
func cold() contest.Question {
	return contest.Question{
		Name:    "wake, guest cold",
		Asks:    "How long does the first reply of a hibernated object take when its guest is not there, or has just started?",
		Metrics: []contest.Metric{{Name: contest.P50.Name, Unit: "µs p50, no guest runs"}, {Name: "started", Unit: "µs p50, the guest has just started"}, {Name: "next", Unit: "µs p50, its second object"}},
		Peers:   []string{peers.Dormouse},
		Rounds:  1,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			var none, started, next load.Histogram
			for range coldStarts {
				if err := once(t.Peer, &none, &started, &next); err != nil {
					return contest.Sample{}, err
				}
			}
			s := contest.Sample{Values: map[string]float64{
				"started": float64(started.Quantile(0.5)) / float64(time.Microsecond),
				"next":    float64(next.Quantile(0.5)) / float64(time.Microsecond),
			}}
			s.Latencies(&none)
			return s, nil
		},
	}
}

func once(p contest.Peer, none, started, next *load.Histogram) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	server, err := p.Start(ctx)
	if err != nil {
		return err
	}
	defer server.Stop()
	fleet, err := load.Dial(server.Addr, 3, 3, func(i int) string { return fmt.Sprintf("/ws/Idle/cold-%d", i) })
	if err != nil {
		return err
	}
	defer fleet.Close()
	time.Sleep(p.Hibernates)

	// The spare one first, and until the server knows: it would take over.
	if err := end(ctx, server, "spare"); err != nil {
		return err
	}
	if err := end(ctx, server, "running"); err != nil {
		return err
	}
	measure := func(i int, h *load.Histogram) error {
		sent := time.Now()
		err := wake(fleet, i)
		h.Add(time.Since(sent), 1)
		return err
	}
	if err := measure(0, none); err != nil {
		return err
	}
	if err := end(ctx, server, "running"); err != nil {
		return err
	}
	for {
		pids, err := guests(ctx, server, "running")
		if err != nil {
			return err
		}
		if len(pids) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond) // what a start leaves to do is no part of the wake
	if err := measure(1, started); err != nil {
		return err
	}
	return measure(2, next)
}

// end kills the guests that are in that state and waits until the server has none
// of them.
func end(ctx context.Context, s *runtimes.Server, state string) error {
	pids, err := guests(ctx, s, state)
	if err != nil {
		return err
	}
	killed := make(map[int]bool)
	for _, pid := range pids {
		killed[pid] = true
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill guest %d: %w", pid, err)
		}
	}
	for there := true; there; {
		if pids, err = guests(ctx, s, state); err != nil {
			return err
		}
		there = false
		for _, pid := range pids {
			there = there || killed[pid]
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// guests asks which processes are in that state.
func guests(ctx context.Context, s *runtimes.Server, state string) ([]int, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Admin+"/api/guests", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Guests []struct {
			PID   int    `json:"pid"`
			State string `json:"state"`
		} `json:"guests"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("ask for the guests: %w", err)
	}
	var pids []int
	for _, g := range answer.Guests {
		if g.State == state && g.PID > 0 {
			pids = append(pids, g.PID)
		}
	}
	return pids, nil
}
