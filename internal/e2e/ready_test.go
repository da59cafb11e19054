package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ready is what /readyz answers.
type ready struct {
	Ready    bool `json:"ready"`
	Problems []struct {
		Part    string `json:"part"`
		Text    string `json:"text"`
		Warning bool   `json:"warning"`
	} `json:"problems"`
}

// waitReadyz waits until /readyz says so, the log has the line, and the tail and
// the page show it.
func waitReadyz(t *testing.T, d *Dormouse, w *witness, want bool, part, text, logged string) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var last ready
	if err := Until(ctx, "/readyz says "+text, func() (bool, error) {
		status, err := d.ask(ctx, "GET", "/readyz", &last)
		if err != nil {
			return false, err
		}
		if last.Ready != want || (status == http.StatusOK) != want {
			return false, nil
		}
		for _, p := range last.Problems {
			if p.Part == part && strings.Contains(p.Text, text) {
				return true, nil
			}
		}
		return text == "" && len(last.Problems) == 0, nil
	}); err != nil {
		t.Fatalf("%v; the last answer: %+v", err, last)
	}
	t.Logf("/readyz said so after %v", time.Since(began).Round(time.Millisecond))
	if err := Until(ctx, "the log says "+logged, func() (bool, error) { return strings.Contains(d.server.Log(), logged), nil }); err != nil {
		t.Fatal(err)
	}
	t.Logf("the log said so after %v", time.Since(began).Round(time.Millisecond))
	w.sees(want, text, logged)
}

// TestReadyzSaysThatAGuestIsStopped: also when there is nothing to handle, so
// that nothing else would notice.
func TestReadyzSaysThatAGuestIsStopped(t *testing.T) {
	d := startRunaway(t)
	w := watch(t, d.Admin)
	dial(t, d, t.Name()).ask("before")
	pid := d.GuestPIDs()[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitReadyz(t, d, w, false, "guest", "has been stopped by a signal", "not ready: guest ")
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitReadyz(t, d, w, true, "", "", "ready again")
}

// TestReadyzSaysThatGuestsEndAllTheTime: one that is ready each time it is asked
// and ends right after is no guest either.
func TestReadyzSaysThatGuestsEndAllTheTime(t *testing.T) {
	d := startRunaway(t)
	w := watch(t, d.Admin)
	for range 3 {
		pid := d.GuestPIDs()[0]
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := Until(ctx, "another guest runs", func() (bool, error) {
			var answer struct {
				Guests []struct {
					PID   int    `json:"pid"`
					State string `json:"state"`
				} `json:"guests"`
			}
			_, err := d.ask(ctx, "GET", "/api/guests", &answer)
			for _, g := range answer.Guests { // spare ones among them
				if g.State == "running" && g.PID != pid {
					return true, err
				}
			}
			return false, err
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	waitReadyz(t, d, w, false, "guest", "guests end all the time", "not ready: ") // the log has why as it was first
}

// TestReadyzSaysThatTheDiskIsFull fills a disk of its own, which takes root.
func TestReadyzSaysThatTheDiskIsFull(t *testing.T) {
	data := t.TempDir()
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("NOT TESTED: a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(data, syscall.MNT_DETACH) })
	d := StartDormouse(t, Options{Dir: filepath.Join(root(t), "internal/e2e/testdata/runaway"), Data: data})
	w := watch(t, d.Admin)
	waitReadyz(t, d, w, true, "disk", "MiB left", "make room before commits fail")
	filler := filepath.Join(data, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	f.Close()
	waitReadyz(t, d, w, false, "disk", "no space left on device", "not ready: the data folder")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	waitReadyz(t, d, w, true, "disk", "MiB left", "ready again")
}
