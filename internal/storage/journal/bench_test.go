package journal_test

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// scheme is a way to make commits durable. It runs until n of them are.
type scheme func(b *testing.B, writers []*writer, n int)

// each lets every writer commit and wait, as an object with one request after
// another does.
func each(b *testing.B, writers []*writer, n int, durable func(*writer)) {
	var left atomic.Int64
	left.Store(int64(n))
	var wait sync.WaitGroup
	for _, w := range writers {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				w.commit(b)
				durable(w)
				w.took = append(w.took, time.Since(start))
			}
		})
	}
	wait.Wait()
}

func syncEach(b *testing.B, writers []*writer, threads, n int) {
	work := make(chan *writer, len(writers))
	for _, w := range writers {
		work <- w
	}
	var left atomic.Int64
	left.Store(int64(n))
	var wait sync.WaitGroup
	for range min(threads, len(writers)) {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				w := <-work
				start := time.Now()
				w.commit(b)
				if err := disk.Sync(w.wal); err != nil {
					b.Error(err)
				}
				w.took = append(w.took, time.Since(start))
				work <- w
			}
		})
	}
	wait.Wait()
}

func syncAll(data string) scheme {
	return func(b *testing.B, writers []*writer, n int) {
		for n > 0 {
			start := time.Now()
			for _, w := range writers {
				w.commit(b)
				n--
			}
			if err := (disk.OS{}).SyncAll(data); err != nil {
				b.Fatal(err)
			}
			for _, w := range writers {
				w.took = append(w.took, time.Since(start))
			}
		}
	}
}

func throughJournal(e storage.Engine) scheme {
	return func(b *testing.B, writers []*writer, n int) {
		each(b, writers, n, func(w *writer) {
			if w.full.Load() {
				w.checkpoint(b, e)
			}
			if err := w.durably(e); err != nil {
				b.Error(err)
			}
		})
	}
}

// How many durable commits of a page per second, and how long does one take?
// The serial fdatasync is what each of the others has to be compared with: all
// of them run in one go, on the same files.
func BenchmarkDurableCommits(b *testing.B) {
	for _, objects := range []int{1, 16, 256} {
		data := b.TempDir()
		if dir := os.Getenv("DORMOUSE_BENCH_DIR"); dir != "" {
			var err error
			if data, err = os.MkdirTemp(dir, "bench"); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { os.RemoveAll(data) })
		}
		var writers []*writer
		byKey := make(map[dormouse.Key]*writer)
		for i := range objects {
			w := newWriter(b, data, i)
			writers = append(writers, w)
			byKey[w.key] = w
		}
		run := func(name string, s scheme) {
			b.Run(fmt.Sprintf("%d/%s", objects, name), func(b *testing.B) {
				for _, w := range writers {
					w.took = w.took[:0]
				}
				s(b, writers, b.N)
				report(b, writers)
			})
		}
		run("serial", func(b *testing.B, w []*writer, n int) { syncEach(b, w, 1, n) })
		run("threads", func(b *testing.B, w []*writer, n int) { syncEach(b, w, 16, n) })
		run("syncfs", syncAll(data))
		for _, durability := range []storage.Durability{storage.Full, storage.Relaxed} {
			for _, w := range writers {
				w.restart(b)
			}
			e, _, err := journal.Open(data, journal.Options{
				Durability:     durability,
				NeedCheckpoint: func(key dormouse.Key) { byKey[key].full.Store(true) },
			})
			if err != nil {
				b.Fatal(err)
			}
			for _, w := range writers {
				open(b, e, w)
			}
			run([]string{"journal", "relaxed"}[durability], throughJournal(e))
			for _, w := range writers {
				w.checkpoint(b, e)
				e.Release(w.key)
			}
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
			for _, w := range writers { // the engine has removed the WAL
				w.create(b)
			}
		}
	}
}

func report(b *testing.B, writers []*writer) {
	var all []time.Duration
	for _, w := range writers {
		all = append(all, w.took...)
	}
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}
