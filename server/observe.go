package server

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/dash"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/observe/health"
	"github.com/dormouse-dev/dormouse/internal/observe/metrics"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
	"github.com/dormouse-dev/dormouse/internal/stores"
)

// GuestTrouble is implemented by slots that can say what is wrong with their
// guest.
type GuestTrouble interface {
	// Trouble is empty when nothing is. On the loop.
	Trouble() string
	// Stalls is how many guests were ended because they handled nothing.
	Stalls() int
}

// observeRoutes are what is to be seen beside the API.
func (s *Server) observeRoutes() []admin.Route {
	routes := []admin.Route{
		{Pattern: "GET /metrics", Handler: metrics.Handler(func(ctx context.Context) metrics.Snapshot { return counted(ctx, []*Server{s}) })},
		{Pattern: "GET /healthz", Handler: http.HandlerFunc(s.serveHealthz)},
		{Pattern: "GET /readyz", Handler: http.HandlerFunc(s.serveReadyz)},
		{Pattern: "GET /{$}", Handler: dash.Page()},
		{Pattern: "GET " + dash.Folder, Handler: dash.Files()},
	}
	kept := stores.Handler(keeper{&s.shelves})
	for _, pattern := range storesPatterns {
		routes = append(routes, admin.Route{Pattern: pattern, Handler: kept})
	}
	if s.tail != nil {
		routes = append(routes, admin.Route{Pattern: "GET /api/tail", Handler: http.HandlerFunc(s.serveTail)})
	}
	return routes
}

// traced says whether somebody listens to all that an object does; nil if nobody
// can.
func (s *Server) traced() func(string, dormouse.Key, string) bool {
	hub := s.tail
	if hub == nil {
		return nil
	}
	return func(class string, k dormouse.Key, name string) bool {
		return hub.Tracing() && hub.Traces(class, k.ID.String(), name)
	}
}

// serveTail is somebody who reads along: from now on what goes wrong is looked
// for also while nothing happens, at all neighbours, which log to the same.
func (s *Server) serveTail(w http.ResponseWriter, r *http.Request) {
	for _, other := range s.Neighbours.all() {
		other.bell.Ring()
	}
	s.tail.ServeHTTP(w, r)
}

// WatchHealth logs what goes wrong and what is well again, until ctx ends.
func (s *Server) WatchHealth(ctx context.Context) {
	if s.build() != nil {
		return
	}
	defer onChildren(s.bell.Ring)() // a guest that was stopped or has ended
	s.health.Run(ctx)
}

// serveHealthz answers 200 while every loop takes work, which is all that a
// restart could mend.
func (s *Server) serveHealthz(w http.ResponseWriter, r *http.Request) {
	writeHealth(w, s.alive(r.Context()))
}

func (s *Server) alive(ctx context.Context) health.Report {
	problems := []health.Problem{}
	for i, sh := range s.shards {
		if !sh.ask(ctx, func() {}) {
			problems = append(problems, health.Problem{Part: "life", Text: fmt.Sprintf("loop %d does not take work", i)})
		}
	}
	return health.Report{Ready: len(problems) == 0, Problems: problems}
}

// serveReadyz answers 503 while clients should not come.
func (s *Server) serveReadyz(w http.ResponseWriter, r *http.Request) {
	writeHealth(w, s.ready(r.Context()))
}

// ready says whether clients may come.
func (s *Server) ready(ctx context.Context) health.Report {
	report := s.health.Look(ctx)
	if !report.Ready {
		s.bell.Ring() // so that the log has it too
	}
	return report
}

func writeHealth(w http.ResponseWriter, r health.Report) {
	status := http.StatusOK
	if !r.Ready {
		status = http.StatusServiceUnavailable
	}
	admin.WriteJSON(w, status, r)
}

// answerLimit is how long a loop may take to answer when somebody looks.
const answerLimit = 2 * time.Second

// ask runs f on the loop and waits for it; false means that it has not run in
// time, and it may still run later.
func (sh *shard) ask(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	if !sh.loop.Post(func() { f(); close(done) }) {
		return false
	}
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	select {
	case <-done:
		return true
	case <-limit.C:
	case <-ctx.Done():
	}
	return false
}

func (s *Server) newHealth() *health.Watcher {
	return &health.Watcher{Bell: s.bell, Followed: s.tail.Followed, Log: s.log, Clock: s.Parts.clock(), Checks: []health.Check{s.checkLife, s.checkShards, health.Disk(s.Data)}}
}

// checkLife says whether the server runs.
func (s *Server) checkLife(context.Context) []health.Problem {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return []health.Problem{{Part: "life", Text: "the server is stopping"}}
	case !s.begun.Load():
		return []health.Problem{{Part: "life", Text: "the server is starting"}}
	case s.door.shut():
		return []health.Problem{{Part: "life", Text: "another process is taking over"}}
	}
	return nil
}

// shut says whether clients wait at the door, or are let in elsewhere.
func (d *door) shut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.outer != nil || d.departs
}

// commitFailureShown is how long after a commit failed that is a reason not to
// come.
const commitFailureShown = 10 * time.Second

