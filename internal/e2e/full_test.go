package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFullDisk fills the file system of the data folder. Whoever writes is told
// so and is reset; whoever only reads runs on; and when there is room again
// everybody goes on, with all that was acknowledged.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk).Run(); err != nil {
		t.Skip("NOT TESTED: a small file system cannot be mounted here")
	}
	t.Cleanup(func() { exec.Command("umount", "-l", disk).Run() })
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d := StartDormouse(t, Options{Dir: VaultDir(t), Data: filepath.Join(disk, "data")})
	v := Vault{t, d.URL}
	type pair struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	}
	Ask[any](v, "calm", "put", pair{"a", "kept"})

	type fill struct {
		From  int `json:"from"`
		Count int `json:"count"`
		Bytes int `json:"bytes"`
	}
	const together = 10
	filled := 0
	var full error
	for full == nil && filled < 4000 {
		if _, full = TryAsk[any](t.Context(), v, "greedy", "fill", fill{filled, together, 20_000}); full == nil {
			filled += together
		}
	}
	if full == nil {
		t.Fatalf("%d MB were stored on a disk of 48", filled*20_000>>20)
	}
	if !strings.Contains(full.Error(), "status 503") {
		t.Errorf("who writes to the full disk is told %q", full)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := Until(ctx, "the operator is told that the disk is full", func() (bool, error) {
		log := d.server.Log()
		return strings.Contains(log, "object reset") && (strings.Contains(log, "the disk is full: make room") || strings.Contains(log, "no space left")), nil
	}); err != nil {
		t.Error(err)
	}
	if got := Ask[any](v, "calm", "get", "a"); got != "kept" {
		t.Errorf("on the full disk another object reads %v, want kept", got)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := Until(ctx, "both write again", func() (bool, error) {
		if _, err := TryAsk[any](ctx, v, "greedy", "put", pair{"after", 1}); err != nil {
			return false, err
		}
		_, err := TryAsk[any](ctx, v, "calm", "put", pair{"b", 1})
		return err == nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := func(when string) {
		t.Helper()
		keys := len(Ask[[]string](v, "greedy", "keys", nil)) - 1
		if keys < filled || keys > filled+together || keys%together != 0 {
			t.Errorf("%s: %d keys, and %d were acknowledged, %d at a time", when, keys, filled, together)
		}
	}
	whole("with room")
	d.Kill()
	d = StartDormouse(t, Options{Dir: VaultDir(t), Data: filepath.Join(disk, "data")})
	v = Vault{t, d.URL}
	whole("after a restart")
}
