// Package outlive puts a server under everything that must not be seen by its
// clients: new code, dead guests, new processes of Dormouse itself, in random
// order, while thousands of sockets are idle and hundreds exchange numbered
// messages. It counts what clients see, and knows nothing but what they see, the
// admin API and the log.
package outlive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is something that happens to a server.
type Kind string

const (
	Deploy  Kind = "deploy"
	Kill    Kind = "guest kill"
	Upgrade Kind = "upgrade"
	Nothing Kind = "nothing" // what else the machine does
)

// Config says what is to happen.
type Config struct {
	Binary, Node string
	Folder       string // for the project and its data; it must be empty
	Idle, Busy   int    // sockets
	Each         int    // busy sockets of one object; 0 is 4
	InFlight     int    // messages of a busy socket; 0 is 4
	// Pace is from an answer to the next message; 0: none, so that the machine is
	// never idle.
	Pace   time.Duration
	Events map[Kind]int
	Pause  time.Duration // between two events
	Seed   uint64
	// Front, if set, starts a TLS proxy in front of the server and returns the
	// address that clients use.
	Front   func(server string) (address string, stop func(), err error)
	scheme  string   // empty is "http"
	project string   // a folder; empty: the worker of this package
	kept    bool     // serve what Folder has of an earlier server, without a project
	args    []string // further ones of the server
	// Progress is told of each event; nil: nobody.
	Progress func(k Kind, took time.Duration, c *Counts)
}

// Counts is what clients have seen, so far.
type Counts struct {
	Sockets    atomic.Int64
	Messages   atomic.Int64 // answered
	Closed     atomic.Int64 // sockets
	Lost       atomic.Int64 // messages that were not answered though a later one was
	Doubled    atomic.Int64 // answered twice
	Disordered atomic.Int64 // answers that came out of order
}

// Report is what a run came to.
type Report struct {
	Counts *Counts
	// Reported is how many messages the server has said a dead guest may have begun;
	// Bound is how many those that were killed can have, which the marks say.
	Reported, Bound int
	// Silences are the longest waits for an answer of any busy client, one for each
	// event, sorted; those of Dormouse itself are what it said of its upgrades.
	Silences map[Kind][]time.Duration
	Own      []time.Duration
	// Steps are those that the server names in its answer to an upgrade, in order.
	Steps    []Step
	Failures []string // whatever else must not be
}

// Step is a part of an upgrade, and how long it took each time.
type Step struct {
	Name string
	Took []time.Duration // sorted
}

// objectsOfIdle is how many idle sockets share an object.
const objectsOfIdle = 100

// Run does it. An error says that the run could not be made.
func Run(ctx context.Context, c Config) (*Report, error) {
	if c.Each == 0 {
		c.Each = 4
	}
	if c.InFlight == 0 {
		c.InFlight = 4
	}
	s, err := start(ctx, c)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	address := s.address
	if c.Front != nil {
		front, stop, err := c.Front(address)
		if err != nil {
			return nil, err
		}
		defer stop()
		address = front
	}
	run := &run{Config: c, server: s, report: &Report{Counts: new(Counts), Silences: make(map[Kind][]time.Duration)}}
	return run.report, run.all(ctx, address)
}

type run struct {
	Config
	server *process
	report *Report
	kills  int

	mu      sync.Mutex // guards the following
	since   time.Time  // of the event; zero: none has been
	longest time.Duration
}

func (r *run) all(ctx context.Context, address string) error {
	var idle, busy []*client
	for i := range r.Idle {
		idle = append(idle, &client{name: fmt.Sprint("i", i), object: fmt.Sprint("idle", i/objectsOfIdle), kind: "idle"})
	}
	for i := range r.Busy {
		busy = append(busy, &client{name: fmt.Sprint("b", i), object: fmt.Sprint("busy", i/r.Each), kind: "busy"})
	}
	every := slices.Concat(idle, busy)
	for _, c := range every {
		c.tls = r.Front != nil
	}
	defer func() {
		for _, c := range every {
			if c.conn != nil {
				c.conn.Close()
			}
		}
	}()
	if err := dialAll(address, every); err != nil {
		return fmt.Errorf("open sockets: %w", err)
	}
	k := r.report.Counts
	k.Sockets.Store(int64(len(every)))
	stop := make(chan struct{})
	var talking sync.WaitGroup
	var failures sync.Map
	talks := make([]*talk, len(busy))
	for i, c := range busy {
		talks[i] = &talk{client: c, inFlight: r.InFlight, pace: r.Pace, stop: stop, counts: k, mark: r.mark}
		talking.Go(func() {
			if err := talks[i].run(); err != nil {
				k.Closed.Add(1)
				failures.Store(c.name, err)
			}
		})
	}
	err := r.events(ctx)
	close(stop)
	talking.Wait()
	for name, err := range failures.Range {
		r.fail("busy socket %s ended: %v", name, err)
	}
	if err != nil {
		return err
	}
	for _, c := range idle {
		if closed, err := c.closed(); closed {
			k.Closed.Add(1)
			r.fail("idle socket %s ended or was spoken to: %v", c.name, err)
		}
	}
	r.excuse(talks)
	return r.compare(every, talks)
}

