package dormousetest_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/dormousetest"
)

// egg is an object that rings when it is done.
type egg struct{ state *dormouse.State }

func newEgg(s *dormouse.State, _ struct{}) (*egg, error) { return &egg{s}, nil }

func (o *egg) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := o.state.AcceptWebSocket(w, r); err == nil {
		o.state.Storage().SetAlarm(time.Now().Add(6 * time.Minute))
	}
}

func (o *egg) Alarm(context.Context, dormouse.AlarmInfo) error {
	for ws := range o.state.WebSockets() {
		ws.SendText("done")
	}
	return nil
}

// Six minutes, a crash and a sleep, in a millisecond: in a bubble of synctest time
// is the test's own.
func testEgg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := dormousetest.New(t)
		breakfast := s.Define(dormouse.NewClass("Egg", newEgg, struct{}{})).ByName("breakfast")
		cook := s.Dial(breakfast, "/")
		s.Hibernate(breakfast) // out of memory; the socket stays
		s.Crash(breakfast)     // as the death of the process would
		time.Sleep(6 * time.Minute)
		if got := cook.Text(); got != "done" {
			t.Errorf("got %q, want that it is done", got)
		}
		if n := s.Constructions("Egg"); n != 2 {
			t.Errorf("constructed %d times, want once for the cook and once for the alarm", n)
		}
	})
}

func TestEgg(t *testing.T) { testEgg(t) }

// A test of an object that waits six minutes.
func ExampleNew() {
	var t *testing.T // of func TestEgg(t *testing.T)
	if t != nil {
		testEgg(t)
	}
}
