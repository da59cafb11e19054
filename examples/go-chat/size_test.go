package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// chatBytes is what examples/go-chat may have on Linux, stripped (-s -w), amd64.
// Measured 2026-11-22, Go 1.26: 14,241,954 bytes; SQLite alone is more than 5 MB. Headroom
// a tenth. If it trips: `go version -m`, and `go list -deps ./examples/go-chat`
// tell what has come.
const chatBytes = 15_700_000

func TestTheSizeOfABinary(t *testing.T) {
	if testing.Short() {
		t.Skip("links a program")
	}
	name := filepath.Join(t.TempDir(), "chat")
	c := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, ".")
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > chatBytes {
		t.Errorf("examples/go-chat has %d bytes, more than %d", info.Size(), chatBytes)
	}
}
