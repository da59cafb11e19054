package runtimes

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStopEndsTheWholeTree(t *testing.T) {
	// The shell ignores the request to stop, and so does its child.
	s, err := Start(exec.Command("sh", "-c", `trap "" TERM; sh -c 'echo child $$; while :; do sleep 0.1; done'; true`))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(s.Log(), "child ") {
		if time.Now().After(deadline) {
			t.Fatal("the child did not start")
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.stop(50 * time.Millisecond)
	s.Stop() // a second time does nothing
	if err := syscall.Kill(s.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the leader is still there (%v)", err)
	}
	for syscall.Kill(-s.PID(), 0) == nil { // the child is init's to reap
		if time.Now().After(deadline) {
			t.Fatal("a member of the group is still there")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestReadyTellsWhatTheServerSaid(t *testing.T) {
	s, err := Start(exec.Command("sh", "-c", "echo it is broken; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if s.Addr, err = FreeAddr(); err != nil {
		t.Fatal(err)
	}
	err = s.Ready(t.Context(), "/ready")
	if err == nil || !strings.Contains(err.Error(), "it is broken") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want what it printed and how it ended", err)
	}
}

func TestWorkerd(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	w, err := Load(filepath.Join(root, "conformance/worker"))
	if err != nil {
		t.Fatal(err)
	}
	if w.Name != "conformance" || w.CompatibilityDate == "" || len(w.DurableObjects.Bindings) == 0 {
		t.Errorf("read as %+v", w)
	}
	s, err := StartWorkerd(t.Context(), w)
	if errors.Is(err, ErrNotHere) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if err := s.Ready(t.Context(), "/ready"); err != nil {
		t.Error(err)
	}
}

func TestBundleTellsTheError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.ts"), []byte("export default {\n\tfetch( {\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Worker{Dir: dir, Main: "index.ts"}.Bundle()
	if err == nil || !strings.Contains(err.Error(), "index.ts") {
		t.Errorf("got %v, want the file and the line", err)
	}
}

func TestNotHere(t *testing.T) {
	t.Setenv("WORKERD_BIN", filepath.Join(t.TempDir(), "nothing"))
	if _, err := FindWorkerd(); err == nil || errors.Is(err, ErrNotHere) {
		t.Errorf("got %v: a path that is given and wrong is an error, not an absence", err)
	}
	if _, err := findBinary("thing", "NO_SUCH_VARIABLE", "no/such/file"); !errors.Is(err, ErrNotHere) {
		t.Errorf("got %v, want ErrNotHere", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var l tail
	for range 5000 {
		l.Write([]byte(strings.Repeat("x", 99) + "\n"))
	}
	l.Write([]byte("the end"))
	if got := l.String(); len(got) > logBytes || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes, ends with %q", len(got), got[max(0, len(got)-10):])
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	s, err := Start(exec.Command("sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if s.Addr, err = FreeAddr(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ready(ctx, "/ready"); err == nil {
		t.Error("a server that does not listen was ready")
	}
}
