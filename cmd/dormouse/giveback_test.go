package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// What a burst leaves behind goes back to the system when nothing follows.
func TestGiveBackAfterBurst(t *testing.T) {
	go giveBack(t.Context())
	const burst = 64 << 20
	debug.FreeOSMemory() // what tests before this one have left is no part of it
	before := occupied()
	kept := make([][]byte, 0, burst>>12)
	for range cap(kept) {
		kept = append(kept, make([]byte, 4096))
	}
	runtime.GC() // as one comes in the middle of a burst: all of it is reachable
	if now := occupied(); now < before+burst*3/4 {
		t.Fatalf("the heap has grown by %d bytes for %d", int64(now-before), burst)
	}
	runtime.KeepAlive(kept)
	kept = nil
	deadline := time.Now().Add(30 * time.Second)
	for occupied() > before+burst/4 {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes more than before the burst are still there", int64(occupied()-before))
		}
		time.Sleep(50 * time.Millisecond)
	}
}
