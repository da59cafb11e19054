// Package contest puts the same question to several servers in turn and keeps
// what each answered. It knows rounds and samples; what is asked, and of whom,
// it is told.
package contest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/proctree"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// Peer is a server that questions are put to.
type Peer struct {
	Name    string
	Version string
	// Hibernates is how long the peer's objects must be left alone to leave
	// memory, with a margin; zero when they never do.
	Hibernates time.Duration
	Worker     bool // runs the Worker of the benchmarks
	Start      func(ctx context.Context) (*runtimes.Server, error)
}

// Pace is how long a run may take.
type Pace struct {
	Rounds        int           `json:"rounds"`
	Warm, Measure time.Duration // of each window
	Connects      int           `json:"connects"` // sockets that the question on connects opens
	Idle          int           `json:"idle"`     // sockets that the question on memory leaves alone
}

// Metric is one figure of a question's answer.
type Metric struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// Sample is one answer: a value for each metric of the question.
type Sample map[string]float64

// Question is asked of each peer once in every round.
type Question struct {
	Name    string
	Asks    string // the sentence
	Metrics []Metric
	Once    bool // one round is enough: it measures a state, not a speed
	Workers bool // only what runs Workers can answer it
	Ask     func(*Target) (Sample, error)
}

// Target is a running peer in one round.
type Target struct {
	Peer   Peer
	Server *runtimes.Server
	Pace   Pace
	Round  int
}

// Answer is what one peer answered to one question.
type Answer struct {
	Peer    string   `json:"peer"`
	Skipped string   `json:"skipped,omitempty"` // why there are no samples
	Samples []Sample `json:"samples,omitempty"`
}

// Put asks q of all peers, A B A B, with fresh servers that all run throughout.
// A peer that is not here is skipped and says so; any other failure ends the
// run, since figures beside a failure prove nothing.
func Put(ctx context.Context, q Question, peers []Peer, pace Pace, progress io.Writer) ([]Answer, error) {
	answers := make([]Answer, len(peers))
	servers := make([]*runtimes.Server, len(peers))
	defer func() {
		for _, s := range servers {
			if s != nil {
				s.Stop()
			}
		}
	}()
	for i, p := range peers {
		answers[i].Peer = p.Name
		if q.Workers && !p.Worker {
			answers[i].Skipped = "has no objects of the Worker"
			continue
		}
		s, err := p.Start(ctx)
		if errors.Is(err, runtimes.ErrNotHere) {
			answers[i].Skipped = err.Error()
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		servers[i] = s
	}
	rounds := pace.Rounds
	if q.Once {
		rounds = 1
	}
	for round := range rounds {
		for i, p := range peers {
			if servers[i] == nil {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			sample, err := q.Ask(&Target{Peer: p, Server: servers[i], Pace: pace, Round: round})
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w\n%s", q.Name, p.Name, err, servers[i].Log())
			}
			answers[i].Samples = append(answers[i].Samples, sample)
			fmt.Fprintf(progress, "%s  %d/%d  %-10s %s\n", q.Name, round+1, rounds, p.Name, q.line(sample))
		}
	}
	return answers, nil
}

func (q Question) line(s Sample) string {
	text := ""
	for _, m := range q.Metrics {
		text += fmt.Sprintf("  %s %s", figure(s[m.Name]), m.Unit)
	}
	return text
}

// Metrics that several questions have.
var (
	Rate       = Metric{"rate", "messages/s"}
	Deliveries = Metric{"rate", "deliveries/s"}
	CPU        = Metric{"cpu", "µs CPU each"}
	P50        = Metric{"p50", "µs p50"}
	P99        = Metric{"p99", "µs p99"}
)

// LoadBusy is the part of one core that the load generator used, in every
// sample of a loop. Below 1 the generator had time left: the server, or the
// second of two cores, was the limit.
const LoadBusy = "load"

// Loop measures one window of a closed loop on t and makes its sample.
func (t *Target) Loop(run func(load.Window) (*load.Result, error)) (Sample, error) {
	var edges [2]edge
	r, err := run(load.Window{
		Warm:    t.Pace.Warm,
		Measure: t.Pace.Measure,
		Begin:   func() { edges[0] = t.edge() },
		End:     func() { edges[1] = t.edge() },
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(edges[0].err, edges[1].err); err != nil {
		return nil, err
	}
	return Sample{
		Rate.Name: r.PerSecond(),
		CPU.Name:  micros(edges[1].server-edges[0].server) / float64(r.Messages),
		P50.Name:  micros(r.Latency.Quantile(0.5)),
		P99.Name:  micros(r.Latency.Quantile(0.99)),
		LoadBusy:  (edges[1].self - edges[0].self).Seconds() / r.Elapsed.Seconds(),
	}, nil
}

// edge is what the two sides had computed at an edge of a window.
type edge struct {
	server, self time.Duration
	err          error
}

func (t *Target) edge() (e edge) {
	e.server, e.err = proctree.CPU(t.Server.PID())
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		e.err = errors.Join(e.err, err)
	}
	e.self = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return e
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
