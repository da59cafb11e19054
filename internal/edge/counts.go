package edge

import "sync/atomic"

// Counts is what became of the requests of clients. Its methods may be called on
// any goroutine.
type Counts struct{ of [outcomes]atomic.Uint64 }

type outcome uint8

const (
	countAssets   outcome = iota // answered with a file
	countAnswered                // by the Worker
	countUpgraded                // with a socket
	countFailed                  // in the Worker
	countRefused                 // before the Worker, or while it was asked
	countLeft                    // the client did not wait
	countFull                    // an upgrade, as there was no room for a socket
	countTooMany                 // an upgrade, past limits.client_handshakes
	outcomes      = iota
)

func (o outcome) String() string {
	return [...]string{"asset", "answered", "upgraded", "failed", "refused", "left", "full", "too many"}[o]
}

func (c *Counts) count(o outcome) {
	if c != nil {
		c.of[o].Add(1)
	}
}

// All returns the counts by name.
func (c *Counts) All() map[string]uint64 {
	all := make(map[string]uint64, outcomes)
	for o := range outcome(outcomes) {
		all[o.String()] = c.of[o].Load()
	}
	return all
}
