// Package health says whether clients may come, and if not, why. It asks checks
// that it is given, looks at the clock and the disk itself, and remembers what
// it said last so that a change is logged once. It never sees an object.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse/internal/observe"
)

// Problem is something that is wrong.
type Problem struct {
	Part string `json:"part"` // life, guest, disk, storage, clock, memory, objects
	Text string `json:"text"`
	// Warning says that clients may come all the same.
	Warning bool `json:"warning,omitempty"`
}

// Report is the answer to the question whether clients may come.
type Report struct {
	Ready    bool      `json:"ready"`
	Problems []Problem `json:"problems"`
}

// Check looks at one part and says what is wrong with it.
type Check func(context.Context) []Problem

const (
	// Every is how often Run looks. What is wrong is said within twice that.
	Every = 2 * time.Second
	// restAfter is how many looks have to pass without anything happening until
	// Run rests. What goes wrong because of something is seen by then: a guest that
	// has been given an event and handles nothing, say.
	restAfter = 4
)

// Watcher looks at the parts. Set Checks before use.
type Watcher struct {
	Checks []Check
	Log    *slog.Logger
	// Clock tells the time of day, and how much time has passed since some moment
	// whatever anybody does to it; nil: the machine's.
	Clock func() (day time.Time, passed time.Duration)
	// Bell is rung by whatever happens, and Followed says whether somebody reads
	// the log as it is written. While nothing happens and nobody reads, Run rests:
	// an idle server has no tick. A nil Bell has Run never rest; a nil Followed says
	// that nobody does.
	Bell     *observe.Bell
	Followed func() bool

	mu    sync.Mutex // guards the following
	clock clock
	said  []Problem // what was logged last
}

// Look asks every check now. Any goroutine.
func (w *Watcher) Look(ctx context.Context) Report {
	r := Report{Ready: true, Problems: []Problem{}}
	for _, c := range w.Checks {
		r.Problems = append(r.Problems, c(ctx)...)
	}
	w.mu.Lock()
	if w.Clock == nil {
		w.Clock = machine()
	}
	r.Problems = append(r.Problems, w.clock.look(w.Clock())...)
	w.mu.Unlock()
	for _, p := range r.Problems {
		r.Ready = r.Ready && p.Warning
	}
	return r
}

// Run looks again and again until ctx ends, and logs what has changed.
func (w *Watcher) Run(ctx context.Context) {
	for still := 0; ; still++ { // looks since something has happened
		var rung <-chan struct{}
		if w.Bell != nil {
			rung = w.Bell.Listen()
		}
		due := time.NewTimer(Every)
		select {
		case <-ctx.Done():
			due.Stop()
			return
		case <-due.C:
		case <-rung:
			still = 0
			select { // the bell is left alone until the next look
			case <-ctx.Done():
				due.Stop()
				return
			case <-due.C:
			}
		}
		calm := w.say(w.Look(ctx))
		if w.Bell == nil || !calm || still < restAfter || w.Followed != nil && w.Followed() {
			continue
		}
		select { // nothing is planned: at once when something happens
		case <-ctx.Done():
			return
		case <-w.Bell.Listen():
		}
		still = 0
		w.say(w.Look(ctx))
	}
}

// say logs the parts about which something else is said than the last time. The
// text alone may change with every look: it has numbers in it. It reports whether
// nothing has changed, and all is well but for warnings.
func (w *Watcher) say(r Report) (calm bool) {
	w.mu.Lock()
	before := w.said
	w.said = r.Problems
	w.mu.Unlock()
	has := func(list []Problem, p Problem) bool {
		return slices.ContainsFunc(list, func(q Problem) bool { return p.Part == q.Part && p.Warning == q.Warning })
	}
	calm = r.Ready
	for i, p := range r.Problems {
		calm = calm && has(before, p)
		switch {
		case has(before, p) || has(r.Problems[:i], p):
		case p.Warning:
			w.Log.Warn(p.Text, "part", p.Part)
		default:
			w.Log.Error("not ready: "+p.Text, "part", p.Part)
		}
	}
	for i, p := range before {
		if !has(r.Problems, p) && !has(before[:i], p) && !p.Warning {
			w.Log.Info("ready again", "part", p.Part)
		}
	}
	return calm
}

const (
	// jump is by how much the clock has to have moved against its own ticking
	// within one look to be said to have jumped: slewing is far less.
	jump = 2 * time.Second
	// jumpShown is how long that is shown.
	jumpShown = time.Minute
)

// machine is the machine's own clock: a time of Go has both.
func machine() func() (time.Time, time.Duration) {
	began := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(began)
	}
}

// clock notices when somebody sets the clock of the machine. The zero value has
// seen nothing yet.
type clock struct {
	seen   bool
	day    time.Time
	passed time.Duration
	jumped time.Duration // 0: never
	at     time.Duration // as passed
}

// look compares the time of day with the time that has passed.
func (c *clock) look(day time.Time, passed time.Duration) []Problem {
	if by := day.Sub(c.day) - (passed - c.passed); c.seen && (by > jump || by < -jump) {
		c.jumped, c.at = by, passed
	}
	c.seen, c.day, c.passed = true, day, passed
	if c.jumped == 0 || passed-c.at > jumpShown {
		return nil
	}
	return []Problem{{
		Part: "clock", Warning: true,
		Text: fmt.Sprintf("the machine's clock jumped by %v %v ago: alarms and timers follow the new time", c.jumped.Round(100*time.Millisecond), (passed - c.at).Round(time.Second)),
	}}
}