// checkShards looks at the guests and at what the shards have met.
func (s *Server) checkShards(ctx context.Context) (list []health.Problem) {
	if !s.begun.Load() {
		return nil
	}
	for i, sh := range s.shards {
		type seen struct {
			trouble string
			host.Troubles
		}
		found := make(chan seen, 1)
		if !sh.ask(ctx, func() {
			v := seen{Troubles: sh.host.Troubles()}
			if t, ok := sh.slot.(GuestTrouble); ok {
				v.trouble = t.Trouble()
			}
			found <- v
		}) {
			list = append(list, health.Problem{Part: "life", Text: fmt.Sprintf("loop %d does not take work", i)})
			continue
		}
		v := <-found
		if v.trouble != "" {
			list = append(list, health.Problem{Part: "guest", Text: v.trouble})
		}
		if age := time.Since(v.CommitFailedAt); age < commitFailureShown {
			list = append(list, health.Problem{Part: "storage", Text: fmt.Sprintf("a commit failed %v ago: %s", age.Round(time.Second), v.CommitFailure)})
		}
		if v.Isolated > 0 {
			list = append(list, health.Problem{Part: "objects", Warning: true, Text: fmt.Sprintf("%d objects are not started for a while, because their code ended its guest; GET /api/objects has isolated_until", v.Isolated)})
		}
	}
	return list
}

// counted adds up what the shards of servers have counted. A loop that does not
// answer is left out.
func counted(ctx context.Context, servers []*Server) metrics.Snapshot {
	first := servers[0]
	v := metrics.Snapshot{
		Version: first.Version, Commit: first.Commit, MemoryLimit: memoryLimit(), Closes: make(map[uint16]uint64), HTTP: make(map[string]uint64),
		Ready: true, Alarms: new(metrics.Alarms),
	}
	v.Changes = first.Neighbours.first().changes.metrics()
	slots := 0
	for _, s := range servers {
		from := len(v.Classes)
		s.addTo(ctx, &v, slots)
		slots += len(s.shards)
		if len(servers) == 1 {
			continue
		}
		for i := range v.Classes[from:] {
			c := &v.Classes[from+i]
			c.Name = ofWorker(s.Name, c.Name)
		}
	}
	return v
}

// addTo adds what a server has counted, whose first guest has the place slot.
func (s *Server) addTo(ctx context.Context, v *metrics.Snapshot, slot int) {
	v.Ready = s.health.Look(ctx).Ready && v.Ready
	v.Deferred += s.deferred.Load()
	for outcome, n := range s.http.All() {
		v.HTTP[outcome] += n
	}
	syncs, bytes := s.syncs.read()
	v.Syncs.Add(&syncs)
	v.SyncedBytes += bytes
	from := len(v.Classes)
	for i, sh := range s.shards {
		got := make(chan func(), 1)
		if !sh.ask(ctx, func() {
			o, classes, c, alarms := sh.host.Observed(), sh.host.ClassStats(), sh.registry.Counts(), sh.alarms.Stats()
			got <- func() {
				addShard(v, from, o, classes, c)
				addAlarms(v.Alarms, alarms)
			}
		}) {
			continue
		}
		(<-got)()
		if d, ok := sh.slot.(GuestInfo); ok {
			g := d.Describe()[0] // the one for everything
			m := metrics.Guest{Slot: strconv.Itoa(slot + i), Running: g.State == "running", Restarts: uint64(g.Restarts)}
			if t, ok := sh.slot.(GuestTrouble); ok {
				m.Stalls = uint64(t.Stalls())
			}
			v.Guests = append(v.Guests, m)
		}
	}
}

// memoryLimit is that of the Go runtime; 0 if there is none.
func memoryLimit() int64 {
	if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 {
		return n
	}
	return 0
}

// syncs is what the journal has written.
type syncs struct {
	mu    sync.Mutex // guards the following
	took  observe.Histogram
	bytes uint64
}

// wrote is told of every write to the journal, on a goroutine of its own.
func (c *syncs) wrote(w journal.Write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took.Observe(w.Took, 1)
	c.bytes += uint64(w.Bytes)
}

func (c *syncs) read() (took observe.Histogram, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.took, c.bytes
}

// addShard adds a shard's; the classes of its server begin at from.
func addShard(v *metrics.Snapshot, from int, o host.Observed, classes []host.ClassStats, c hibernation.Counts) {
	for i, k := range classes {
		if from+i == len(v.Classes) {
			v.Classes = append(v.Classes, metrics.Class{Name: k.Name})
		}
		a := &v.Classes[from+i]
		a.Active += o.States[i].Active
		a.Idle += o.States[i].Idle
		a.Hibernated += o.States[i].Hibernated
		a.Broken += o.States[i].Broken
		a.Wakes += k.Wakes
		a.Constructions += k.Constructions
		a.Constructor += k.Constructor
		a.ConstructorMax = max(a.ConstructorMax, k.ConstructorMax)
		a.Memory += k.Memory
		a.Saved += k.Saved
		a.Events.Add(&o.Events[i])
	}
	v.MailboxWait.Add(&o.MailboxWait)
	v.InputGate.Add(&o.InputGate)
	v.OutputGate.Add(&o.OutputGate)
	v.Commits.Add(&o.Commits)
	v.CommitsFailed += o.CommitsFailed
	v.RanAway += o.RanAway
	v.Slow += o.Slow
	v.Resets += o.Resets
	v.Unfinished += o.Unfinished
	v.Mail += o.Mail
	v.MailBytes += o.MailBytes
	v.Waiting += o.Waiting
	v.Backlog += o.Backlog
	v.GateBytes += o.GateBytes
	v.Isolated += o.Isolated
	v.Sockets += c.Sockets
	v.Received += c.Received
	v.Sent += c.Sent
	v.ReceivedBytes += c.ReceivedBytes
	v.SentBytes += c.SentBytes
	v.AutoResponses += c.AutoResponses
	for code, n := range c.Closes {
		v.Closes[code] += n
	}
}
