package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// counting counts what is asked of a file system outside of the journal's folder.
type counting struct {
	disk.FS
	asked atomic.Int64
}

func (c *counting) count(name string) {
	if !strings.Contains(name, string(filepath.Separator)+storage.JournalFolder) {
		c.asked.Add(1)
	}
}

func (c *counting) Open(name string, flag int) (disk.File, error) {
	c.count(name)
	return c.FS.Open(name, flag)
}

func (c *counting) Stat(name string) (disk.Info, error) {
	c.count(name)
	return c.FS.Stat(name)
}

func (c *counting) ReadDir(name string) ([]string, error) {
	c.count(name)
	return c.FS.ReadDir(name)
}

// TestOpeningLooksAtNoObjectSoak looks at none that rests, however many there are:
// as many questions are asked outside of the journal with 100,000 objects (2,000
// without DORMOUSE_SOAK) as with none. The alarms of all of them are known, and
// after an orderly end nobody else has to look either.
func TestOpeningLooksAtNoObjectSoak(t *testing.T) {
	n := 2_000
	if os.Getenv("DORMOUSE_SOAK") != "" {
		n = 100_000
	}
	data := t.TempDir()
	open := func() (int64, *journal.Engine, journal.Recovery) {
		fs := &counting{FS: disk.OS{}}
		e, r, err := journal.Open(data, journal.Options{SegmentBytes: 512 << 10, Disk: fs})
		if err != nil {
			t.Fatal(err)
		}
		return fs.asked.Load(), e, r
	}
	_, e, _ := open()
	e.Looked()
	e.Close()
	none, e, _ := open()
	keys := make([]dormouse.Key, n)
	for i := range keys {
		keys[i].Namespace = "chat-Room"
		copy(keys[i].ID[:], fmt.Sprintf("%08d", i*7919))
		path := storage.Path(data, keys[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := e.SetWake(keys[i], storage.Wake{At: time.UnixMilli(4102444800000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	many, e, r := open()
	defer e.Close()
	if !r.Clean {
		t.Error("the folder was closed in order, and a server would look through it")
	}
	if many > none {
		t.Errorf("%d questions with %d objects, and %d with none", many, n, none)
	}
	alarms := 0
	for range e.Wakes() {
		alarms++
	}
	if alarms != n || r.Objects != 0 {
		t.Errorf("%d alarms and %d objects recovered, want %d and none", alarms, r.Objects, n)
	}
	t.Logf("%d objects: %d questions to the file system, %v", n, many, r.Took)
}
