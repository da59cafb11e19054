package edge

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestHandshakesOfOneAddressHaveARate(t *testing.T) {
	now := time.Unix(0, 0)
	c := NewClients(5)
	c.now = func() time.Time { return now }
	allowed := func(address string, tries int) (n int) {
		for range tries {
			if c.Allow(address) {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		pass    time.Duration
		address string
		want    int
	}{
		{0, "192.0.2.1", 5},
		{0, "192.0.2.1", 0},
		{0, "192.0.2.2", 5},
		{time.Second / 5, "192.0.2.1", 1},
		{time.Hour, "192.0.2.1", 5},
		{-time.Hour, "192.0.2.1", 0}, // a clock that is set back gives nothing
		{0, "2001:db8::1", 5},
		{0, "2001:db8::2", 0}, // the same customer
		{0, "2001:db8:0:1::1", 5},
		{0, "no address", 5},
	} {
		now = now.Add(step.pass)
		if got := allowed(step.address, 20); got != step.want {
			t.Errorf("after %v %s: got %d, want %d", step.pass, step.address, got, step.want)
		}
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	now := time.Unix(0, 0)
	c := NewClients(1)
	c.now = func() time.Time { return now }
	for i := range maxClients + 10 {
		c.Allow(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	if len(c.of) > maxClients {
		t.Errorf("%d addresses are remembered", len(c.of))
	}
	now = now.Add(time.Minute)
	c.Allow("192.0.2.1")
	if len(c.of) != 1 {
		t.Errorf("%d addresses are remembered though all but one have rested", len(c.of))
	}
}

func TestFrontRefusesHandshakesPastTheRate(t *testing.T) {
	f := &Front{Clients: NewClients(1)}
	front(t, f, func(c *call) { c.text(200, "ok") })
	var got []int
	for _, upgrade := range []bool{true, true, false} {
		r := httptest.NewRequest("GET", "/", nil)
		if upgrade {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		got = append(got, w.Code)
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if want := []int{200, 429, 200}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
