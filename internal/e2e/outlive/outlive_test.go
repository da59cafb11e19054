package outlive_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/e2e"
	"github.com/dormouse-dev/dormouse/internal/e2e/outlive"
)

// config is the short run, or the long one under DORMOUSE_SOAK.
func config(t *testing.T) outlive.Config {
	c := outlive.Config{
		Binary: e2e.Binary(t), Node: e2e.Node(t), Folder: t.TempDir(),
		Idle: 500, Busy: 40, Pause: 300 * time.Millisecond, Seed: uint64(time.Now().UnixNano()),
		Events: map[outlive.Kind]int{outlive.Deploy: 2, outlive.Kill: 2, outlive.Upgrade: 2},
	}
	if os.Getenv("DORMOUSE_SOAK") != "" {
		n := 20
		if short, err := strconv.Atoi(os.Getenv("DORMOUSE_SOAK_EVENTS")); err == nil {
			n = short
		}
		c.Idle, c.Busy, c.Pause = 10_000, 200, 2*time.Second
		c.Events = map[outlive.Kind]int{outlive.Deploy: n, outlive.Kill: n, outlive.Upgrade: n}
	}
	return c
}

// TestSoakSocketsOutliveEverything: no socket closes, and no message is lost,
// doubled or out of order, but those that a dead guest may have begun; each of
// them is reported.
func TestSoakSocketsOutliveEverything(t *testing.T) { check(t, config(t)) }

// TestSocketsOutliveUpgrades: with upgrades alone nothing at all is lost.
func TestSocketsOutliveUpgrades(t *testing.T) {
	c := config(t)
	c.Events = map[outlive.Kind]int{outlive.Upgrade: 1 + c.Events[outlive.Upgrade]/2}
	r := check(t, c)
	if n := r.Counts.Lost.Load(); n > 0 {
		t.Errorf("%d messages were lost in upgrades", n)
	}
}

func check(t *testing.T, c outlive.Config) *outlive.Report {
	t.Helper()
	t.Logf("seed %d", c.Seed)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	r, err := outlive.Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	k := r.Counts
	t.Logf("%d sockets, %d messages answered; closed %d, lost %d (of %d reported; %d may be), doubled %d, out of order %d", k.Sockets.Load(),
		k.Messages.Load(), k.Closed.Load(), k.Lost.Load(), r.Reported, r.Bound, k.Doubled.Load(), k.Disordered.Load())
	for _, kind := range []outlive.Kind{outlive.Nothing, outlive.Deploy, outlive.Kill, outlive.Upgrade} {
		list := r.Silences[kind]
		if len(list) == 0 {
			continue
		}
		t.Logf("longest silence of a busy client, %-10s  median %v, longest %v", kind, list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond))
	}
	if n := len(r.Own); n > 0 {
		t.Logf("silence as the server says, upgrade     median %v, longest %v", r.Own[n/2].Round(time.Millisecond), r.Own[n-1].Round(time.Millisecond))
	}
	for _, s := range r.Steps {
		n := len(s.Took)
		t.Logf("of an upgrade: %-10s                   median %v, longest %v", s.Name, s.Took[n/2].Round(time.Millisecond), s.Took[n-1].Round(time.Millisecond))
	}
	for _, f := range r.Failures {
		t.Error(f)
	}
	if k.Closed.Load()+k.Doubled.Load()+k.Disordered.Load() > 0 {
		t.Errorf("%d sockets closed, %d messages doubled, %d out of order", k.Closed.Load(), k.Doubled.Load(), k.Disordered.Load())
	}
	if lost := int(k.Lost.Load()); lost > r.Reported {
		t.Errorf("%d messages lost, and %d reported", lost, r.Reported)
	}
	return r
}
