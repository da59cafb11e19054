package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/observe/tail"
	"github.com/dormouse-dev/dormouse/server"
)

// TestPageWithManyObjects: the list, the search, the counts and the keys of the
// page, in a real browser, over a server that has 100,000 objects in memory. It
// logs how long its questions took.
func TestPageWithManyObjects(t *testing.T) {
	browser := need[string](t)(findBrowser())
	s := &server.Server{Config: server.Config{Log: slog.New(tail.New(slog.DiscardHandler)), HibernateAfter: time.Hour}}
	objects := s.Define(dormouse.NewClass("Still", func(*dormouse.State, struct{}) (*still, error) { return new(still), nil }, struct{}{}))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	wake := func(name string) {
		w := httptest.NewRecorder()
		if objects.ByName(name).ServeHTTP(w, httptest.NewRequest("GET", "/", nil)); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	const n, at = 100_000, 4
	var all sync.WaitGroup
	for i := range at {
		all.Go(func() {
			for j := i; j < n; j += at {
				wake(fmt.Sprintf("object %06d", j))
			}
		})
	}
	all.Wait()

	// Beside the page there is one path more, by which another object is woken.
	mux := http.NewServeMux()
	mux.Handle("/", s.AdminHandler(admin.Options{}))
	mux.HandleFunc("POST /wake-another", func(http.ResponseWriter, *http.Request) { wake("one more") })
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	shots := filepath.Join(root(t), "artefacts", t.Name())
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	drive(t, Target{URL: h.URL}, "many.mjs", "", "CHROMIUM="+browser, "SCREENSHOTS="+shots, "ADMIN="+h.URL)
	times, err := os.ReadFile(filepath.Join(shots, "times.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ms: %s", times)
}
