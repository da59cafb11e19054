package e2e

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/bench/proctree"
)

// TestIdleServerDoesNotWakeUp: with clients connected and alarms set, but nothing to
// do, no thread of Dormouse or of its guests runs at all.
func TestIdleServerDoesNotWakeUp(t *testing.T) {
	// window is longer than the time between any two looks that there ever were.
	const window = 6 * time.Second
	still := func(t *testing.T, d *Dormouse) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 4*limit)
		defer cancel()
		least := ^uint64(0)
		// More than once: the Go runtime collects garbage every two minutes.
		err := Until(ctx, "nothing to run", func() (bool, error) {
			before, err := proctree.Wakeups(d.server.PID())
			if err != nil {
				return false, err
			}
			select {
			case <-time.After(window):
			case <-ctx.Done():
				return false, nil
			}
			after, err := proctree.Wakeups(d.server.PID())
			least = min(least, after-before)
			return least == 0, err
		})
		if err != nil {
			t.Errorf("%v: threads have been woken %d times in %v at least", err, least, window)
		}
	}
	t.Run("Sockets", func(t *testing.T) {
		t.Parallel()
		d := StartDormouse(t, Options{Dir: filepath.Join(root(t), "internal/e2e/testdata/runaway"), HibernateAfter: 200 * time.Millisecond})
		for _, name := range []string{"a", "b", "c"} {
			dial(t, d, name).ask("hello")
		}
		still(t, d)
	})
	t.Run("Alarms", func(t *testing.T) {
		t.Parallel()
		d := StartDormouse(t, Options{Dir: VaultDir(t), HibernateAfter: 200 * time.Millisecond})
		Ask[any](Vault{t, d.URL}, "a", "setAlarm", time.Now().Add(time.Hour).UnixMilli())
		still(t, d)
	})
}
