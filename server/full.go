package server

import (
	"context"
	"crypto/tls"
	"math"
	"net"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// crowdedKey marks the connections that were accepted when few descriptors were
// left.
type crowdedKey struct{}

// capacity says whether there is room for another WebSocket: a refused client
// comes back later, and what is connected stays. The zero value has none of its
// own limits.
type capacity struct {
	descriptors int    // when this one is the lowest that is free, it is too many; 0: any
	memory      uint64 // bytes; 0: any

	mu      sync.Mutex // guards the following
	looked  time.Time
	crowded bool // as of then
}

// Which part of descriptors and of memory is kept for what must not fail: guests,
// databases, requests.
const (
	spareDescriptors = 40 // a fortieth
	spareMemory      = 20 // a twentieth
)

// newCapacity reads the limits of this process: of its descriptors, and of the
// memory of the Go runtime, if it has one (GOMEMLIMIT).
func newCapacity() *capacity {
	c := new(capacity)
	if most := mostDescriptors(); most > 0 {
		c.descriptors = most - max(most/spareDescriptors, min(64, most/2))
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		c.memory = uint64(limit - limit/spareMemory)
	}
	return c
}

// note marks a connection that is accepted with few descriptors left.
func (c *capacity) note(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok || c.descriptors == 0 {
		return ctx
	}
	if bare, ok := conn.(ws.Bare); ok && bare.Descriptor() >= 0 && bare.Descriptor() < c.descriptors {
		return ctx // it was the lowest itself when it came, a moment ago
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return ctx
	}
	high := false
	raw.Control(func(fd uintptr) { high = lowestFree(fd) >= c.descriptors })
	if high {
		return context.WithValue(ctx, crowdedKey{}, true)
	}
	return ctx
}

// full says whether the connection of a request has to be refused as a WebSocket.
func (c *capacity) full(ctx context.Context) bool {
	return ctx.Value(crowdedKey{}) != nil || c.memory > 0 && c.short(time.Now())
}

// lookEvery is how often the use of memory is looked at, which costs some
// microseconds.
const lookEvery = 100 * time.Millisecond

// short says whether little memory is left.
func (c *capacity) short(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) >= lookEvery {
		c.looked = now
		use := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(use)
		c.crowded = use[0].Value.Uint64()-use[1].Value.Uint64() > c.memory
	}
	return c.crowded
}
