package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeployOnAFullDisk: the version before runs on, nothing of the new one stays,
// and with room it is deployed.
func TestDeployOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disk).Run(); err != nil {
		t.Skip("NOT TESTED: a small file system cannot be mounted here")
	}
	t.Cleanup(func() { exec.Command("umount", "-l", disk).Run() })
	data := filepath.Join(disk, "data")
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1"), Data: data})
	kept := dialRoom(t, d, "/room/socket?name=kept")
	next := numberedCode(t, "2")

	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; size /= 2 { // to the last byte
		for block := bytes.Repeat([]byte{1}, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
	out, err := d.Run("deploy", next)
	if err == nil || !strings.Contains(out, "the version cannot be kept") || !strings.Contains(out, "no space left") {
		t.Errorf("got %v, %s; want a refusal that says why", err, out)
	}
	tell(t, kept, "1")
	if got := hear(t, kept); !strings.Contains(got, `"code":"1"`) {
		t.Errorf("on the full disk a socket hears %s", got)
	}
	if v := d.Versions(); len(v) != 1 || v[0].State != "current" {
		t.Errorf("%+v are kept, want version 1 alone", v)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.Close()
	d.Deploy(next)
	tell(t, kept, "2")
	if got := hear(t, kept); !strings.Contains(got, `"code":"2"`) || !strings.Contains(got, `"before":1`) {
		t.Errorf("with room the socket hears %s", got)
	}
	left, err := filepath.Glob(filepath.Join(data, "versions", ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("there is left %v, %v", left, err)
	}
}

// TestDeployThatCannotBeWrittenDown fails at the last step, when guests with the
// new code are ready: they end, and the old ones go on.
func TestDeployThatCannotBeWrittenDown(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1"), Data: data})
	kept := dialRoom(t, d, "/room/socket?name=kept")
	guests := d.GuestPIDs()
	state := filepath.Join(data, "versions", "state.json")
	if err := os.Rename(state, state+".aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(state, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := d.Run("deploy", numberedCode(t, "2")); err == nil || !strings.Contains(out, "make version 2 current") {
		t.Errorf("got %v, %s; want a refusal that says why", err, out)
	}
	tell(t, kept, "1")
	if got := hear(t, kept); !strings.Contains(got, `"code":"1"`) {
		t.Errorf("a socket hears %s", got)
	}
	if now := d.GuestPIDs(); len(now) != 1 || now[0] != guests[0] {
		t.Errorf("guests are %v, want %v still", now, guests)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(state+".aside", state); err != nil {
		t.Fatal(err)
	}
	d.Deploy(numberedCode(t, "3"))
	if got := d.get("/room/code"); got != "3" {
		t.Errorf("the code is %q, want 3", got)
	}
}

// TestRollbackOverMigrations: to before one that adds a class, not to before one
// that renames or deletes one.
func TestRollbackOverMigrations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const v1 = `{"tag": "v1", "new_sqlite_classes": ["Room"]}`
	const v2 = `{"tag": "v2", "renamed_classes": [{"from": "Room", "to": "Hall"}]}`
	const v3 = `{"tag": "v3", "new_sqlite_classes": ["More"]}`
	const v4 = `{"tag": "v4", "new_sqlite_classes": ["Last"], "deleted_classes": ["More"]}`
	classWorker(t, dir, "Room", v1)
	d := StartDormouse(t, Options{Dir: dir})
	v := Vault{t, d.URL}
	deploy := func(class, beside string, migrations ...string) {
		t.Helper()
		classWorker(t, dir, class, migrations...)
		if beside != "" {
			f, err := os.OpenFile(filepath.Join(dir, "index.js"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString("\nexport class " + beside + " extends DurableObject {}\n"); err != nil {
				t.Fatal(err)
			}
		}
		d.Deploy(dir)
	}
	holds := func(when, want string) {
		t.Helper()
		if got := Ask[*string](v, "box", "get", "k"); got == nil && want != "" || got != nil && *got != want {
			t.Errorf("%s the object has %v, want %q", when, got, want)
		}
	}
	refused := func(to string) {
		t.Helper()
		out, err := d.Run("rollback", to)
		if err == nil || !strings.Contains(out, "version "+to+" is from before a migration") {
			t.Errorf("rollback to %s: %v, %s; want a refusal that says why", to, err, out)
		}
	}
	Ask[any](v, "box", "put", map[string]any{"key": "k", "value": "kept"})
	deploy("Hall", "", v1, v2)
	holds("renamed", "kept")
	refused("1")
	holds("after a rollback that was refused", "kept")

	deploy("More", "Hall", v1, v2, v3)
	holds("another class", "")
	Ask[any](v, "box", "put", map[string]any{"key": "k", "value": "more"})
	if _, err := d.Run("rollback"); err != nil {
		t.Fatal(err)
	}
	holds("rolled back over a class that was added", "kept")
	if _, err := d.Run("rollback", "3"); err != nil {
		t.Fatal(err)
	}
	holds("forth again", "more")

	deploy("Last", "Hall", v1, v2, v3, v4)
	refused("3")
	if versions := d.Versions(); versions[0].Number != 4 || versions[0].State != "current" {
		t.Errorf("%+v are kept, want 4 to serve", versions)
	}
}
