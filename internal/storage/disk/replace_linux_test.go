package disk_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/disk/disktest"
)

// TestReplaceIsAllOrNothing whichever step fails, and whenever the power is cut:
// the file is there, whole, and after a success it is the new one.
func TestReplaceIsAllOrNothing(t *testing.T) {
	old, next := strings.Repeat("old\n", 500), strings.Repeat("the next\n", 300)
	rnd := rand.New(rand.NewPCG(1, 2))
	for failing := 0; ; failing++ {
		dir := t.TempDir()
		name := filepath.Join(dir, "file")
		if err := errors.Join(os.WriteFile(name, []byte(old), 0o600), os.WriteFile(name+".new", []byte(old+next+old), 0o600)); err != nil {
			t.Fatal(err)
		}
		r := disktest.New(t, dir)
		var cuts []string
		steps := 0
		r.Before = func(op, _ string) error {
			if op == "Remove" {
				return nil
			}
			for range 20 {
				cut := t.TempDir()
				if err := r.Cut(cut, rnd); err != nil {
					t.Error(err)
				}
				cuts = append(cuts, cut)
			}
			if steps++; steps-1 == failing {
				return syscall.EIO
			}
			return nil
		}
		err := disk.Replace(r, name, []byte(next))
		r.Before = nil
		for _, cut := range cuts {
			if got, err := os.ReadFile(filepath.Join(cut, "file")); err != nil || string(got) != old && string(got) != next {
				t.Fatalf("step %d fails; after a cut there are %d bytes, %v; want the old or the new content", failing, len(got), err)
			}
		}
		got, e := os.ReadFile(name)
		if e != nil || string(got) != next && (err == nil || string(got) != old) {
			t.Fatalf("step %d fails: %v, and there are %d bytes, %v", failing, err, len(got), e)
		}
		if _, left := os.Stat(name + ".new"); !errors.Is(left, os.ErrNotExist) && failing > 0 {
			t.Errorf("step %d fails: the draft is left, %v", failing, left)
		}
		if err != nil {
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("step %d fails: got %v", failing, err)
			}
			continue
		}
		if failing < 5 {
			t.Fatalf("only %d steps", failing)
		}
		cut := t.TempDir()
		if err := r.Cut(cut, rnd); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(cut, "file")); err != nil || string(got) != next {
			t.Errorf("after all of it and a cut there are %d bytes, %v; want the new content", len(got), err)
		}
		return
	}
}
