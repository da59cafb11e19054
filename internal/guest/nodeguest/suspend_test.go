//go:build unix

package nodeguest

import (
	"context"
	"testing"
	"time"
)

// TestSuspend: no process is left and none is started until Resume, whatever the
// slot was doing; no object is blamed for it.
func TestSuspend(t *testing.T) {
	r := begin(t)
	suspend := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for range 2 { // the second waits for the first
			if err := r.slot.Suspend(ctx); err != nil {
				t.Fatal(err)
			}
		}
		r.loop.Call(func() {
			if n := len(r.slot.procs); n > 0 {
				t.Errorf("%d processes are left", n)
			}
		})
	}
	suspend()
	r.wait("gone 1:", 0)
	r.slot.Resume()
	r.wait("ready 2", 0)
	r.slot.Resume() // without a suspension

	// A slot that waits before it starts another one does not keep us waiting.
	r.how.Store("dies")
	r.say("exit")
	r.wait("unfit", 1)
	began := time.Now()
	suspend()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
	r.how.Store("good")
	r.slot.Resume()
	r.until("it runs", func() bool { return described(r.slot).State == "running" })
}

// TestStopWhileSuspended: the end of a slot does not wait for Resume.
func TestStopWhileSuspended(t *testing.T) {
	r := begin(t)
	if err := r.slot.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.slot.Stop()
}
