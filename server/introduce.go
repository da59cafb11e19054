package server

import (
	"os"
	"slices"
	"sync"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// registry is a hibernation.Registry as a host.Registry: neither package knows
// the other.
type registry struct {
	*hibernation.Registry
	Transport
}

func (r registry) NewSet(to host.Recipient, hibernatable bool) host.Set {
	return r.Registry.NewSet(to, hibernatable)
}

func (r registry) Accept(t host.Set, s dormouse.SocketID, tags []string) error {
	return r.Registry.Accept(t.(*hibernation.Set), s, tags)
}

// SetPaused stops and resumes the reading of every client.
func (r registry) SetPaused(paused bool) {
	r.Registry.AllPaused(paused)
	r.Transport.SetPaused(paused)
}

func (r registry) Open(t host.Set, s dormouse.SocketID) error {
	return r.Registry.Open(t.(*hibernation.Set), s)
}

// introduced is a shard that also notes which guests were its own.
type introduced struct {
	*host.Shard
	guests *incarnations
	held   *os.File
	wall   *wallClock
}

func (i *introduced) Held() *os.File { return i.held }

func (i *introduced) Ready(g guest.Guest, r guest.Ready) {
	i.guests.add(g.Incarnation())
	i.wall.tell(g)
	i.Shard.Ready(g, r)
}

// incarnations are the guests that a shard has had: their sockets may live
// longer than they.
type incarnations struct {
	mu   sync.Mutex // guards the following
	list []uint32   // rising
}

// add may be told of them in any order: a spare guest takes over long after it
// was started, and those started since may have been ready before.
func (i *incarnations) add(n uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if at, there := slices.BinarySearch(i.list, n); !there {
		i.list = slices.Insert(i.list, at, n)
	}
}

func (i *incarnations) has(n uint32) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	_, ok := slices.BinarySearch(i.list, n)
	return ok
}

// outside answers what guests ask of targets that are no objects.
type outside struct {
	assets  *edge.Inside
	hooks   func() hooks
	shelves *shelves
}

func (o outside) Ask(to guest.Target, r *guest.Request, a host.Answer) host.Asker {
	switch to.Kind {
	case guest.ToAssets:
		return o.assets.Ask(r, a)
	case guest.ToTests:
		return o.hooks().ask(to, r, a)
	case guest.ToKV, guest.ToR2:
		return o.shelves.ask(to, r, a)
	}
	a.Failure(&dormouse.Error{Message: "This server does not have what the binding leads to."})
	return nobody{}
}

type nobody struct{}

func (nobody) Body([]byte)      {}
func (nobody) BodyEnd()         {}
func (nobody) BodyAbort(string) {}
func (nobody) Credit(uint32)    {}
func (nobody) Cancel(string)    {}
