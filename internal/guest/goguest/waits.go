package goguest

import (
	"sync"

	"github.com/dormouse-dev/dormouse"
)

// Waits knows which objects wait for which others, so that a circle is found
// before it closes. One serves all guests of a server.
type Waits struct {
	mu sync.Mutex // guards the following
	of map[dormouse.Key][]*wait
}

// wait is a handler that keeps its object while it waits for another.
type wait struct {
	e  *event
	on dormouse.Key
}

// begin notes that e, which has its object, waits for another. It returns false
// if the other one waits for this one, over however many others.
func (w *Waits) begin(e *event, on dormouse.Key) (*wait, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leadsTo(on, e.i.key, make(map[dormouse.Key]bool)) {
		return nil, false
	}
	if w.of == nil {
		w.of = make(map[dormouse.Key][]*wait)
	}
	n := &wait{e, on}
	w.of[e.i.key] = append(w.of[e.i.key], n)
	return n, true
}

// leadsTo says whether from is to, or waits for it.
func (w *Waits) leadsTo(from, to dormouse.Key, seen map[dormouse.Key]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, n := range w.of[from] {
		if n.e.has() && w.leadsTo(n.on, to, seen) {
			return true
		}
	}
	return false
}

// ended pairs with begin. It may be called again, and with nil.
func (w *Waits) ended(n *wait) {
	if n == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := n.e.i.key
	list := w.of[k]
	for i, other := range list {
		if other == n {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		delete(w.of, k)
	} else {
		w.of[k] = list
	}
}
