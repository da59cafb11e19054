package health

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse/internal/observe"
)

func TestReadyUnlessAProblemIsMoreThanAWarning(t *testing.T) {
	var problems []Problem
	w := Watcher{Checks: []Check{func(context.Context) []Problem { return problems }}}
	if r := w.Look(t.Context()); !r.Ready || r.Problems == nil {
		t.Errorf("got %+v, want ready with an empty list", r)
	}
	problems = []Problem{{Part: "a", Warning: true}}
	if r := w.Look(t.Context()); !r.Ready {
		t.Error("a warning made it not ready")
	}
	problems = append(problems, Problem{Part: "b"})
	if r := w.Look(t.Context()); r.Ready || len(r.Problems) != 2 {
		t.Errorf("got %+v, want two problems and not ready", r)
	}
}

func TestChangesAreLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	w := Watcher{Log: slog.New(slog.NewTextHandler(&out, nil))}
	said := func(list ...Problem) string {
		out.Reset()
		w.say(Report{Problems: list})
		return out.String()
	}
	disk := Problem{Part: "disk", Text: "full for 1 s"}
	if s := said(disk, disk); strings.Count(s, "not ready: full for 1 s") != 1 {
		t.Errorf("got %q, want it said once", s)
	}
	disk.Text = "full for 2 s"
	if s := said(disk); s != "" {
		t.Errorf("got %q, want nothing: nothing has changed", s)
	}
	if s := said(); !strings.Contains(s, "ready again") {
		t.Errorf("got %q, want the good news", s)
	}
}

func TestClockThatJumps(t *testing.T) {
	var c clock
	day, passed := time.Unix(1_800_000_000, 0), time.Duration(0)
	look := func(set, wait time.Duration) []Problem {
		day, passed = day.Add(set+wait), passed+wait
		return c.look(day, passed)
	}
	if p := look(0, 0); p != nil {
		t.Fatalf("got %+v at the first look", p)
	}
	if p := look(time.Second, time.Second); p != nil {
		t.Errorf("got %+v for a second, want nothing", p)
	}
	if p := look(-time.Hour, time.Second); len(p) != 1 || !strings.Contains(p[0].Text, "-1h0m0s") || !p[0].Warning {
		t.Errorf("got %+v, want a warning of an hour back", p)
	}
	if p := look(0, jumpShown/2); len(p) != 1 {
		t.Errorf("got %+v half a minute later, want it said still", p)
	}
	if p := look(0, jumpShown); p != nil {
		t.Errorf("got %+v a minute later, want nothing", p)
	}
}

func TestDiskThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if p := (&diskCheck{dir: dir}).ask(); len(p) > 0 && !p[0].Warning {
		t.Errorf("got %+v for a good folder", p)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the probe left %v", left)
	}
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o600)
	if p := (&diskCheck{dir: file}).ask(); len(p) != 1 || p[0].Warning || !strings.Contains(p[0].Text, "not a directory") {
		t.Errorf("got %+v for a file", p)
	}
}

// TestRunRestsWhileNothingHappens, and looks at once when something does, or goes
// on looking while somebody reads along or something is wrong.
func TestRunRestsWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, followed, wrong := 0, false, false
		b := observe.NewBell()
		w := Watcher{
			Log: slog.New(slog.DiscardHandler), Bell: b, Followed: func() bool { return followed },
			Checks: []Check{func(context.Context) []Problem {
				looks++
				if wrong {
					return []Problem{{Part: "guest", Text: "stopped"}}
				}
				return []Problem{{Part: "disk", Text: "nearly full", Warning: true}}
			}},
		}
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		count := func(d time.Duration) int {
			before := looks
			time.Sleep(d)
			synctest.Wait()
			return looks - before
		}
		if n := count(time.Hour); n > restAfter+2 {
			t.Errorf("%d looks in an hour in which nothing happened", n)
		}
		b.Ring()
		if n := count(time.Millisecond); n != 1 {
			t.Errorf("%d looks right after something happened, want 1", n)
		}
		// As long as things happen, every two seconds and no more often.
		before := looks
		for range 1000 {
			b.Ring()
			time.Sleep(100 * time.Millisecond)
		}
		if n := looks - before; n < 45 || n > 51 {
			t.Errorf("%d looks in 100 s in which things happened", n)
		}
		count(time.Minute)
		followed = true
		b.Ring()
		if n := count(time.Minute); n < 29 {
			t.Errorf("%d looks in a minute in which somebody read along", n)
		}
		followed, wrong = false, true
		if n := count(time.Hour); n < 1790 {
			t.Errorf("%d looks in an hour in which something was wrong", n)
		}
		cancel()
		synctest.Wait()
	})
}

// TestBellRingsOnceForMany, and from any goroutine.
func TestBellRingsOnceForMany(t *testing.T) {
	var none *observe.Bell
	none.Ring()
	b := observe.NewBell()
	b.Ring() // before anybody listens
	select {
	case <-b.Listen():
		t.Error("it was rung before anybody listened")
	default:
	}
	var heard, rang atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10_000 {
			rang.Add(1)
			b.Ring()
		}
	}()
	for {
		select {
		case <-b.Listen():
			heard.Add(1)
			continue
		case <-done:
		}
		break
	}
	b.Listen()
	b.Ring()
	select {
	case <-b.Listen():
	default:
		t.Errorf("the last ring was lost, after %d of %d", heard.Load(), rang.Load())
	}
}
