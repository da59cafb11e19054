package edge

import (
	"net/netip"
	"sync"
	"time"
)

// maxClients bounds the addresses that are remembered. Past it those that have
// not used up anything are forgotten, then any.
const maxClients = 1 << 16

// Clients bounds how many handshakes of WebSockets one address may begin: a
// second's worth at once, and then so many a second. Addresses of IPv6 count by
// their /64, which is what one customer has. Use NewClients.
type Clients struct {
	rate float64 // a second
	now  func() time.Time

	mu sync.Mutex // guards the following
	of map[netip.Addr]bucket
}

// bucket is what an address may still use, as of a time.
type bucket struct {
	left float64
	at   time.Time
}

// NewClients allows rate handshakes a second.
func NewClients(rate int) *Clients {
	return &Clients{rate: float64(rate), now: time.Now, of: make(map[netip.Addr]bucket)}
}

// Allow says whether an address may begin another one, and counts it. A text
// that is no address shares one bucket with all others.
func (c *Clients) Allow(address string) bool {
	a, err := netip.ParseAddr(address)
	if err == nil && a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	b, known := c.of[a]
	if !known {
		c.makeRoomLocked(now)
		b = bucket{c.rate, now}
	}
	b = c.filled(b, now)
	ok := b.left >= 1
	if ok {
		b.left--
	}
	c.of[a] = b
	return ok
}

// filled is a bucket as of now.
func (c *Clients) filled(b bucket, now time.Time) bucket {
	passed := max(0, now.Sub(b.at).Seconds())
	return bucket{min(c.rate, b.left+passed*c.rate), now}
}

func (c *Clients) makeRoomLocked(now time.Time) {
	if len(c.of) < maxClients {
		return
	}
	for a, b := range c.of {
		if c.filled(b, now).left >= c.rate {
			delete(c.of, a)
		}
	}
	for a := range c.of { // whom the map names first
		if len(c.of) < maxClients {
			return
		}
		delete(c.of, a)
	}
}
