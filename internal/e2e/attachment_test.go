package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAttachmentsNeverReachTheDisk: also not when their object sleeps, its guest
// is killed, or the server ends.
func TestAttachmentsNeverReachTheDisk(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := StartDormouse(t, Options{
		Dir: filepath.Join(root(t), "internal/e2e/testdata/keeper"), Data: data, HibernateAfter: 200 * time.Millisecond,
	})
	stored, attached := rand.Text(), rand.Text()
	p := dial(t, d, "room")
	heard := func(say, want string) {
		t.Helper()
		p.say(say)
		if got := p.hear(); got != want {
			t.Fatalf("after %q the attachment holds %q, want %q", say, got, want)
		}
	}
	heard("attach "+attached, attached)
	heard("store "+stored, attached)
	err := Until(t.Context(), "the object to sleep", func() (bool, error) {
		return strings.Contains(d.look("/api/objects"), `"hibernated"`), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	heard("look", attached) // a new instance has it from memory
	for _, pid := range d.GuestPIDs() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	heard("look", attached)
	if files := filesWith(t, data, attached); len(files) > 0 {
		t.Errorf("the attachment is in %q", files)
	}
	d.server.Stop()
	if files := filesWith(t, data, attached); len(files) > 0 {
		t.Errorf("after the end the attachment is in %q", files)
	}
	if files := filesWith(t, data, stored); len(files) == 0 {
		t.Errorf("what was stored is in no file of %s", data)
	}
}

// filesWith lists the files below a folder that hold text.
func filesWith(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(fmt.Errorf("look for text: %w", err))
	}
	return files
}
