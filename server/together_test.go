package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/observe/tail"
)

// twoWorkers are servers called one and two.
func twoWorkers(t *testing.T) *Neighbours {
	t.Helper()
	log := slog.New(tail.New(slog.DiscardHandler))
	n := new(Neighbours)
	for _, name := range []string{"one", "two"} {
		s, err := New(Config{Name: name, Neighbours: n, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Shutdown(context.Background()) })
	}
	return n
}

// TestWhoeverLooksWakesHealthOfAll: with several Workers too, somebody who follows
// the log, or finds that clients should not come, has every health.Watcher look.
func TestWhoeverLooksWakesHealthOfAll(t *testing.T) {
	n := twoWorkers(t)
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

// TestWhatIsOfOneWorkerIsAskedForByItsName: without it the answer says which there
// are.
func TestWhatIsOfOneWorkerIsAskedForByItsName(t *testing.T) {
	h := twoWorkers(t).AdminHandler(func(*Server) admin.Options { return admin.Options{} })
	for _, c := range []struct {
		method, path string
		named        int // the status with ?worker=two
	}{
		{"GET", "/api/kv", http.StatusOK},
		{"GET", "/api/kv/cache", http.StatusNotFound},
		{"PUT", "/api/kv/cache/value", http.StatusNotFound},
		{"DELETE", "/api/kv/cache/value", http.StatusNotFound},
		{"GET", "/api/r2", http.StatusOK},
		{"GET", "/api/r2/files/object", http.StatusNotFound},
		{"PUT", "/api/r2/files/object", http.StatusNotFound},
		{"GET", "/api/storage", http.StatusOK},
	} {
		for query, want := range map[string]string{"": "several Workers run here", "?worker=three": `there is no Worker \"three\" here`} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(c.method, "http://127.0.0.1"+c.path+query, nil))
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), "?worker=: one, two") {
				t.Errorf("%s %s: got %d %s, want 400 and which Workers there are", c.method, c.path+query, w.Code, w.Body)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, "http://127.0.0.1"+c.path+"?worker=two", nil))
		if w.Code != c.named {
			t.Errorf("%s %s of Worker two: got %d %s, want %d", c.method, c.path, w.Code, w.Body, c.named)
		}
	}
}
