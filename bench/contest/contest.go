// Package contest puts the same question to several servers in turn and keeps
// what each answered. It knows rounds and samples; what is asked, and of whom,
// it is told.
package contest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	// Special is asked only what names it in Question.Peers.
	Special bool
	Start   func(ctx context.Context) (*runtimes.Server, error)
}

// Pace is how long a run may take.
type Pace struct {
	Rounds        int           `json:"rounds"`
	Warm, Measure time.Duration // of each window
	Connects      int           `json:"connects"` // sockets that the question on connects opens
	Idle          int           `json:"idle"`     // sockets that the question on memory leaves alone
	Sleepers      int           `json:"sleepers"` // sockets that the question on idleness leaves alone
}

// Metric is one figure of a question's answer.
type Metric struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// Sample is one answer.
type Sample struct {
	Values  map[string]float64 `json:"values"`            // by the metric's name
	Latency []load.Bucket      `json:"latency,omitempty"` // of every message, where there are messages
}

// Question is asked of each peer once in every round.
type Question struct {
	Name    string
	Asks    string // the sentence
	Metrics []Metric
	// Rounds is how many are enough; 0 is as many as the pace has. One is right
	// where a state is measured and not a speed.
	Rounds  int
	Workers bool     // only what runs Workers can answer it
	Peers   []string // only these can answer it; nil: all that are not special
	// Prepare is called once for each peer before the first round, one after
	// another, and what it returns is Target.Prepared. An io.Closer among it is
	// closed when the question has been answered.
	Prepare func(*Target) (any, error)
	// Asleep has the rounds begin when what was prepared has been left alone for as
	// long as the objects of every peer need to hibernate.
	Asleep bool
	Ask    func(*Target) (Sample, error)
}

func (q Question) isFor(p Peer) bool {
	if q.Peers != nil {
		return slices.Contains(q.Peers, p.Name)
	}
	return !p.Special && (p.Worker || !q.Workers)
}

// Group is questions that are put to the same servers, one after another.
type Group struct {
	Name      string // its folder
	Questions []Question
}

// Target is a running peer in one round.
type Target struct {
	Peer     Peer
	Server   *runtimes.Server
	Pace     Pace
	Round    int
	Prepared any
}

// Answer is what one peer answered to one question.
type Answer struct {
	Peer    string   `json:"peer"`
	Skipped string   `json:"skipped,omitempty"` // why there are no samples
	Failed  string   `json:"failed,omitempty"`  // why there are no more
	Samples []Sample `json:"samples,omitempty"`
}

// Run is what stays the same for all questions.
type Run struct {
	Peers    []Peer
	Pace     Pace
	Progress io.Writer
}

// Put asks the questions of g, each of all peers, A B A B, with servers that are
// started for the group and all run throughout. A peer that is not here is
// skipped and says so. One that fails is asked no more, and the table says why: a
// wrong answer is a failure as much as none.
func (r Run) Put(ctx context.Context, g Group) ([]Result, error) {
	var there []running
	defer func() {
		for _, p := range there {
			if p.server != nil {
				p.server.Stop()
			}
		}
	}()
	for _, p := range r.Peers {
		if !slices.ContainsFunc(g.Questions, func(q Question) bool { return q.isFor(p) }) {
			continue
		}
		s, err := p.Start(ctx)
		if err != nil && !errors.Is(err, runtimes.ErrNotHere) {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		there = append(there, running{p, s, err})
	}
	var results []Result
	for _, q := range g.Questions {
		began := time.Now()
		answers, err := r.ask(ctx, q, there)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.Name, err)
		}
		results = append(results, Result{
			Folder: g.Name, Question: q.Name, Asks: q.Asks, Metrics: q.metrics(), Answers: answers, Took: time.Since(began).Round(time.Millisecond),
		})
	}
	return results, nil
}

// running is a peer of a group: its server, or why there is none.
type running struct {
	peer   Peer
	server *runtimes.Server
	absent error
}

func (r Run) ask(ctx context.Context, q Question, there []running) ([]Answer, error) {
	targets := make([]*Target, len(there))
	answers := make([]Answer, len(there))
	defer func() {
		for _, t := range targets {
			if t == nil {
				continue
			}
			if c, ok := t.Prepared.(io.Closer); ok {
				c.Close()
			}
		}
	}()
	var rest time.Duration // that the objects need
	for i, p := range there {
		switch answers[i].Peer = p.peer.Name; {
		case !q.isFor(p.peer):
			continue
		case p.server == nil:
			answers[i].Skipped = p.absent.Error()
			continue
		}
		t := &Target{Peer: p.peer, Server: p.server, Pace: r.Pace}
		targets[i] = t
		if q.Prepare == nil {
			continue
		}
		prepared, err := q.Prepare(t)
		if err != nil {
			r.fail(q, &answers[i], t, err)
			targets[i] = nil
			continue
		}
		t.Prepared = prepared // not after an error: it may be a nil of some type
		if q.Asleep {
			rest = max(rest, p.peer.Hibernates)
		}
	}
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	rounds := r.Pace.Rounds
	if q.Rounds > 0 {
		rounds = min(rounds, q.Rounds)
	}
	for round := range rounds {
		for i, t := range targets {
			if t == nil {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t.Round = round
			sample, err := q.Ask(t)
			if err == nil {
				err = t.weigh(&sample)
			}
			if err != nil {
				r.fail(q, &answers[i], t, err)
				if c, ok := t.Prepared.(io.Closer); ok {
					c.Close()
				}
				targets[i] = nil
				continue
			}
			answers[i].Samples = append(answers[i].Samples, sample)
			fmt.Fprintf(r.Progress, "%s  %d/%d  %-10s %s\n", q.Name, round+1, rounds, t.Peer.Name, q.line(sample))
		}
	}
	return slices.DeleteFunc(answers, func(a Answer) bool { return a.Skipped == "" && a.Failed == "" && len(a.Samples) == 0 }), nil
}

// fail keeps why a peer is asked no more, and the end of what it printed.
func (r Run) fail(q Question, a *Answer, t *Target, err error) {
	const lines = 2000
	a.Failed = err.Error()
	if len(a.Failed) > lines {
		a.Failed = a.Failed[:lines]
	}
	log := t.Server.Log()
	fmt.Fprintf(r.Progress, "%s  %s failed: %v\n%s\n", q.Name, t.Peer.Name, err, log[max(0, len(log)-lines):])
}

// metrics are the question's, and those that every row has.
func (q Question) metrics() []Metric {
	all := slices.Clone(q.Metrics)
	for _, m := range []Metric{CPU, Memory} {
		if !slices.ContainsFunc(all, func(have Metric) bool { return have.Name == m.Name }) {
			all = append(all, m)
		}
	}
	return all
}

// weigh adds what every row has and the question has not measured itself.
func (t *Target) weigh(s *Sample) error {
	if _, ok := s.Values[Memory.Name]; ok {
		return nil
	}
	n, err := proctree.Memory(t.Server.PID())
	if err == nil {
		s.Values[Memory.Name] = float64(n) / 1e6
	}
	return err
}

func (q Question) line(s Sample) string {
	text := ""
	for _, m := range q.Metrics {
		if v, ok := s.Values[m.Name]; ok {
			text += fmt.Sprintf("  %s %s", Figure(v), m.Unit)
		}
	}
	return text
}
