package server

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"testing"
	"time"
)

// TestFewDescriptorsLeft: an upgrade on a connection with a high number is
// refused, and the client is told when to come back; other requests are served.
func TestFewDescriptorsLeft(t *testing.T) {
	for _, c := range []struct {
		what        string
		descriptors int
		memory      uint64
		status      int
	}{
		{"with room", 1 << 20, 1 << 40, http.StatusOK},
		{"without limits", 0, 0, http.StatusOK},
		{"with few descriptors left", 1, 0, http.StatusServiceUnavailable},
		{"with little memory left", 0, 1, http.StatusServiceUnavailable},
	} {
		t.Run(c.what, func(t *testing.T) {
			room := &capacity{descriptors: c.descriptors, memory: c.memory}
			h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if room.full(r.Context()) {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			h.Config.ConnContext = room.note
			h.Start()
			defer h.Close()
			res, err := h.Client().Get(h.URL)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
		})
	}
}

func TestCapacityOfThisProcess(t *testing.T) {
	c := newCapacity()
	if c.full(t.Context()) || c.descriptors == 0 {
		t.Errorf("%+v is full at once, or without a limit", c)
	}
	old := debug.SetMemoryLimit(1 << 30)
	defer debug.SetMemoryLimit(old)
	if got := newCapacity().memory; got < 900<<20 || got >= 1<<30 {
		t.Errorf("%d bytes of a GiB may be used", got)
	}
	// What has no descriptor is not marked.
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if ctx := (&capacity{descriptors: 1}).note(context.Background(), a); ctx.Value(crowdedKey{}) != nil {
		t.Error("a pipe is marked")
	}
	if (&capacity{memory: 1 << 40}).short(time.Now()) {
		t.Error("short of a terabyte")
	}
}
