package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

const vaults = dormouse.Namespace("vault-Vault")

// databaseOf is the file of an object of testdata/vault.
func databaseOf(data, name string) string {
	return server.DatabasePath(data, dormouse.Key{Namespace: vaults, ID: vaults.IDFromName(name)})
}

// A damaged database breaks its object with a text that says what to do, and no
// other one; a backup has it as it is, and names it.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
	v := Vault{t, d.URL}
	names := []string{"no database", "overwritten", "cut off"}
	for _, name := range append([]string{"neighbour"}, names...) {
		Ask[any](v, name, "fill", map[string]any{"from": 0, "count": 300, "bytes": 200})
	}
	d.Interrupt()
	for _, name := range names {
		Command(t, "storage", "kv", "put", "Vault", "name:"+name, "k", "1", "--data", data) // leaves no log
		path := databaseOf(data, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "no database":
			b = bytes.Repeat([]byte("no database "), 1000)
		case "overwritten":
			copy(b[4096:], bytes.Repeat([]byte{0xaa}, len(b)-4096))
		default:
			b = b[:4096]
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	d = StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
	v.URL = d.URL
	for _, name := range names {
		for range 2 { // again, with the next instance
			if _, err := TryAsk[any](t.Context(), v, name, "keys", nil); err == nil {
				t.Errorf("%s: the object lists its keys", name)
			}
		}
		out, err := TryCommand(t, "storage", "kv", "list", "Vault", "name:"+name, "--data", data)
		if err == nil || !strings.Contains(err.Error(), "restore the object from a backup") {
			t.Errorf("%s: an operator is told %v (%s)", name, err, out)
		}
	}
	if log := d.server.Log(); !strings.Contains(log, "restore the object from a backup") {
		t.Errorf("the log does not say what to do:\n%s", log)
	}
	if keys := Ask[[]string](v, "neighbour", "keys", nil); len(keys) != 300 {
		t.Errorf("the neighbour has %d keys, want 300", len(keys))
	}
	path := filepath.Join(t.TempDir(), "backup")
	if out := Command(t, "backup", path, "--data", data); !strings.Contains(out, "4 objects") {
		t.Errorf("backup said %q", out)
	}
	if out, err := TryCommand(t, "backup", "verify", path); err == nil || !strings.Contains(err.Error(), "3 of its objects were damaged") || !strings.Contains(out, "is whole") {
		t.Errorf("verify said %q, %v", out, err)
	}
}

// A folder that cannot be written ends the start with its name and the reason.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	bin, node := Binary(t), need[string](t)(findNode(t.Context()))
	top, err := os.MkdirTemp("", "readonly-") // one that others may enter
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(top, "data")
	t.Cleanup(func() {
		os.Chmod(data, 0o755)
		os.RemoveAll(top)
	})
	if err := os.Mkdir(data, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, args...)
		cmd.Env = plainEnv()
		cmd.Dir = top
		if os.Getuid() == 0 { // who may write everywhere
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%q did not fail:\n%s", args, out)
		}
		return string(out)
	}
	if out := run("version", "--nonsense"); strings.Contains(out, "permission denied") {
		t.Skip("NOT TESTED: another user cannot run the command")
	}
	out := run("serve", VaultDir(t), "--data", data, "--listen", freeAddr(t), "--admin", "off", "--node", node)
	if !strings.Contains(out, data) || !strings.Contains(out, "permission denied") {
		t.Errorf("serve said %q, want the folder and the reason", out)
	}
}

// A million keys: stored, listed from the first to the last, counted, and in a
// backup.
func TestMillionKeysSoak(t *testing.T) {
	if os.Getenv("DORMOUSE_SOAK") == "" {
		t.Skip("DORMOUSE_SOAK is not set: a million keys take a while")
	}
	d := StartDormouse(t, Options{Dir: VaultDir(t)})
	v := Vault{t, d.URL}
	const keys, part = 1_000_000, 20_000
	began := time.Now()
	for from := 0; from < keys; from += part {
		Ask[any](v, "many", "fill", map[string]any{"from": from, "count": part, "bytes": 3})
	}
	t.Logf("stored in %v", time.Since(began))
	to := strings.TrimPrefix(d.Admin, "http://")
	began = time.Now()
	list := Command(t, "storage", "kv", "list", "Vault", "name:many", "--to", to)
	lines := strings.Split(strings.TrimSpace(list), "\n")
	t.Logf("listed in %v", time.Since(began))
	if first, last := "k00000000  ", fmt.Sprintf("k%08d  ", keys-1); !strings.HasPrefix(lines[0], first) || !strings.HasPrefix(lines[len(lines)-1], last) {
		t.Errorf("the list begins %q and ends %q", lines[0], lines[len(lines)-1])
	}
	if n := strings.Count(list, "\nk"); n != keys-1 {
		t.Errorf("%d keys are listed, want %d", n+1, keys)
	}
	if out := Command(t, "storage", "sql", "Vault", "name:many", "SELECT count(*) AS n FROM _cf_KV", "--to", to); out != "n\n1000000\n" {
		t.Errorf("counted %q", out)
	}
	began = time.Now()
	Command(t, "backup", filepath.Join(t.TempDir(), "b.tar.zst"), "--to", to)
	t.Logf("backup in %v", time.Since(began))
}

// An object of two gigabytes: written, asked, copied while it is written to, and
// restored.
func TestLargeObjectSoak(t *testing.T) {
	if os.Getenv("DORMOUSE_SOAK") == "" {
		t.Skip("DORMOUSE_SOAK is not set: two gigabytes are written several times")
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	d := StartDormouse(t, Options{Dir: VaultDir(t), Data: data})
	v := Vault{t, d.URL}
	const megabytes = 2048
	Ask[any](v, "large", "sql", "CREATE TABLE big(id INTEGER PRIMARY KEY, b BLOB)")
	began := time.Now()
	for n := 0; n < megabytes; n += 16 {
		Ask[any](v, "large", "sql", "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 16) INSERT INTO big(b) SELECT zeroblob(1048576) FROM s")
	}
	t.Logf("written in %v", time.Since(began))
	ctx, cancel := context.WithCancel(t.Context())
	c := new(counters)
	writers := c.run(ctx, Vault{t, d.URL}, 1)
	began = time.Now()
	if out := Command(t, "storage", "sql", "Vault", "name:large", "SELECT count(*) AS n, sum(length(b)) >> 20 AS mb FROM big", "--data", data); out != "n     mb\n2048  2048\n" {
		t.Errorf("an operator sees %q", out)
	}
	t.Logf("looked at in %v", time.Since(began))
	began = time.Now()
	path := filepath.Join(dir, "b.tar.zst")
	Command(t, "backup", path, "--data", data)
	t.Logf("backup in %v", time.Since(began))
	cancel()
	writers.Wait()
	d.Interrupt()
	began = time.Now()
	Command(t, "backup", "restore", path, data+"2")
	t.Logf("restored in %v", time.Since(began))
	d = StartDormouse(t, Options{Dir: VaultDir(t), Data: data + "2"})
	v.URL = d.URL
	if got := Ask[[]struct{ N int }](v, "large", "sql", "SELECT count(*) AS N FROM big"); got[0].N != megabytes {
		t.Errorf("restored, the object has %d rows, want %d", got[0].N, megabytes)
	}
}
