package health

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	if p := (&disk{dir: dir}).ask(); len(p) > 0 && !p[0].Warning {
		t.Errorf("got %+v for a good folder", p)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the probe left %v", left)
	}
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o600)
	if p := (&disk{dir: file}).ask(); len(p) != 1 || p[0].Warning || !strings.Contains(p[0].Text, "not a directory") {
		t.Errorf("got %+v for a file", p)
	}
}
