// Package observe counts what happens, where it happens: plain numbers that
// belong to whoever counts, without a lock, a clock or an allocation, and that
// somebody else adds up when they are asked for. It knows durations and kinds,
// and never sees an object, a label or a format; package metrics does.
package observe

import "time"

// Bounds are the upper bounds of the buckets of every Histogram.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second,
}

// Histogram counts durations. The zero value is empty. One caller at a time.
type Histogram struct {
	Counts [len(Bounds) + 1]uint64 // of each bucket alone; the last has no bound
	Sum    time.Duration
}

// Observe counts n times d. A negative one, of a clock that was set back, counts
// as none.
func (h *Histogram) Observe(d time.Duration, n uint64) {
	d = max(d, 0)
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.Counts[i] += n
	h.Sum += d * time.Duration(n)
}

// Add counts what o has counted.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.Counts {
		h.Counts[i] += n
	}
	h.Sum += o.Sum
}

// Count is how many durations there were.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Kind is what an event is.
type Kind uint8

const (
	Message Kind = iota
	Close
	Error
	Request // a fetch or a call of a method
	Alarm
	Kinds = iota // how many there are
)

func (k Kind) String() string {
	return [...]string{"message", "close", "error", "request", "alarm"}[k]
}

// Events counts the events of one class, by kind.
type Events struct {
	Delivered [Kinds]uint64
	Latency   [Kinds]Histogram // of those that have finished, since they arrived
}

// Add counts what o has counted.
func (e *Events) Add(o *Events) {
	for k := range e.Delivered {
		e.Delivered[k] += o.Delivered[k]
		e.Latency[k].Add(&o.Latency[k])
	}
}

// Flight is what an activation has been given and not finished, oldest first.
// Events that came in the same round are one run, so that a busy object has few
// of them; the memory is used again.
//
// Which events have finished is known only by their number, and the oldest are
// taken for them: where handlers overlap, the sum of their times is right and
// the spread is not.
type Flight struct {
	runs []run
	head int
	one  [1]run // the memory of runs until there are more
}

type run struct {
	arrived int64 // Unix nanoseconds
	waited  int64 // nanoseconds of it in the mailbox
	n       uint32
	kind    Kind
}

// Len is how many runs of events have not ended.
func (f *Flight) Len() int { return len(f.runs) - f.head }

// Delivered tells that n events that arrived at that time, and have waited in a
// mailbox, go to the guest.
func (f *Flight) Delivered(k Kind, n uint32, arrived, waited int64) {
	if last := len(f.runs) - 1; last >= f.head {
		if r := &f.runs[last]; r.arrived == arrived && r.kind == k && r.waited == waited {
			r.n += n
			return
		}
	}
	if f.runs == nil {
		f.runs = f.one[:0]
	}
	if f.head > 0 && len(f.runs) == cap(f.runs) {
		f.runs = f.runs[:copy(f.runs, f.runs[f.head:])]
		f.head = 0
	}
	f.runs = append(f.runs, run{arrived, waited, n, k})
}

// Finished tells that n more events have finished, and says to done which: n of
// one kind that arrived together.
func (f *Flight) Finished(n uint32, done func(k Kind, n uint32, arrived, waited int64)) {
	for n > 0 && f.head < len(f.runs) {
		r := &f.runs[f.head]
		of := min(n, r.n)
		done(r.kind, of, r.arrived, r.waited)
		n -= of
		if r.n -= of; r.n == 0 {
			f.head++
		}
	}
	if f.head == len(f.runs) {
		f.runs, f.head = f.runs[:0], 0
		if cap(f.runs) > maxKeptRuns {
			f.runs = nil
		}
	}
}

// maxKeptRuns is the longest list whose memory an idle object keeps.
const maxKeptRuns = 64
