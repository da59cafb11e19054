//go:build unix

package nodeguest

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Snapshots is a folder for heap snapshots of guests that took too much memory.
// The zero value is none: none are written.
type Snapshots struct {
	Folder string // absolute
	Keep   int    // how many stay: the newest; at least one
}

// Names of snapshots. A process writes "Heap.…PID….heapsnapshot", which is V8's
// way; one that is whole is given a name of ours, by which the oldest is first.
const (
	snapshotEnd   = ".heapsnapshot"
	snapshotDraft = "Heap."
	snapshotKept  = "guest-"
	// draftAge is how long a draft may be left alone by the process that watches
	// its writer: one that is older belongs to nobody.
	draftAge = time.Hour
)

// collect finds what a process that has ended has left, and returns its path;
// empty: nothing that is whole. Those that are too many go. Any goroutine.
func (s Snapshots) collect(pid int, incarnation uint32, began time.Time, log *slog.Logger) string {
	if s.Folder == "" {
		return ""
	}
	entries, err := os.ReadDir(s.Folder)
	if err != nil {
		log.Error("the folder of heap snapshots cannot be read", "folder", s.Folder, "reason", err)
		return ""
	}
	found := ""
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), snapshotDraft) || !strings.HasSuffix(e.Name(), snapshotEnd) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // somebody else has taken it
		}
		path := filepath.Join(s.Folder, e.Name())
		mine := strings.Contains(e.Name(), fmt.Sprintf(".%d.", pid)) && !info.ModTime().Before(began.Add(-time.Second))
		switch {
		case mine && found == "" && whole(path):
			name := fmt.Sprintf("%s%s-%d%s", snapshotKept, info.ModTime().UTC().Format("20060102T150405.000Z"), incarnation, snapshotEnd)
			if err = os.Rename(path, filepath.Join(s.Folder, name)); err == nil {
				found = filepath.Join(s.Folder, name)
			}
		case mine || time.Since(info.ModTime()) > draftAge:
			err = os.Remove(path)
		}
		if err != nil {
			log.Error("a heap snapshot cannot be put in its place", "file", path, "reason", err)
		}
	}
	s.prune(log)
	return found
}

// whole says whether a snapshot was written to its end.
func whole(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	last := make([]byte, 16)
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false
	}
	n, _ := f.ReadAt(last, max(0, end-int64(len(last))))
	return bytes.HasSuffix(bytes.TrimSpace(last[:n]), []byte("]}"))
}

// prune removes the oldest past Keep.
func (s Snapshots) prune(log *slog.Logger) {
	entries, _ := os.ReadDir(s.Folder) // by name, and so by time
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), snapshotKept) || !strings.HasSuffix(e.Name(), snapshotEnd)
	})
	for _, e := range entries[:max(0, len(entries)-max(1, s.Keep))] {
		if err := os.Remove(filepath.Join(s.Folder, e.Name())); err != nil {
			log.Error("an old heap snapshot cannot be removed", "file", e.Name(), "reason", err)
		}
	}
}
