package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// counters write numbers into objects, one commit each, and remember which were
// confirmed.
type counters struct {
	mu   sync.Mutex // guards the following
	last []int
}

func (c *counters) name(i int) string { return fmt.Sprint("counter ", i) }

func (c *counters) confirmed() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]int(nil), c.last...)
}

// run writes until ctx ends.
func (c *counters) run(ctx context.Context, v Vault, objects int) *sync.WaitGroup {
	c.last = make([]int, objects)
	var wait sync.WaitGroup
	for i := range objects {
		wait.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				if _, err := TryAsk[int](ctx, v, c.name(i), "count", n); err != nil {
					if ctx.Err() == nil {
						v.t.Error(err)
					}
					return
				}
				c.mu.Lock()
				c.last[i] = n
				c.mu.Unlock()
			}
		})
	}
	return &wait
}

// check compares what objects hold with what was confirmed.
func (c *counters) check(v Vault, least []int) {
	v.t.Helper()
	for i, want := range least {
		last := Ask[int](v, c.name(i), "get", "last")
		rows := Ask[[]struct{ N, M int }](v, c.name(i), "sql", "SELECT count(*) AS N, max(n) AS M FROM counts")
		if last < want || rows[0].N != last || rows[0].M != last {
			v.t.Errorf("%s: the last is %d, there are %d rows up to %d; %d was confirmed before", c.name(i), last, rows[0].N, rows[0].M, want)
		}
	}
}

func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	d := StartDormouse(t, Options{Dir: VaultDir(t)})
	v := Vault{t, d.URL}
	rings := time.Now().Add(time.Hour).UnixMilli()
	Ask[any](v, "everything", "everything", nil)
	Ask[any](v, "everything", "setAlarm", rings)
	shown := Ask[map[string]string](v, "everything", "shown", nil)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := new(counters)
	writers := c.run(ctx, v, 8)
	some := func(more int) {
		before := c.confirmed()
		if err := Until(ctx, "the writers go on", func() (bool, error) {
			for i, n := range c.confirmed() {
				if n < before[i]+more {
					return false, nil
				}
			}
			return true, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	some(20)
	dir := t.TempDir()
	saved := make(map[string][]int)
	for _, name := range []string{"folder", "backup.tar.zst", "backup.tar.gz"} {
		path := filepath.Join(dir, name)
		saved[path] = c.confirmed()
		if out := Command(t, "backup", path, "--to", strings.TrimPrefix(d.Admin, "http://")); !strings.Contains(out, "9 objects") {
			t.Errorf("backup said %q, want 9 objects", out)
		}
		some(5)
	}
	cancel()
	writers.Wait()

	for path, least := range saved {
		if out := Command(t, "backup", "verify", path); !strings.Contains(out, "is whole: 9 objects") {
			t.Errorf("verify said %q", out)
		}
		data := path + ".restored"
		Command(t, "backup", "restore", path, data)
		restored := StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
		w := Vault{t, restored.URL}
		c.check(w, least)
		again := Ask[map[string]string](w, "everything", "shown", nil)
		for key, want := range shown {
			if again[key] != want {
				t.Errorf("%s: restored as %s, want %s", key, again[key], want)
			}
		}
		if at := Ask[int64](w, "everything", "getAlarm", nil); at != rings {
			t.Errorf("the alarm is restored for %d, want %d", at, rings)
		}
		restored.Interrupt()
	}

	// A backup that has changed is not taken.
	path := filepath.Join(dir, "backup.tar.gz")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := TryCommand(t, "backup", "restore", path, filepath.Join(dir, "damaged")); err == nil {
		t.Errorf("a damaged backup was restored: %s", out)
	}
	if _, err := TryCommand(t, "backup", "restore", filepath.Join(dir, "backup.tar.zst"), dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("restored into a folder that is used: %v", err)
	}
	d.Interrupt()
}

// One object goes back to what it was, and one is copied under another name.
func TestRestoreAndForkOneObject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, saved := filepath.Join(dir, "data"), filepath.Join(dir, "backup.tar.zst")
	d := StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
	v := Vault{t, d.URL}
	put := func(name, value string) { Ask[any](v, name, "put", map[string]any{"key": "k", "value": value}) }
	rings := time.Now().Add(time.Hour).UnixMilli()
	put("box", "before")
	put("other", "before")
	Ask[any](v, "box", "setAlarm", rings)
	Command(t, "backup", saved, "--data", data)
	put("box", "after")
	put("other", "after")
	Ask[any](v, "box", "setAlarm", rings+1000)
	fork := []string{"storage", "fork", "Vault", "name:box", "name:old box", "--backup", saved, "--data", data}
	if _, err := TryCommand(t, fork...); err == nil || !strings.Contains(err.Error(), "stop the server first") {
		t.Errorf("forked while the server runs: %v", err)
	}
	d.Interrupt()
	Command(t, fork...)
	Command(t, "storage", "fork", "Vault", "name:box", "name:new box", "--data", data)
	Command(t, "storage", "restore", "Vault", "name:box", "--backup", saved, "--data", data)
	for want, args := range map[string][]string{
		"already":       fork,
		"does not have": {"storage", "restore", "Vault", "name:nobody", "--backup", saved, "--data", data},
		"no data":       {"storage", "fork", "Vault", "name:nobody", "name:somebody", "--data", data},
	} {
		if _, err := TryCommand(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}

	d = StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
	v.URL = d.URL
	for name, want := range map[string]string{"box": "before", "old box": "before", "new box": "after", "other": "after"} {
		if got := Ask[string](v, name, "get", "k"); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]int64{"box": rings, "old box": rings, "new box": rings + 1000} {
		if got := Ask[int64](v, name, "getAlarm", nil); got != want {
			t.Errorf("%s has its alarm at %d, want %d", name, got, want)
		}
	}
}