// atOnce is how many messages a guest may have begun by its last mark.
const atOnce = 16

// excuse looks whether each message that was lost was reported, by its socket and
// its number, and no more were than killed guests can have begun.
func (r *run) excuse(talks []*talk) {
	seen := r.server.reports()
	r.report.Reported, r.report.Bound = seen.all, atOnce*r.kills
	unnamed := seen.unnamed
	for _, t := range talks {
		for _, n := range t.lost {
			switch {
			case seen.of[t.name][n]:
			case unnamed > 0:
				unnamed--
			default:
				r.fail("message %d of %s was lost and not reported", n, t.name)
			}
		}
	}
	if lost := int(r.report.Counts.Lost.Load()); lost > r.report.Bound {
		r.fail("%d messages were lost in %d runs of killed guests, of %d each at most", lost, r.kills, atOnce)
	}
}

func (r *run) fail(format string, args ...any) {
	if len(r.report.Failures) < 20 {
		r.report.Failures = append(r.report.Failures, fmt.Sprintf(format, args...))
	}
}

// events does everything in random order.
func (r *run) events(ctx context.Context) error {
	var list []Kind
	for _, k := range []Kind{Deploy, Kill, Upgrade} {
		for range r.Events[k] {
			list = append(list, k)
		}
	}
	rnd := rand.New(rand.NewPCG(r.Seed, r.Seed))
	rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for range 4 {
		r.begin()
		if err := pause(ctx, r.Pause); err != nil {
			return err
		}
		r.report.Silences[Nothing] = append(r.report.Silences[Nothing], r.end())
	}
	for i, kind := range list {
		r.begin()
		began := time.Now()
		var err error
		switch kind {
		case Deploy:
			err = r.server.deploy(ctx, i+1)
		case Kill:
			r.kills++
			err = r.server.kill(ctx, rnd)
		case Upgrade:
			var own time.Duration
			if own, err = r.server.upgrade(ctx); err == nil {
				r.report.Own = append(r.report.Own, own)
				r.steps()
			}
		}
		if err != nil {
			return fmt.Errorf("event %d, %s: %w", i, kind, err)
		}
		took := time.Since(began)
		if err := pause(ctx, r.Pause); err != nil {
			return err
		}
		r.report.Silences[kind] = append(r.report.Silences[kind], r.end())
		if r.Progress != nil {
			r.Progress(kind, took, r.report.Counts)
		}
	}
	for _, s := range r.report.Silences {
		slices.Sort(s)
	}
	slices.Sort(r.report.Own)
	for _, s := range r.report.Steps {
		slices.Sort(s.Took)
	}
	return nil
}

// steps keeps where the time of the last upgrade went.
func (r *run) steps() {
	for i, s := range r.server.last.Steps {
		if i == len(r.report.Steps) {
			r.report.Steps = append(r.report.Steps, Step{Name: s.Step})
		}
		of := &r.report.Steps[i]
		of.Took = append(of.Took, time.Duration(s.Seconds*float64(time.Second)))
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.longest = time.Now(), 0
}

// end returns the longest wait since begin.
func (r *run) end() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.longest
}

// mark counts a wait for an answer that ended after the event had begun.
func (r *run) mark(began, ended time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.since.IsZero() && ended.After(r.since) {
		r.longest = max(r.longest, ended.Sub(began))
	}
}

// compare looks at what the objects know of their sockets.
func (r *run) compare(every []*client, talks []*talk) error {
	said := make(map[string]*talk)
	for _, t := range talks {
		said[t.name] = t
	}
	objects := make(map[string][]*client)
	for _, c := range every {
		objects[c.object] = append(objects[c.object], c)
	}
	off := int(r.report.Counts.Lost.Load()) + r.report.Reported
	for object, clients := range objects {
		state, err := r.server.look(object)
		if err != nil {
			return err
		}
		if len(state.Sockets) != len(clients) {
			r.fail("object %s has %d sockets, want %d", object, len(state.Sockets), len(clients))
			continue
		}
		have := make(map[string]seen)
		sum := 0
		for _, s := range state.Sockets {
			have[s.Attachment.Name] = s
			sum += s.Attachment.Sent
		}
		for _, c := range clients {
			s, ok := have[c.name]
			want := []string{c.name, c.kind}
			slices.Sort(want)
			slices.Sort(s.Tags)
			if !ok || !slices.Equal(s.Tags, want) {
				r.fail("socket %s of %s has tags %v, want %v", c.name, object, s.Tags, want)
			}
			if t := said[c.name]; t != nil && (s.Attachment.Got != t.heard || s.Attachment.Sent != t.last) {
				r.fail("socket %s: its attachment has %d and %d, its client %d and %d", c.name, s.Attachment.Got, s.Attachment.Sent, t.heard, t.last)
			}
		}
		if d := state.Total - sum; d > off || -d > off {
			r.fail("object %s has %d messages in its database and %d in its attachments", object, state.Total, sum)
		}
	}
	return nil
}
