package contest

import (
	"errors"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/proctree"
)

// Metrics that several questions have.
var (
	Rate       = Metric{"rate", "messages/s"}
	Deliveries = Metric{"rate", "deliveries/s"}
	CPU        = Metric{"cpu", "µs CPU each"}
	Memory     = Metric{"memory", "MB of memory"} // of the whole process tree, at the end of the window
	P50        = Metric{"p50", "µs p50"}
	P99        = Metric{"p99", "µs p99"}
	P999       = Metric{"p999", "µs p99.9"}
	// Late is how late, at the 99th percentile, an open loop sent what was due.
	Late = Metric{"late", "µs late, p99"}
)

// LoadBusy is the part of one core that the load generator used, in every
// sample of a loop. Below 1 the generator had time left: the server, or the
// second of two cores, was the limit.
const LoadBusy = "load"

// Loop measures one window of a loop on t and makes its sample.
func (t *Target) Loop(run func(load.Window) (*load.Result, error)) (Sample, error) {
	return t.loop(load.Window{Warm: t.Pace.Warm, Measure: t.Pace.Measure}, run)
}

// LoopFor is Loop with a window of another length: to the p99.9 belong a
// thousand messages.
func (t *Target) LoopFor(measure time.Duration, run func(load.Window) (*load.Result, error)) (Sample, error) {
	return t.loop(load.Window{Warm: t.Pace.Warm, Measure: measure}, run)
}

func (t *Target) loop(w load.Window, run func(load.Window) (*load.Result, error)) (Sample, error) {
	var edges [2]edge
	w.Begin = func() { edges[0] = t.edge() }
	w.End = func() { edges[1] = t.edge() }
	r, err := run(w)
	if err != nil {
		return Sample{}, err
	}
	memory, memErr := proctree.Memory(t.Server.PID())
	if err := errors.Join(edges[0].err, edges[1].err, memErr); err != nil {
		return Sample{}, err
	}
	s := Sample{
		Values: map[string]float64{
			Rate.Name:   r.PerSecond(),
			CPU.Name:    micros(edges[1].server-edges[0].server) / float64(r.Messages),
			Memory.Name: float64(memory) / 1e6,
			LoadBusy:    (edges[1].self - edges[0].self).Seconds() / r.Elapsed.Seconds(),
		},
	}
	s.Latencies(&r.Latency)
	if r.Late.Count() > 0 {
		s.Values[Late.Name] = micros(r.Late.Quantile(0.99))
	}
	return s, nil
}

// Latencies adds what each message has waited.
func (s *Sample) Latencies(h *load.Histogram) {
	s.Latency = h.Buckets()
	for m, q := range map[Metric]float64{P50: 0.5, P99: 0.99, P999: 0.999} {
		s.Values[m.Name] = micros(h.Quantile(q))
	}
}

// Measured is what a piece of work cost.
type Measured struct {
	Elapsed      time.Duration
	server, load time.Duration
}

// Measure runs f, which is no loop.
func (t *Target) Measure(f func() error) (Measured, error) {
	before, began := t.edge(), time.Now()
	err := f()
	m := Measured{Elapsed: time.Since(began)}
	after := t.edge()
	m.server, m.load = after.server-before.server, after.self-before.self
	return m, errors.Join(err, before.err, after.err)
}

// Sample says it of n pieces.
func (m Measured) Sample(n int) Sample {
	return Sample{Values: map[string]float64{
		Rate.Name: float64(n) / m.Elapsed.Seconds(),
		CPU.Name:  micros(m.server) / float64(n),
		LoadBusy:  m.load.Seconds() / m.Elapsed.Seconds(),
	}}
}

// edge is what the two sides had computed at an edge of a window.
type edge struct {
	server, self time.Duration
	err          error
}

func (t *Target) edge() (e edge) {
	e.server, e.err = proctree.CPU(t.Server.PID())
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		e.err = errors.Join(e.err, err)
	}
	e.self = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return e
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
