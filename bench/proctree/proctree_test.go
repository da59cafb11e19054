package proctree

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestChildrenCount(t *testing.T) {
	// The shell stays as the parent: it has something to do after the child.
	cmd := exec.Command("sh", "-c", "sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; read x'; true")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()

	deadline := time.Now().Add(20 * time.Second)
	for {
		cpu, err := CPU(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if cpu >= 5*tick {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the tree's CPU time is %v, want what its child burnt", cpu)
		}
		time.Sleep(5 * time.Millisecond)
	}
	tree, err := read(cmd.Process.Pid)
	if err != nil || len(tree) < 2 {
		t.Fatalf("read: got %d processes (%v), want the shell and its child", len(tree), err)
	}
	if n, err := Memory(cmd.Process.Pid); err != nil || n == 0 {
		t.Errorf("Memory: got %d (%v), want some", n, err)
	}
}

func TestMemoryGrowsWithUse(t *testing.T) {
	before, err := Memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	after, err := Memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after < before+60<<20 {
		t.Errorf("64 MiB were touched, Memory went from %d to %d", before, after)
	}
	held[0] = 2
}

func TestParseStatWithOddName(t *testing.T) {
	line := "7 (a) R (b) S 3 7 7 0 -1 0 1 2 3 4 10 20 30 40 20 0 1 0"
	p, err := parseStat(7, line)
	if err != nil {
		t.Fatal(err)
	}
	if want := (process{pid: 7, parent: 3, reaped: 70}); p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	if _, err := parseStat(7, "7 (a) S 3"); err == nil {
		t.Error("a short line was read")
	}
}

func TestNoSuchProcess(t *testing.T) {
	if _, err := CPU(1 << 30); err == nil {
		t.Error("a process that does not exist was measured")
	}
}
