package edges_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/e2e"
)

// Ten times what an object can answer is asked of it, whether or not earlier
// requests have been answered. Each request is answered, or refused with 503;
// nothing else is ever said, and what the server holds is bounded. When nobody asks
// for too much any more, everybody is answered.
//
// Where the object has a guest of its own, as code that computes should, as many
// requests wait as may and the rest is refused at once. Where it shares one with the
// Worker, the Worker too is asked only when the object pauses: then requests wait in
// front of the guest, and are refused when there are thousands.
func TestOverloadOfRequests(t *testing.T) {
	t.Run("Own", func(t *testing.T) {
		// The short form offers four times what may wait, and more a second than any
		// machine computes: however slow this one was a moment ago.
		q := overload(t, offer{least: 200, rate: pick(1000.0, 0), during: pick(0, time.Minute)}, "--placement", "own", "--limits-mailbox-events", "50")
		if q.refused.Count() == 0 {
			t.Error("no request was refused")
		}
	})
	t.Run("Shared", func(t *testing.T) { overload(t, offer{during: pick(300*time.Millisecond, 5*time.Second)}) })
}

// offer is what is asked for: ten times what can be answered, but no fewer requests
// and no fewer a second than it says.
type offer struct {
	least  int
	rate   float64
	during time.Duration
}

func overload(t *testing.T, o offer, more ...string) *requests {
	t.Helper()
	s := start(t, more...)
	// Its transport is its own: connections are kept for those that come next, and
	// may be as many as wait.
	q := &requests{
		url:    "http://" + s.Addr + "/http/Burner/wanted?ms=10",
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}, Timeout: pick(2*time.Minute, 10*time.Minute)},
	}
	capacity := q.capacity(t)
	before := memory(t, s)
	stop := watchMemory(t, s, before, 256<<20)
	o.rate = max(o.rate, 10*capacity)
	took := q.offer(t.Context(), o)
	stop()
	t.Logf("%.0f a second can be answered: of %d in %v %d were, in p50 %v, p99 %v, at most %v, and %d were refused, in p99 %v",
		capacity, q.sent, took.Round(time.Millisecond), q.answered.Count(), q.answered.Quantile(0.5), q.answered.Quantile(0.99), q.answered.Quantile(1), q.refused.Count(), q.refused.Quantile(0.99))
	if len(q.wrong) > 0 {
		t.Errorf("%d requests were neither answered nor refused, the first: %s", len(q.wrong), q.wrong[0])
	}
	if q.answered.Count() == 0 {
		t.Error("no request was answered")
	}
	ended := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := e2e.Until(ctx, "the object answers again", func() (bool, error) { return q.ask(ctx) }); err != nil {
		t.Error(err)
	}
	t.Logf("answered again %v later", time.Since(ended).Round(time.Millisecond))
	answers(t, s, "after the overload")
	return q
}

// requests are those to one object that computes.
type requests struct {
	url    string
	client *http.Client
	sent   int

	mu                sync.Mutex // guards the following
	answered, refused load.Histogram
	wrong             []string
}

// ask says whether it was answered; if not, and there is no error, it was refused
// as it should be.
func (q *requests) ask(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", q.url, nil)
	if err != nil {
		return false, err
	}
	res, err := q.client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return false, err
	case res.StatusCode == http.StatusOK && string(text) == "10":
		return true, nil
	case res.StatusCode == http.StatusServiceUnavailable:
		return false, nil
	}
	return false, fmt.Errorf("status %d: %.200q", res.StatusCode, text)
}

// capacity is how many a second are answered if two are on the way.
func (q *requests) capacity(t *testing.T) float64 {
	t.Helper()
	const each = 8
	began := time.Now()
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range each {
				if ok, err := q.ask(t.Context()); !ok {
					t.Errorf("a request was not answered (%v)", err)
				}
			}
		})
	}
	all.Wait()
	return 2 * each / time.Since(began).Seconds()
}

// offer asks so many times a second, at times fixed beforehand, and waits until
// each has been answered somehow.
func (q *requests) offer(ctx context.Context, o offer) time.Duration {
	began := time.Now()
	var all sync.WaitGroup
	for ; ; q.sent++ {
		due := time.Duration(float64(q.sent) / o.rate * float64(time.Second))
		if due >= o.during && q.sent >= o.least {
			break
		}
		time.Sleep(due - time.Since(began))
		all.Go(func() {
			ok, err := q.ask(ctx)
			waited := time.Since(began) - due
			q.mu.Lock()
			defer q.mu.Unlock()
			switch {
			case err != nil:
				q.wrong = append(q.wrong, err.Error())
			case ok:
				q.answered.Add(waited, 1)
			default:
				q.refused.Add(waited, 1)
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

// watchMemory looks again and again, until stop is called, that the server does
// not hold that much more than before.
func watchMemory(t *testing.T, s *runtimes.Server, before, bound uint64) (stop func()) {
	t.Helper()
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		most := before
		for tick := time.Tick(200 * time.Millisecond); ; {
			if n := memory(t, s); n > most {
				most = n
			}
			select {
			case <-over:
				t.Logf("memory %d MB before, at most %d MB meanwhile", before>>20, most>>20)
				if most > before+bound {
					t.Errorf("%d MB more were held, want at most %d", (most-before)>>20, bound>>20)
				}
				return
			case <-tick:
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}
