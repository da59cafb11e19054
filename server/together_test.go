package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/observe/tail"
)

// TestWhoeverLooksWakesHealthOfAll: with several Workers too, somebody who follows
// the log, or finds that clients should not come, has every health.Watcher look.
func TestWhoeverLooksWakesHealthOfAll(t *testing.T) {
	log := slog.New(tail.New(slog.DiscardHandler))
	n := new(Neighbours)
	for _, name := range []string{"one", "two"} {
		s, err := New(Config{Name: name, Neighbours: n, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Shutdown(context.Background()) })
	}
	h := n.AdminHandler(func(*Server) admin.Options { return admin.Options{} })
	ask := func(path string, want int) {
		t.Helper()
		bells := make(map[string]<-chan struct{})
		for _, s := range n.all() {
			bells[s.Name] = s.bell.Listen()
		}
		gone, leave := context.WithCancel(t.Context())
		leave() // whoever follows the log
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(gone, "GET", "http://127.0.0.1"+path, nil))
		if w.Code != want {
			t.Errorf("GET %s: got %d %s, want %d", path, w.Code, w.Body, want)
		}
		for name, rung := range bells {
			select {
			case <-rung:
			default:
				t.Errorf("GET %s: the bell of Worker %s was not rung", path, name)
			}
		}
	}
	ask("/api/tail", http.StatusOK)
	ask("/api/tail?worker=two", http.StatusOK)
	ask("/readyz", http.StatusServiceUnavailable) // they have not begun
}
