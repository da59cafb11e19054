package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkNeighbour asks: how long does an echo take in the guest of an object
// that burns 100 ms of CPU with each message, without a pause between them?
func BenchmarkNeighbour(b *testing.B) {
	for name, burners := range map[string]int{"alone": 0, "beside a burner": 1, "beside four": 4} {
		b.Run(name, func(b *testing.B) {
			d := startRunaway(b)
			good := dial(b, d, b.Name()+" good")
			for i := range burners {
				go burn(dial(b, d, fmt.Sprint(b.Name(), " burner ", i)))
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				good.ask("echo")
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// burn keeps two messages in flight, so that there is always one to handle, until
// its socket ends.
func burn(p *peer) {
	err := p.write("burn")
	for err == nil {
		if err = p.write("burn"); err == nil {
			_, err = p.read()
		}
	}
}
