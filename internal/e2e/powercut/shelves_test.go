package powercut

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/r2"
	"github.com/dormouse-dev/dormouse/internal/shelf"
)

const (
	shelvesIn = "POWERCUT_SHELVES" // set in the child: the folder
	putsOfAll = "POWERCUT_PUTS"    // and how many puts each key gets
	keysOfAll = 6
)

// things are a KV namespace and an R2 bucket, as one: the keys with even numbers
// are the namespace's.
type things struct {
	kvs, buckets *shelf.Shelf
	store        *kv.Store
	bucket       *r2.Bucket
}

func openThings(folder string) (*things, error) {
	kvs, err := shelf.Open(kv.Shelf(filepath.Join(folder, "kv"), false))
	if err != nil {
		return nil, err
	}
	buckets, err := shelf.Open(r2.Shelf(filepath.Join(folder, "r2"), false))
	if err != nil {
		return nil, errors.Join(err, kvs.Close())
	}
	return &things{kvs, buckets, kv.New(kvs), r2.New(buckets)}, nil
}

func (x *things) close() error { return errors.Join(x.kvs.Close(), x.buckets.Close()) }

// gone says whether the n-th step of a key deletes it. Steps count from 1.
func gone(n int) bool { return n == 0 || n%5 == 4 }

// content is what the n-th step stores: little and much, in turn.
func content(key, n int) []byte {
	line := fmt.Sprintf("%d %d\n", key, n)
	times := 10
	if n%2 == 1 {
		times = 100 << 10 / len(line) // more than lies in an index
	}
	return []byte(strings.Repeat(line, times))
}

func (x *things) step(ctx context.Context, key, n int) error {
	name, value := fmt.Sprint("key ", key), content(key, n)
	switch {
	case key%2 == 0 && gone(n):
		return x.store.Delete(ctx, name)
	case key%2 == 0:
		return x.store.Put(ctx, kv.Entry{Key: name}, bytes.NewReader(value))
	case gone(n):
		return x.bucket.Delete(ctx, []string{name})
	}
	_, err := x.bucket.Write(ctx, name, "text/plain", int64(len(value)), bytes.NewReader(value))
	return err
}

// get returns what a key has; nil: nothing.
func (x *things) get(ctx context.Context, key int) ([]byte, error) {
	name := fmt.Sprint("key ", key)
	if key%2 == 0 {
		e, err := x.store.Get(ctx, name)
		if e == nil || err != nil {
			return nil, err
		}
		defer e.Close()
		return io.ReadAll(e.Value())
	}
	_, body, err := x.bucket.Read(ctx, name)
	if r2.IsNone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// TestShelvesInAChild is the process that stores, one goroutine a key, and says
// so: what TestPowerCutOfShelvesCrash records.
func TestShelvesInAChild(t *testing.T) {
	folder := os.Getenv(shelvesIn)
	if folder == "" {
		t.Skip("is a part of TestPowerCutOfShelvesCrash")
	}
	x, err := openThings(folder)
	if err != nil {
		t.Fatal(err)
	}
	// A process that was killed may have made folders, and not waited for them to
	// be on disk.
	for i := range 256 {
		if err := os.Mkdir(filepath.Join(folder, "r2", shelf.FilesFolder, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var puts int
	fmt.Sscan(os.Getenv(putsOfAll), &puts)
	var all sync.WaitGroup
	for key := range keysOfAll {
		all.Go(func() {
			for n := 1; n <= puts; n++ {
				if err := x.step(t.Context(), key, n); err != nil {
					t.Errorf("key %d, step %d: %v", key, n, err)
					return
				}
				fmt.Printf("said %d %d\n", key, n) // one write
			}
		})
	}
	all.Wait()
	if err := x.close(); err != nil {
		t.Error(err)
	}
}

// TestPowerCutOfShelvesCrash: what put and delete of KV and R2 have returned for
// is there after the power was cut, whole, whenever that was.
//
// make test looks at some of the moments, make soak at all.
func TestPowerCutOfShelvesCrash(t *testing.T) {
	strace := needStrace(t)
	puts, cuts := 10, 40
	if os.Getenv("DORMOUSE_SOAK") != "" {
		puts, cuts = 60, 1<<30
	}
	folder, record := t.TempDir(), filepath.Join(t.TempDir(), "record")
	child := exec.Command(strace, append(slices.Clone(recording), "-o", record, os.Args[0], "-test.run=^TestShelvesInAChild$")...)
	child.Env = append(os.Environ(), shelvesIn+"="+folder, putsOfAll+"="+fmt.Sprint(puts))
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %.2000s", err, out)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &shelfLookout{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), disk: newDisk(folder), chance: 1}
	if n := 2 * (countSyncs(t, record, folder) + keysOfAll*puts); cuts < n {
		s.chance = float64(cuts) / float64(n)
	}
	replay(t, record, s.see)
	for key, n := range s.said {
		if n != puts {
			t.Errorf("key %d: %d steps were said to be done, want %d", key, n, puts)
		}
	}
	t.Logf("%d syncs, %d cuts", s.syncs, s.cuts)
	if s.cuts == 0 || s.syncs == 0 {
		t.Error("the power was never cut")
	}
}

// shelfLookout looks at what cuts leave.
type shelfLookout struct {
	t           *testing.T
	rnd         *rand.Rand
	disk        *disk
	chance      float64
	said        [keysOfAll]int // steps that are done
	syncs, cuts int
}

func (s *shelfLookout) see(c *call) error {
	synced, err := s.disk.see(c)
	if err != nil {
		return err
	}
	said := false
	if c.name == "write" && !c.ended && strings.HasPrefix(c.args[0], "1<") {
		text, err := c.text(1)
		if err != nil {
			return err
		}
		var key, n int
		if _, err := fmt.Sscanf(string(text), "said %d %d\n", &key, &n); err == nil {
			s.said[key], said = n, true
		}
	}
	if synced {
		s.syncs++
	}
	moment := synced || said || strings.HasPrefix(c.file(0), s.disk.root) && s.rnd.IntN(20) == 0
	if !moment || s.rnd.Float64() >= s.chance {
		return nil
	}
	s.cuts++
	if err := s.cut(); err != nil {
		return fmt.Errorf("cut %d, at %s(%.150s) (ended: %v): %w", s.cuts, c.name, strings.Join(c.args, ", "), c.ended, err)
	}
	return nil
}

func (s *shelfLookout) cut() error {
	dir, err := os.MkdirTemp(s.t.TempDir(), "cut")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := s.disk.cut(dir, s.rnd); err != nil {
		return err
	}
	x, err := openThings(dir)
	if err != nil {
		return err
	}
	defer x.close()
	for key, n := range s.said {
		got, err := x.get(s.t.Context(), key)
		if err != nil {
			return fmt.Errorf("key %d: %w", key, err)
		}
		// The next step may have happened, and not have been said.
		if !isStep(got, key, n) && !isStep(got, key, n+1) {
			return fmt.Errorf("key %d has %d bytes (%.40q): neither what step %d has left nor the one after it", key, len(got), got, n)
		}
	}
	return nil
}

func isStep(got []byte, key, n int) bool {
	if gone(n) {
		return got == nil
	}
	return bytes.Equal(got, content(key, n))
}
