package observe

import "sync/atomic"

// Bell wakes somebody who sleeps while nothing happens. To ring it costs a look
// at a word while nobody sleeps. The zero value is nobody's; a nil one can be
// rung.
type Bell struct {
	wanted atomic.Bool
	rung   chan struct{} // holds one; set once, before use
}

// NewBell makes a bell that somebody may listen for.
func NewBell() *Bell { return &Bell{rung: make(chan struct{}, 1)} }

// Ring tells that something has happened. Any goroutine; it never waits.
func (b *Bell) Ring() {
	if b != nil && b.wanted.Load() {
		b.ring()
	}
}

func (b *Bell) ring() {
	if b.wanted.Swap(false) {
		select {
		case b.rung <- struct{}{}:
		default: // it was rung before, and nobody has come yet
		}
	}
}

// Listen returns what receives when something happens from now on, or has happened
// since Listen was called before and nobody has received.
func (b *Bell) Listen() <-chan struct{} {
	b.wanted.Store(true)
	return b.rung
}
