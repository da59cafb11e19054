//go:build unix

package nodeguest

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
)

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestSnapshotsThatAreWholeAreKept: the newest so many, each under a name by which
// they are in order; what was broken off goes, and what is not ours stays.
func TestSnapshotsThatAreWholeAreKept(t *testing.T) {
	dir := t.TempDir()
	s := Snapshots{Folder: dir, Keep: 2}
	write := func(name, text string, at time.Time) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now().Add(-time.Minute)
	write("notes.txt", "mine", began)
	write("Heap.20260101.000000.77.0.001.heapsnapshot", "{}]}", began.Add(-2*draftAge)) // of a process long gone
	write("Heap.20260101.000000.5.0.001.heapsnapshot", "{}]}", began)                   // of another that is at it
	var found []string
	for i := range 3 {
		write(fmt.Sprintf("Heap.ours.%d.heapsnapshot", 100+i), `{"strings":["a"]}`+"\n", began.Add(time.Duration(i)*time.Second))
		path := s.collect(100+i, uint32(i), began, slog.New(slog.DiscardHandler))
		if path == "" {
			t.Fatalf("snapshot %d was not found", i)
		}
		found = append(found, filepath.Base(path))
	}
	write("Heap.ours.200.heapsnapshot", `{"strings":["a`, began.Add(time.Second))
	if path := s.collect(200, 9, began, slog.New(slog.DiscardHandler)); path != "" {
		t.Errorf("half a snapshot is taken for a whole one: %s", path)
	}
	want := append([]string{"Heap.20260101.000000.5.0.001.heapsnapshot"}, found[1:]...)
	if got := names(t, dir); !slices.Equal(got, append(want, "notes.txt")) {
		t.Errorf("got %q, want %q and notes.txt", got, want)
	}
	if path := (Snapshots{}).collect(1, 1, began, slog.New(slog.DiscardHandler)); path != "" {
		t.Errorf("without a folder %q was found", path)
	}
}

// TestMemoryWaitsForASnapshot, for each thing that the guest may say of it.
func TestMemoryWaitsForASnapshot(t *testing.T) {
	b := openBooks(t)
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	b.p.loop = l
	m := &b.p.memory
	*m = memory{p: &b.p, limit: 1, snapshots: true} // a byte: there is always room for a snapshot
	state := func(n uint32) { binary.LittleEndian.PutUint32(b.p.out.marks.page[snapshotAt:], n) }
	at := func(waited time.Duration) (bool, string) {
		m.over = b.p.loop.Now().Add(-waited)
		return m.impatient(waited == 0)
	}
	for _, test := range []struct {
		state  uint32
		waited time.Duration
		end    bool
		why    string
	}{
		{0, 0, false, ""},
		{0, snapshotReaction + time.Second, true, "did not begin"},
		{snapshotBegun, snapshotReaction + time.Second, false, ""},
		{snapshotBegun, snapshotTime + time.Second, true, "not written within 1m0s"},
		{snapshotOver, time.Second, true, ""},
	} {
		state(test.state)
		if end, why := at(test.waited); end != test.end || !strings.Contains(why, test.why) {
			t.Errorf("state %d after %v: got %v, %q", test.state, test.waited, end, why)
		}
	}
	m.snapshots = false
	state(snapshotBegun)
	if end, why := at(0); !end || why != "" {
		t.Errorf("a guest that was not asked for a snapshot: got %v, %q", end, why)
	}
	if FreeMemory() > 0 {
		m.snapshots, m.limit = true, 1<<50
		state(0)
		if end, why := at(0); !end || !strings.Contains(why, "are free") {
			t.Errorf("without room: got %v, %q", end, why)
		}
	}
}
