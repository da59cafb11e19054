package backup

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage"
)

// How long does a backup of many small objects take, for each of them?
func BenchmarkWrite(b *testing.B) {
	const objects = 1000
	w := newWorld(b, objects)
	old := time.Now().Add(-time.Hour)
	for _, k := range w.keys { // or each would have to settle first
		if err := os.Chtimes(storage.Path(w.dir, k), old, old); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Write(b.Context(), io.Discard, w.source()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/objects, "µs/object")
}
