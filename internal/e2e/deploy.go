package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Project copies a project of testdata into a folder of its own, with one text
// replaced by another, file by file.
func Project(t testing.TB, name string, replace ...string) string {
	t.Helper()
	from, to := filepath.Join(root(t), "internal", "e2e", "testdata", name), filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	Edit(t, to, replace...)
	return to
}

// Edit replaces texts in the files of a project.
func Edit(t testing.TB, dir string, replace ...string) {
	t.Helper()
	r := strings.NewReplacer(replace...)
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(f, []byte(r.Replace(string(text))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Run runs the dormouse command against the server and returns what it prints.
// An error has what it says of it.
func (d *Dormouse) Run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(d.t), append(args, "--to", d.Admin)...)
	cmd.Env = plainEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("dormouse %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Deploy has the server take over a project.
func (d *Dormouse) Deploy(dir string, args ...string) {
	d.t.Helper()
	if _, err := d.Run(append([]string{"deploy", dir}, args...)...); err != nil {
		d.t.Fatal(err)
	}
}

// Version is a row of what the server keeps.
type Version struct {
	Number  int    `json:"number"`
	State   string `json:"state"`
	Objects int    `json:"objects"`
	Moving  bool   `json:"moving"`
}

// Versions lists what the server keeps, the newest first.
func (d *Dormouse) Versions() []Version {
	d.t.Helper()
	var answer struct {
		Versions []Version `json:"versions"`
	}
	if status, err := d.ask(d.t.Context(), "GET", "/api/versions", &answer); err != nil || status != http.StatusOK {
		d.t.Fatalf("GET /api/versions: status %d, %v", status, err)
	}
	return answer.Versions
}

// WaitMoved returns when no object runs code but that of now.
func (d *Dormouse) WaitMoved() {
	d.t.Helper()
	d.wait("every object has moved", func() (bool, error) {
		for _, v := range d.Versions() {
			if v.Moving {
				return false, fmt.Errorf("version %d still runs %d objects", v.Number, v.Objects)
			}
		}
		return true, nil
	})
}

func (d *Dormouse) wait(what string, ask func() (bool, error)) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), limit)
	defer cancel()
	if err := Until(ctx, what, ask); err != nil {
		d.t.Fatal(err)
	}
}

// Guests are the processes that run objects, in their states.
func (d *Dormouse) Guests() (list []Guest) {
	d.t.Helper()
	var answer struct {
		Guests []Guest `json:"guests"`
	}
	if status, err := d.ask(d.t.Context(), "GET", "/api/guests", &answer); err != nil || status != http.StatusOK {
		d.t.Fatalf("GET /api/guests: status %d, %v", status, err)
	}
	return answer.Guests
}

// Guest is a row of GET /api/guests.
type Guest struct {
	ID      uint32 `json:"id"`
	PID     int    `json:"pid"`
	State   string `json:"state"`
	Place   string `json:"place"`
	Version int    `json:"version"`
}

// Unfinished is a row of GET /api/unfinished.
type Unfinished struct {
	Socket uint64   `json:"socket"`
	Tags   []string `json:"tags"`
	Number uint64   `json:"number"`
	Event  string   `json:"event"`
}

// Unfinished lists the events that guests may have begun when they died.
func (d *Dormouse) Unfinished() []Unfinished {
	d.t.Helper()
	var answer struct {
		Unfinished []Unfinished `json:"unfinished"`
	}
	if status, err := d.ask(d.t.Context(), "GET", "/api/unfinished", &answer); err != nil || status != http.StatusOK {
		d.t.Fatalf("GET /api/unfinished: status %d, %v", status, err)
	}
	return answer.Unfinished
}

// Row is an object as the admin API lists it.
type Row struct {
	State         string     `json:"state"`
	Sockets       int        `json:"sockets"`
	Guest         uint32     `json:"guest"`
	Place         string     `json:"place"`
	Version       int        `json:"version"`
	GuestDeaths   int        `json:"guest_deaths"`
	IsolatedUntil *time.Time `json:"isolated_until"`
}

// Object looks at an object of the first class.
func (d *Dormouse) Object(name string) (r Row, known bool) {
	d.t.Helper()
	var answer json.RawMessage
	status, err := d.ask(d.t.Context(), "GET", d.object(name), &answer)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		d.t.Fatal(err)
	}
	return r, status == http.StatusOK
}
