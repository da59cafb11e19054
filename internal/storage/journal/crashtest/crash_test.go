// Package crashtest runs the journal under real databases and cuts the power
// anywhere.
package crashtest

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk/disktest"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

var (
	seedFlag = flag.Uint64("crash.seed", 0, "run only this seed")
	runsFlag = flag.Int("crash.runs", 0, "random runs; default 6, and 300 with DORMOUSE_SOAK")
	keepFlag = flag.String("crash.keep", "", "folder for the data that a failed run has left")
)

const (
	namespace = dormouse.Namespace("test-Object")
	objects   = 5
)

// world is a data folder in use.
type world struct {
	t        testing.TB
	seed     uint64
	rnd      *rand.Rand
	data     string
	recorder *disktest.Recorder
	engine   *journal.Engine
	objects  []*object
	answers  sync.WaitGroup

	mu     sync.Mutex // guards the following
	cuts   []cut
	hooks  *rand.Rand
	chance float64 // of a cut at each change
}

// cut is what a power cut at some moment might have left.
type cut struct {
	data     string
	promised []state
	during   string
}

func options(seed uint64) journal.Options {
	o := journal.Options{
		SegmentBytes:    512 << 10,
		Budget:          2 << 20,
		CheckpointBytes: 100 << 10,
		OpenFiles:       2,
		RestDelay:       5 * time.Millisecond,
	}
	if seed%5 == 4 {
		o.Durability = storage.Relaxed
	}
	return o
}

func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 1)), hooks: rand.New(rand.NewPCG(seed, 2)), data: t.TempDir(), chance: 0.01}
	w.recorder = disktest.New(t, w.data)
	w.recorder.Before = w.maybeCut
	w.start()
	pageSize := []int{4096, 512, 1024}[seed%3]
	blank := template(t, pageSize)
	for i := range objects {
		key := dormouse.Key{Namespace: namespace, ID: namespace.IDFromName(fmt.Sprint(i))}
		w.objects = append(w.objects, &object{
			t: t, key: key, seed: seed<<8 + uint64(i)<<4, engine: w.engine, template: blank,
			path: storage.Path(w.data, key), answers: &w.answers,
		})
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	opts := options(w.seed)
	opts.Disk = w.recorder
	engine, _, err := journal.Open(w.data, opts)
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	engine.Looked()
	w.engine = engine
	for _, o := range w.objects {
		o.engine = engine
	}
}

// maybeCut is called before everything that the engine changes.
func (w *world) maybeCut(op, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hooks.Float64() < w.chance {
		w.cutLocked(op + " " + name)
	}
	return nil
}

func (w *world) cutLocked(during string) {
	// First what was promised, then the state of the disk: it holds no less.
	promised := make([]state, objects)
	for i, o := range w.objects {
		promised[i] = o.promised()
	}
	c := cut{filepath.Join(w.t.TempDir(), fmt.Sprint("cut", len(w.cuts))), promised, during}
	if err := os.Mkdir(c.data, 0o700); err != nil {
		w.t.Error(err)
		return
	}
	if err := w.recorder.Cut(c.data, w.hooks); err != nil {
		w.t.Error(err)
		return
	}
	w.cuts = append(w.cuts, c)
}

// step lets something happen.
func (w *world) step() {
	o := w.objects[w.rnd.IntN(len(w.objects))]
	w.recorder.Observe()
	if o.isOpen() && o.broken() {
		o.die()
	}
	if !o.isOpen() {
		if w.rnd.IntN(12) == 0 {
			if err := o.remove(); err != nil && !errors.Is(err, storage.ErrBusy) {
				w.t.Errorf("seed %d: delete: %v", w.seed, err)
			}
			return
		}
		if err := o.open(); err != nil {
			w.t.Errorf("seed %d: open: %v", w.seed, err)
		}
		return
	}
	switch n := w.rnd.IntN(40); {
	case n < 28:
		for range 1 + w.rnd.IntN(4) {
			o.commit()
		}
	case n < 30:
		o.spoil()
	case n < 34:
		o.checkpoint(func() {
			if w.rnd.IntN(2) == 0 {
				o.commit()
			}
		})
	case n < 37:
		o.close()
	case n < 38:
		o.transact() // it dies between COMMIT and telling
		o.die()
	default:
		o.die()
	}
}

