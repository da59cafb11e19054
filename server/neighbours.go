package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// Neighbours are servers of one process that reach each other by their names:
// what the guests of one may call at another, their bindings say. Each has its
// own data folder, guests and loops; they move to another process together, and
// stop together. The zero value has none.
type Neighbours struct {
	guests atomic.Uint32 // the last incarnation, of all: sockets are found by it
	rest   sync.Once     // done when the first of them stops

	mu   sync.RWMutex // guards the following
	list []*Server    // in the order in which they were made
}

// add makes a server one of them, when its loops are there.
func (n *Neighbours) add(s *Server) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range n.list {
		if other.Name == s.Name {
			return fmt.Errorf("there is a server with the name %q already", s.Name)
		}
	}
	n.list = append(n.list, s)
	return nil
}

// all lists them.
func (n *Neighbours) all() []*Server {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return slices.Clone(n.list)
}

// first is the one that the clients of all of them come to.
func (n *Neighbours) first() *Server {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.list[0]
}

// shards are those of all of them.
func (n *Neighbours) shards() (list []*shard) {
	for _, s := range n.all() {
		list = append(list, s.shards...)
	}
	return list
}

// named finds one of them; nil: there is none.
func (n *Neighbours) named(name string) *Server {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, s := range n.list {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// owner finds the one that has a namespace; nil: none has.
func (n *Neighbours) owner(ns dormouse.Namespace) *Server {
	for _, s := range n.all() {
		if _, _, ok := s.classIn(ns); ok {
			return s
		}
	}
	return nil
}

// home finds the registry of the guest that made a pair. It is asked for every
// socket that crosses loops.
func (n *Neighbours) home(incarnation uint32) *hibernation.Registry {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, s := range n.list {
		for _, sh := range s.shards {
			if sh.guests.has(incarnation) {
				return sh.registry
			}
		}
	}
	return nil
}

// neighbour is how the hosts of others find what this server has.
func (n *Neighbours) neighbour(name string) host.Neighbour {
	if s := n.named(name); s != nil {
		return neighbour{s}
	}
	return nil
}

type neighbour struct{ s *Server }

// Object implements host.Neighbour.
func (n neighbour) Object(k dormouse.Key) (*host.Shard, int, *dormouse.Error) {
	class, _, ok := n.s.classIn(k.Namespace)
	if !ok {
		return nil, 0, &dormouse.Error{Message: fmt.Sprintf("The Worker %s has no objects of the namespace %s: deploy the Worker that calls them again.", n.s.Name, k.Namespace)}
	}
	return n.s.route(k), class, nil
}

// Front implements host.Neighbour.
func (n neighbour) Front() (*host.Shard, *dormouse.Error) {
	if len(n.s.js) == 0 {
		return nil, &dormouse.Error{Message: fmt.Sprintf("The server %s has objects in Go only, which are reached by their namespaces.", n.s.Name)}
	}
	return n.s.turn().host, nil
}

// turn is a loop with guests, another one each time.
func (s *Server) turn() *shard { return s.js[int(s.next.Add(1))%len(s.js)] }

// finish lets handlers end, and puts every object of all of them to sleep: when
// the first one stops, for what runs in one may wait for what runs in another.
func (n *Neighbours) finish(ctx context.Context) {
	n.rest.Do(func() {
		var list []*shard
		for _, s := range n.all() {
			if s.begun.Load() {
				list = append(list, s.shards...)
			}
		}
		onEach(list, func(sh *shard) { sh.alarms.Stop() }) // what is due now runs after the next start
		onEach(list, func(sh *shard) { sh.host.StopClients() })
		until(ctx, quiet(list))
		onEach(list, func(sh *shard) { sh.host.PutToSleep() })
		until(ctx, func() bool { return asleep(list) })
		onEach(list, func(sh *shard) { sh.host.HearClients() }) // for what they answer to our Close
	})
}

// onEach runs f on each loop and waits.
func onEach(list []*shard, f func(*shard)) {
	for _, sh := range list {
		sh.loop.Call(func() { f(sh) })
	}
}

// beside are those beside this one, as a successor is told of them.
func (s *Server) beside() (list []handover.Worker) {
	for _, other := range s.Neighbours.all() {
		if other != s {
			list = append(list, handover.Worker{Name: other.Name, Data: other.Data})
		}
	}
	return list
}

// lockName is under which name the lock of a data folder goes to a successor.
func lockName(worker string, first bool) string {
	if first {
		return lockFile
	}
	return lockFile + ":" + worker
}

// lockName is that of this server, when the first hands over.
func (s *Server) lockName(first *Server) string { return lockName(s.Name, s == first) }

// counterpart is the Worker of the running process whose place one takes.
func counterpart(name string, first bool, theirs handover.Hello) (handover.Worker, error) {
	if first {
		if name != theirs.Worker {
			return handover.Worker{}, fmt.Errorf("the running server's Worker is %s, and this one's %s", theirs.Worker, name)
		}
		return handover.Worker{Name: name, Data: theirs.Data}, nil
	}
	for _, w := range theirs.Beside {
		if w.Name == name {
			return w, nil
		}
	}
	return handover.Worker{}, fmt.Errorf("the running server does not run the Worker %s: stop it and start this one to add a Worker", name)
}

// sameWorkers refuses to take over from a process that runs more than we do.
func (s *Server) sameWorkers(theirs handover.Hello) error {
	for _, w := range theirs.Beside {
		if s.Neighbours.named(w.Name) == nil {
			return fmt.Errorf("the running server runs the Worker %s too: stop it and start this one to leave a Worker out", w.Name)
		}
	}
	return nil
}
