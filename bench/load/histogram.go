package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that grow with the value: 32 to each
// doubling, so a quantile is right to about 3 %.
type Histogram struct {
	counts [64 * subBuckets]uint64
	total  uint64
}

const (
	subBits    = 5
	subBuckets = 1 << subBits
)

// Add counts n times d.
func (h *Histogram) Add(d time.Duration, n int) {
	h.counts[bucket(uint64(max(d, 0)))] += uint64(n)
	h.total += uint64(n)
}

// Count is the number of durations added.
func (h *Histogram) Count() uint64 { return h.total }

// Bucket is so many durations of about that many nanoseconds, as result files
// keep them.
type Bucket [2]uint64

// Buckets returns what has been added, the shortest first.
func (h *Histogram) Buckets() (list []Bucket) {
	for i, c := range h.counts {
		if c > 0 {
			list = append(list, Bucket{uint64(middle(i)), c})
		}
	}
	return list
}

// Quantile returns the middle of the bucket that holds the q-th part of all
// durations, 0 <= q <= 1; zero when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total-1))
	for i, c := range h.counts {
		if rank < c {
			return middle(i)
		}
		rank -= c
	}
	return 0
}

// bucket is the value's own number below 32; above, its highest bit and the
// five bits behind it.
func bucket(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)*subBuckets + int(v>>shift)&(subBuckets-1)
}

func middle(i int) time.Duration {
	if i < subBuckets {
		return time.Duration(i)
	}
	shift := i/subBuckets - 1
	low := (uint64(i%subBuckets) | subBuckets) << shift
	return time.Duration(low + (1<<shift)/2)
}

// Merge adds all that other has.
func (h *Histogram) Merge(other *Histogram) {
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.total += other.total
}