// keep keeps what a cut has left, as far as the run fails.
func (w *world) keep(c cut) {
	if *keepFlag == "" {
		return
	}
	to := filepath.Join(*keepFlag, fmt.Sprint(w.seed), filepath.Base(c.data))
	if err := os.CopyFS(to, os.DirFS(c.data)); err != nil {
		w.t.Error(err)
	}
	w.t.Cleanup(func() {
		if !w.t.Failed() {
			os.RemoveAll(filepath.Dir(to))
		}
	})
}

// verify recovers what a cut has left and looks whether everything is there
// that was promised.
func (w *world) verify(c cut) {
	w.t.Helper()
	w.keep(c)
	opts := options(w.seed)
	left, err := filepath.Glob(filepath.Join(c.data, "*", "*", "*-wal"))
	if err != nil {
		w.t.Error(err)
	}
	engine, recovery, err := journal.Open(c.data, opts)
	if err != nil {
		w.t.Errorf("seed %d, cut during %s: %v", w.seed, c.during, err)
		return
	}
	for _, log := range left {
		if info, err := os.Stat(log); recovery.Clean && (err != nil || info.Size() > 0) {
			w.t.Errorf("seed %d, cut during %s: it counts as clean, and there is something in %s (%v)", w.seed, c.during, log, err)
		}
	}
	wakes := make(map[dormouse.Key]storage.Wake)
	for key, wake := range engine.Wakes() {
		wakes[key] = wake
	}
	if err := engine.Close(); err != nil {
		w.t.Errorf("seed %d: close: %v", w.seed, err)
	}
	if len(recovery.Missing) > 0 {
		w.t.Errorf("seed %d, cut during %s: missing: %v", w.seed, c.during, recovery.Missing)
	}
	for i, o := range w.objects {
		promised := c.promised[i]
		if opts.Durability == storage.Relaxed && c.during != "rest" {
			promised = state{} // it may be a second old
		}
		got, err := check(c.data, o.key, o.seed)
		if err != nil && promised.k == 0 && (c.promised[i].k == 0 || isTemplate(storage.Path(c.data, o.key), o.template)) {
			continue // a copy of the template that was never durably committed to: the guest makes it anew
		}
		if err != nil {
			w.t.Errorf("seed %d, %s during %s, object %d: %v", w.seed, filepath.Base(c.data), c.during, i, err)
		}
		if got.before(promised) && promised.k > 0 {
			w.t.Errorf("seed %d, %s during %s, object %d (%s): got %v, promised %v", w.seed, filepath.Base(c.data), c.during, i, o.key.ID, got, promised)
		}
		if at := alarmOf(got.k); got == promised && !at.IsZero() && (wakes[o.key].At.IsZero() || wakes[o.key].At.After(at)) {
			w.t.Errorf("seed %d, %s during %s, object %d: alarm %v after %v, index says %v", w.seed, filepath.Base(c.data), c.during, i, at, got, wakes[o.key].At)
		}
	}
}

// isTemplate says whether a file has only ever been as long as a new database.
func isTemplate(path string, template []byte) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() <= int64(len(template))
}

func (w *world) end() {
	for _, o := range w.objects {
		if o.isOpen() {
			o.die()
		}
	}
	w.answers.Wait()
}

func run(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	steps := 150 + w.rnd.IntN(150)
	for range steps {
		w.step()
	}
	w.end()
	if err := w.engine.Close(); err != nil {
		t.Errorf("seed %d: close: %v", seed, err)
	}
	w.mu.Lock()
	w.cutLocked("rest")
	w.mu.Unlock()
	w.start() // an orderly end is believed, and no longer than until here
	for range steps / 10 {
		w.step()
	}
	w.end()
	if err := w.engine.Close(); err != nil {
		t.Errorf("seed %d: the second close: %v", seed, err)
	}
	for _, c := range w.cuts {
		w.verify(c)
	}
	t.Logf("seed %d: %d steps, %d cuts", seed, steps, len(w.cuts))
}

// TestCrashedDiskKeepsWhatWasPromised runs objects that commit, checkpoint, close,
// die and are deleted, and cuts the power at random moments. What is found
// then must open, be whole, and be a prefix of what was committed that contains
// all that was confirmed.
func TestCrashedDiskKeepsWhatWasPromised(t *testing.T) {
	if *seedFlag != 0 {
		run(t, *seedFlag)
		return
	}
	runs := *runsFlag
	switch {
	case runs > 0:
	case os.Getenv("DORMOUSE_SOAK") != "":
		runs = 300
	default:
		runs = 6
	}
	for i := range runs {
		seed := rand.Uint64N(1 << 40)
		if i < 5 {
			seed = seed/15*15 + uint64(i*7)%15 // each mode and page size
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, seed) })
	}
}
