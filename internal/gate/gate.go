// Package gate decides whether something that an object said may leave yet. It
// knows numbers of commits, and never sees what leaves, a socket or a disk.
package gate

// DefaultLimit is how many bytes may wait at one gate.
const DefaultLimit = 64 << 20

// Output is the output gate of one object. It belongs to the object, not to a
// turn or an activation: an output waits for every commit that the object made
// before it, whichever turn made it. The zero value is open.
//
// Invariant: durable <= committed, and held is empty when they are equal,
// except while Durable lets it out.
type Output struct {
	committed uint64
	durable   uint64
	held      []held // in the order in which they came; behind is never falling
	bytes     int
}

type held struct {
	behind  uint64
	size    int
	release func()
}

// Commit tells that the object has made another commit and returns its number,
// which counts from 1.
func (g *Output) Commit() uint64 {
	g.committed++
	return g.committed
}

// Committed is the number of the last commit.
func (g *Output) Committed() uint64 { return g.committed }

// Open says whether what the object says now may leave at once.
func (g *Output) Open() bool { return g.durable == g.committed && len(g.held) == 0 }

// Bytes is how much waits.
func (g *Output) Bytes() int { return g.bytes }

// Hold keeps an output until every commit so far is durable. It may only be
// called while the gate is closed. release owns what it needs.
func (g *Output) Hold(size int, release func()) {
	g.bytes += size
	g.held = append(g.held, held{g.committed, size, release})
}

// Durable tells that all commits up to n are on disk, and lets out what waited
// for them, in order. A release may itself close the gate again or hold more.
func (g *Output) Durable(n uint64) {
	g.durable = max(g.durable, min(n, g.committed))
	for len(g.held) > 0 && g.held[0].behind <= g.durable {
		h := g.held[0]
		g.held[0] = held{}
		g.held = g.held[1:]
		g.bytes -= h.size
		h.release()
	}
	if len(g.held) == 0 {
		g.held = nil
	}
}

// Drop forgets everything that waits: the commits in front of it have failed
// and the object is being reset. The gate is open afterwards.
func (g *Output) Drop() {
	g.durable = g.committed
	g.held = nil
	g.bytes = 0
}
