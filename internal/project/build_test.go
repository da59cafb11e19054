package project

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func buildConfig(t *testing.T, command string) *Config {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	text := `{ "name": "a", "main": "dist/index.js", "compatibility_date": "2026-01-01", "build": { "command": "` + command + `" } }`
	if err := os.WriteFile("wrangler.jsonc", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Options{Dir: dir, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRunBuild(t *testing.T) {
	for _, b := range []struct{ command, out, err string }{
		{"mkdir dist && echo made && : > dist/index.js", "made\n", ""},
		{"echo why >&2; exit 3", "why\n", "wrangler.jsonc: the build command \"echo why >&2; exit 3\": exit status 3\n    It ran in .; what it said stands above."},
		{":", "", "wrangler.jsonc:1:16: the entry point dist/index.js is not there\n    The build command \":\" should have made it."},
	} {
		c := buildConfig(t, b.command)
		var out strings.Builder
		err := c.RunBuild(t.Context(), &out)
		if got := out.String(); got != b.out {
			t.Errorf("%s: said %q, want %q", b.command, got, b.out)
		}
		if (err == nil) != (b.err == "") || err != nil && err.Error() != b.err {
			t.Errorf("%s: got %v, want %s", b.command, err, b.err)
		}
	}
}

// The command's children hold the pipe, so its end tells that they are gone.
func TestRunBuildEndsWithItsContext(t *testing.T) {
	c := buildConfig(t, "sleep 600 & echo ready; wait")
	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.SetReadDeadline(time.Now().Add(time.Minute))
	done := make(chan error)
	go func() { done <- c.RunBuild(ctx, w) }()
	if _, err := io.ReadFull(r, make([]byte, len("ready"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	w.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("a child of the command is still there: %v", err)
	}
}
