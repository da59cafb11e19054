package e2e

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/observe/tail"
	"github.com/dormouse-dev/dormouse/server"
)

// still is an object that does nothing.
type still struct{}

func (still) ServeHTTP(http.ResponseWriter, *http.Request) {}

// TestClockJumpIsSeen: the clock of this machine is not ours to set, so the
// server is given another, and what is looked at is real.
func TestClockJumpIsSeen(t *testing.T) {
	var set atomic.Int64
	began := time.Now()
	s := &server.Server{Config: server.Config{
		Log: slog.New(tail.New(slog.DiscardHandler)),
		Parts: &server.Parts{Clock: func() (time.Time, time.Duration) {
			now := time.Now()
			return now.Round(0).Add(time.Duration(set.Load())), now.Sub(began)
		}},
	}}
	s.Define(dormouse.NewClass("Still", func(*dormouse.State, struct{}) (*still, error) { return new(still), nil }, struct{}{}))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	h := httptest.NewServer(s.AdminHandler(admin.Options{}))
	t.Cleanup(h.Close)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.WatchHealth(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	w := watch(t, h.URL)
	set.Store(int64(-time.Hour))
	err := Until(t.Context(), "/readyz warns", func() (bool, error) {
		resp, err := http.Get(h.URL + "/readyz")
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode == http.StatusOK && strings.Contains(string(b), "clock jumped by -1h0m0s"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sees(true, "clock jumped by -1h0m0s", "clock jumped by -1h0m0s")
}
