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
	c := NewClients(ClientLimits{Handshakes: 5})
	c.now = func() time.Time { return now }
	allowed := func(address string, tries int) (n int) {
		for range tries {
			if l := c.Enter(address); l != nil {
				l.Done()
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
	c := NewClients(ClientLimits{Handshakes: 1})
	c.now = func() time.Time { return now }
	for i := range maxClients + 10 {
		c.Enter(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)).Done()
	}
	if len(c.of) > maxClients {
		t.Errorf("%d addresses are remembered", len(c.of))
	}
	now = now.Add(time.Minute)
	c.Enter("192.0.2.1").Done()
	if len(c.of) != 1 {
		t.Errorf("%d addresses are remembered though all but one have rested", len(c.of))
	}
}

func TestFrontRefusesHandshakesPastTheRate(t *testing.T) {
	f := &Front{Clients: NewClients(ClientLimits{Handshakes: 1})}
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

func TestSocketsOfOneAddressAreCounted(t *testing.T) {
	c := NewClients(ClientLimits{Sockets: 2})
	first, second := c.Enter("192.0.2.1"), c.Enter("192.0.2.1")
	if first == nil || second == nil || c.Enter("192.0.2.1") != nil {
		t.Error("an address may have two sockets, and no third")
	}
	if other := c.Enter("192.0.2.2"); other == nil {
		t.Error("another address has none because of the first")
	}
	first.Done()
	first.Done() // once
	if c.Enter("192.0.2.1") == nil || c.Enter("192.0.2.1") != nil {
		t.Error("the place that was given back is one place")
	}
}

// TestRefusedHandshakesCostNothing: an address that has all its sockets may open
// one as soon as another ends, however often it has tried in between. Behind Steps
// each try is asked about twice.
func TestRefusedHandshakesCostNothing(t *testing.T) {
	now := time.Unix(0, 0)
	c := NewClients(ClientLimits{Handshakes: 2, Sockets: 1})
	c.now = func() time.Time { return now }
	only := c.Enter("192.0.2.1")
	for range 10 {
		if c.Enter("192.0.2.1") != nil {
			t.Fatal("an address that may have one socket has two")
		}
	}
	only.Done()
	if c.Enter("192.0.2.1") == nil {
		t.Error("what was refused has used up the rate")
	}
}

// TestSocketsThatMoveAreCounted although there may be more of them than the limit
// says: another process has let them in.
func TestSocketsThatMoveAreCounted(t *testing.T) {
	c := NewClients(ClientLimits{Sockets: 1})
	for _, address := range []string{"192.0.2.1", "2001:db8::1", "no address"} {
		l := NewClients(ClientLimits{Sockets: 1}).Enter(address)
		a, b := c.Moved(l.Client()), c.Moved(l.Client())
		a.Done()
		if c.Enter(address) != nil {
			t.Errorf("%s has a second socket", address)
		}
		b.Done()
		if c.Enter(address) == nil {
			t.Errorf("%s has none, and may have one", address)
		}
	}
}

// TestMessagesOfOneAddressHaveARate: a second's worth at once, then the debt of
// all of its sockets together is paid with silence.
func TestMessagesOfOneAddressHaveARate(t *testing.T) {
	now := time.Unix(0, 0)
	c := NewClients(ClientLimits{Messages: 10})
	c.now = func() time.Time { return now }
	one, two := c.Enter("192.0.2.1"), c.Enter("192.0.2.1")
	for i := range 10 {
		if d := []*Lease{one, two}[i%2].Message(); d != 0 {
			t.Fatalf("message %d costs %v", i, d)
		}
	}
	if a, b := one.Message(), two.Message(); a != 100*time.Millisecond || b != 200*time.Millisecond {
		t.Errorf("the first two too many cost %v and %v", a, b)
	}
	for range 1000 {
		if d := one.Message(); d > maxSilence {
			t.Fatalf("a message costs %v", d)
		}
	}
	now = now.Add(2 * time.Second)
	if d := two.Message(); d != 0 {
		t.Errorf("a message after two seconds costs %v", d)
	}
	if d := c.Enter("192.0.2.2").Message(); d != 0 {
		t.Errorf("a message of another address costs %v", d)
	}
}

// TestPlaceIsGivenBack when no socket comes of a handshake.
func TestPlaceIsGivenBack(t *testing.T) {
	f := &Front{Clients: NewClients(ClientLimits{Sockets: 1})}
	front(t, f, func(c *call) { c.text(200, "no socket") })
	for range 3 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		w := httptest.NewRecorder()
		if f.ServeHTTP(w, r); w.Code != 200 {
			t.Fatalf("status %d", w.Code)
		}
	}
}
