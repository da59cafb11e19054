package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// busyFor is how long after a collection of the garbage the next one may come
	// while there is work.
	busyFor = 2 * time.Second
	// worthIt is by how many bytes the heap has to have grown.
	worthIt = 8 << 20
)

// giveBack gives memory back to the system when a busy time is over: the Go
// runtime collects when the heap has doubled, so what a burst of ten thousand
// handshakes leaves behind would stay until the next burst. It learns of work by
// the collections themselves, so a process at rest is not woken for it.
func giveBack(ctx context.Context) {
	collected := make(chan struct{}, 1)
	tellOfCollections(ctx, collected)
	last := occupied()
	for {
		select {
		case <-ctx.Done():
			return
		case <-collected:
		}
		if !quiet(ctx, collected) {
			return
		}
		now := occupied()
		last = min(last, now)
		if grown(now, last) {
			debug.FreeOSMemory()
			last = occupied()
			// Its own collection is no work.
			select {
			case <-collected:
			case <-ctx.Done():
				return
			}
		}
	}
}

// tellOfCollections sends after each collection, until ctx is done, unless
// nobody has received what was sent before.
func tellOfCollections(ctx context.Context, collected chan<- struct{}) {
	type sentinel struct{ _ *sentinel } // with a pointer: otherwise it shares its place with others
	var arm func(*sentinel)
	arm = func(*sentinel) {
		if ctx.Err() != nil {
			return
		}
		select {
		case collected <- struct{}{}:
		default:
		}
		runtime.SetFinalizer(new(sentinel), arm)
	}
	runtime.SetFinalizer(new(sentinel), arm)
}

// quiet returns when there was no collection for busyFor; false if ctx is done.
func quiet(ctx context.Context, collected <-chan struct{}) bool {
	timer := time.NewTimer(busyFor)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-collected:
			timer.Reset(busyFor)
		case <-timer.C:
			return true
		}
	}
}

// grown says whether the heap occupies so much more than last time, when it was
// given back, that it is worth marking all of it.
func grown(now, last uint64) bool {
	return now > last+max(worthIt, last/4)
}

// occupied is what the heap takes of the system, in bytes.
func occupied() uint64 {
	use := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(use)
	return use[0].Value.Uint64() + use[1].Value.Uint64() + use[2].Value.Uint64()
}
