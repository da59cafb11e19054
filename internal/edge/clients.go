package edge

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

// maxClients bounds the addresses that are remembered. Past it those that have
// not used up anything are forgotten, then any that has no socket.
const maxClients = 1 << 16

// ClientLimits are what one address may do; 0 is without limit.
type ClientLimits struct {
	Handshakes int // of WebSockets, a second
	Sockets    int // that are open
	Messages   int // over all of its sockets, a second
}

// Clients keeps the limits of addresses. Of what has a rate, a second's worth may
// come at once. Addresses of IPv6 count by their /64, which is what one customer
// has; a text that is no address shares one place with all others. Its methods
// may be called on any goroutine. Use NewClients.
type Clients struct {
	limits ClientLimits
	now    func() time.Time

	mu sync.Mutex // guards the following, and all accounts
	of map[netip.Addr]*account
}

// account is one address.
type account struct {
	address              netip.Addr // invalid: whatever is none
	handshakes, messages bucket
	sockets              int
}

// bucket is what may still be used, as of a time.
type bucket struct {
	left float64
	at   time.Time
}

// filled is a bucket as of now. A clock that was set back gives nothing.
func (b bucket) filled(rate int, now time.Time) bucket {
	passed := max(0, now.Sub(b.at).Seconds())
	return bucket{min(float64(rate), b.left+passed*float64(rate)), now}
}

// NewClients returns nil when nothing is limited.
func NewClients(l ClientLimits) *Clients {
	if l == (ClientLimits{}) {
		return nil
	}
	return &Clients{limits: l, now: time.Now, of: make(map[netip.Addr]*account)}
}

// Enter asks for a WebSocket for an address; nil means that it may not have one
// now, and has cost it nothing. The Lease is to be given back.
func (c *Clients) Enter(address string) *Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	l := &c.limits
	k := c.accountLocked(address, now)
	if l.Sockets > 0 && k.sockets >= l.Sockets {
		return nil
	}
	if l.Handshakes > 0 {
		k.handshakes = k.handshakes.filled(l.Handshakes, now)
		if k.handshakes.left < 1 {
			return nil
		}
		k.handshakes.left--
	}
	k.sockets++
	return &Lease{clients: c, account: k}
}

// Moved counts a WebSocket that another process has let in, whatever the limits
// say of it. address is what Lease.Client said there.
func (c *Clients) Moved(address string) *Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.accountLocked(address, c.now())
	k.sockets++
	return &Lease{clients: c, account: k}
}

func (c *Clients) accountLocked(address string, now time.Time) *account {
	a, err := netip.ParseAddr(address)
	if err == nil && a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	k := c.of[a]
	if k == nil {
		c.makeRoomLocked(now)
		k = &account{
			address:    a,
			handshakes: bucket{float64(c.limits.Handshakes), now}, messages: bucket{float64(c.limits.Messages), now},
		}
		c.of[a] = k
	}
	return k
}

func (c *Clients) makeRoomLocked(now time.Time) {
	if len(c.of) < maxClients {
		return
	}
	rested := func(b bucket, rate int) bool { return b.filled(rate, now).left >= float64(rate) }
	for a, k := range c.of {
		if k.sockets == 0 && rested(k.handshakes, c.limits.Handshakes) && rested(k.messages, c.limits.Messages) {
			delete(c.of, a)
		}
	}
	for a, k := range c.of { // whom the map names first
		if len(c.of) < maxClients {
			return
		}
		if k.sockets == 0 {
			delete(c.of, a)
		}
	}
}

// Lease is a place for one WebSocket of an address. It is the ws.Meter of its
// connection.
type Lease struct {
	clients *Clients
	account *account
	once    sync.Once
}

// maxSilence bounds what a message may cost its client, so that a Close behind it
// is still read.
const maxSilence = time.Second

// Message counts one that has come, and says for how long nothing more is to be
// read of this socket so that the address keeps its rate.
func (l *Lease) Message() time.Duration {
	c := l.clients
	rate := c.limits.Messages
	if rate == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &l.account.messages
	*b = b.filled(rate, c.now())
	if b.left--; b.left >= 0 {
		return 0
	}
	// Other sockets of the address may add to the debt; together they pay it.
	b.left = math.Max(b.left, -float64(rate))
	return min(maxSilence, time.Duration(-b.left/float64(rate)*float64(time.Second)))
}

// Client implements ws.Meter: the address, or of IPv6 its /64.
func (l *Lease) Client() string {
	if !l.account.address.IsValid() {
		return ""
	}
	return l.account.address.String()
}

// Done gives the place back. It may be called more than once.
func (l *Lease) Done() {
	if l == nil {
		return
	}
	l.once.Do(func() {
		l.clients.mu.Lock()
		defer l.clients.mu.Unlock()
		l.account.sockets--
	})
}
