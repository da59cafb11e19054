package host

import (
	"math"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// TestNumbersAreNotUsedTwice while what they name is in progress, also when they
// have gone all the way round, and 0 is never one of them.
func TestNumbersAreNotUsedTwice(t *testing.T) {
	l := &life{
		calls:       map[guest.Exchange]*Call{2: {}, 4: {}},
		lastCall:    math.MaxUint32 - 3,
		activations: map[guest.Object]*resident{1: {}, 2: {}},
		lastObject:  math.MaxUint32 - 1,
	}
	for _, want := range []guest.Exchange{math.MaxUint32 - 1, 6, 8} {
		if got := l.nextCall(); got != want {
			t.Errorf("call: got %d, want %d", got, want)
		}
	}
	for _, want := range []guest.Object{math.MaxUint32, 3, 4} {
		if got := l.nextObject(); got != want {
			t.Errorf("object: got %d, want %d", got, want)
		}
	}
}
