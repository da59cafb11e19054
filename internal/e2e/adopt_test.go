package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Objects go from workerd to Dormouse and back, with a value of every kind, with
// their tables and their alarms.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := filepath.Join(dir, ".wrangler", "state", "v3", "do")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	rings := time.Now().Add(time.Hour).UnixMilli()

	// Written by workerd.
	target, stop := StartWorkerdIn(t, VaultDir(t), disk)
	v := Vault{t, target.URL}
	Ask[any](v, "everything", "everything", nil)
	Ask[any](v, "everything", "setAlarm", rings)
	Ask[any](v, "old", "setAlarm", time.Now().Add(2*time.Second).UnixMilli())
	Ask[any](v, "plain", "put", map[string]any{"key": "k", "value": []any{1, "two"}})
	Ask[any](v, "empty", "id", nil)
	shown := Ask[map[string]string](v, "everything", "shown", nil)
	if len(shown) < 30 {
		t.Fatalf("workerd has stored %d values", len(shown))
	}
	stop()

	// Read by Dormouse.
	data := filepath.Join(dir, "data")
	if out := Command(t, "storage", "import", dir, "--data", data); !strings.Contains(out, "taken 3 objects; 1 had stored nothing") {
		t.Errorf("import said %q", out)
	}
	if _, err := TryCommand(t, "storage", "import", filepath.Join(dir, ".wrangler", "state"), "--data", data); err == nil || !strings.Contains(err.Error(), "already; nothing was taken") {
		t.Errorf("imported twice: %v", err)
	}
	d := StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
	v.URL = d.URL
	compare := func(who string) {
		t.Helper()
		got := Ask[map[string]string](v, "everything", "shown", nil)
		for _, key := range slices.Sorted(maps.Keys(shown)) {
			if got[key] != shown[key] {
				t.Errorf("%s reads %s as %s, want %s", who, key, got[key], shown[key])
			}
		}
		if len(got) != len(shown) {
			t.Errorf("%s reads %d values, want %d", who, len(got), len(shown))
		}
		if at := Ask[int64](v, "everything", "getAlarm", nil); at != rings {
			t.Errorf("%s has the alarm at %d, want %d", who, at, rings)
		}
	}
	compare("Dormouse")
	if err := Until(t.Context(), "an alarm of workerd's rings, and nobody has asked the object", func() (bool, error) {
		out, err := TryCommand(t, "storage", "kv", "get", "Vault", "name:old", "rang", "--data", data) // does not wake it
		return out != "", err
	}); err != nil {
		t.Fatal(err)
	}
	Ask[any](v, "everything", "put", map[string]any{"key": "of Dormouse", "value": "hello"})
	shown = Ask[map[string]string](v, "everything", "shown", nil)
	Ask[any](v, "soon", "setAlarm", time.Now().Add(3*time.Second).UnixMilli())
	if _, err := TryCommand(t, "storage", "import", dir, "--data", data); err == nil || !strings.Contains(err.Error(), "stop the server first") {
		t.Errorf("imported into a folder that is used: %v", err)
	}

	// Given back while Dormouse runs, and read by workerd.
	back := filepath.Join(dir, "back")
	if out := Command(t, "storage", "export", back, "--data", data); !strings.Contains(out, "4 objects") {
		t.Errorf("export said %q", out)
	}
	one := filepath.Join(dir, "one")
	if out := Command(t, "storage", "export", one, "Vault", "name:plain", "--data", data); !strings.Contains(out, "1 objects") {
		t.Errorf("export of one object said %q", out)
	}
	d.Interrupt()
	target, stop = StartWorkerdIn(t, VaultDir(t), back)
	v.URL = target.URL
	compare("workerd")
	waitRung(t, v, "soon")
	stop()
	target, _ = StartWorkerdIn(t, VaultDir(t), one)
	v.URL = target.URL
	if got := Ask[string](v, "plain", "show", "k"); got != `[2: "0": 1, "1": "two"]` {
		t.Errorf("of one object workerd reads %s", got)
	}
}

// waitRung waits until an object's alarm has run.
func waitRung(t *testing.T, v Vault, name string) {
	t.Helper()
	if err := Until(t.Context(), "the alarm of "+name+" rings", func() (bool, error) {
		at, err := TryAsk[*int64](t.Context(), v, name, "rang", nil)
		return at != nil, err
	}); err != nil {
		t.Fatal(err)
	}
}
