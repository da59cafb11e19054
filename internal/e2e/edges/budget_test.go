package edges_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/e2e"
)

const (
	// maxAllocations is a budget: what the whole of Dormouse allocates for a message
	// to an object in Node and its answer, one on the way. Measured 0.09 on
	// 2026-11-22, and 2,600 whatever the number of messages: in the test 0.3. One
	// allocation on the path of each message is more than the headroom. If it trips,
	// look for what has begun to escape (TestHotFramesAllocateNothing,
	// TestEchoDoesNotAllocate).
	maxAllocations = 0.9
	// maxGoroutines is how many more goroutines a server may have with a thousand
	// sockets of a thousand hibernated objects than with none. Measured 6 on
	// 2026-11-22, some of them connections of the one who looks; the headroom is for
	// more of those. If it trips, objects or sockets at rest have one.
	maxGoroutines = 30
)

// TestBudgetsOfAServer are those that only the whole of it can keep.
func TestBudgetsOfAServer(t *testing.T) {
	s := start(t)
	t.Run("Allocations", func(t *testing.T) {
		const messages = 10_000
		f := dial(t, s, 1, "/ws/Echo/echo")
		say := func(n int) {
			t.Helper()
			for range n {
				if got, err := f.Ask(0, "hello"); err != nil || got != "hello" {
					t.Fatal(got, err)
				}
			}
		}
		say(100) // fills what is pooled
		before := metric(t, s, "go_memstats_mallocs_total")
		looked := metric(t, s, "go_memstats_mallocs_total") - before // what it costs to look
		say(messages)
		each := (metric(t, s, "go_memstats_mallocs_total") - before - 2*looked) / messages
		t.Logf("%.3f allocations for each message and its answer", each)
		if each > maxAllocations {
			t.Errorf("%.2f allocations for each message, the budget is %v", each, maxAllocations)
		}
	})
	t.Run("Goroutines", func(t *testing.T) {
		const sockets = 1000
		before := metric(t, s, "go_goroutines")
		f := dial(t, s, sockets, "/ws/Echo/asleep-*")
		if _, err := f.AskAll("good night"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var more float64
		err := e2e.Until(ctx, "few goroutines", func() (bool, error) {
			more = metric(t, s, "go_goroutines") - before
			return more <= maxGoroutines && metric(t, s, `dormouse_objects{class="Echo",state="hibernated"}`) >= sockets, nil
		})
		t.Logf("%v more goroutines with %d sockets", more, sockets)
		if err != nil {
			t.Errorf("%v more goroutines with %d sockets of hibernated objects, the budget is %d: %v", more, sockets, maxGoroutines, err)
		}
	})
}

// metric is what /metrics says of a series.
func metric(t *testing.T, s *runtimes.Server, series string) float64 {
	t.Helper()
	res, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return 0 // none has been counted
}
