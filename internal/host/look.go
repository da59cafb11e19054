package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/object"
)

// Info is an object as people see it.
type Info struct {
	Key     dormouse.Key
	Class   string
	Name    string
	HasName bool
	State   string // active, idle, hibernated, inactive, broken
	Sockets int
	Mail    int
	Tasks   int
	Since   time.Time // in memory since; zero when it is not
	Guest   uint32
	Place   guest.Place // where it runs, if that is kept apart
	Version int         // of the code that it runs; 0: not in memory, or none is kept
	Waiting int         // bytes at the output gate
	// How often in a row its code ended its guest or had to be ended, and until
	// when it is not started because of it.
	GuestDeaths   int
	IsolatedUntil time.Time
	Set           Set // its sockets; nil if it has none. Use it on the loop only
}

// List describes every object that the shard knows. On the loop.
func (s *Shard) List() []Info {
	list := make([]Info, 0, len(s.objects))
	for _, o := range s.objects {
		list = append(list, o.info())
	}
	for k, b := range s.blamed {
		if s.objects[k] == nil && s.isolated(k) > 0 {
			list = append(list, s.blameOn(b.Info))
		}
	}
	return list
}

// Versions counts the objects in memory by the version of the code that they
// run. On the loop.
func (s *Shard) Versions() map[int]int {
	counts := make(map[int]int)
	for _, l := range s.lives {
		counts[l.code.version] += len(l.activations)
	}
	return counts
}

// Look describes one object; ok is false when it is neither in memory nor has
// sockets nor is isolated. On the loop.
func (s *Shard) Look(k dormouse.Key) (i Info, ok bool) {
	o := s.objects[k]
	if o == nil {
		b := s.blamed[k]
		if b == nil || s.isolated(k) == 0 {
			return Info{}, false
		}
		return s.blameOn(b.Info), true
	}
	return o.info(), true
}

func (o *resident) info() Info {
	i := Info{
		Key: o.key, Class: o.shard.Classes[o.class].Name, Name: o.name, HasName: o.hasName,
		State: o.state(), Mail: len(o.mail), Tasks: o.m.Tasks(), Waiting: o.gate.Bytes(), Set: o.set,
	}
	if o.set != nil {
		i.Sockets = o.set.Len()
	}
	if o.live != nil {
		i.Since, i.Guest = o.live.since, o.guest.Incarnation()
		if l := o.shard.lives[o.guest]; l != nil {
			i.Version, i.Place = l.code.version, l.place.name
		}
	}
	return o.shard.blameOn(i)
}

// state is the word that people use.
func (o *resident) state() string {
	switch {
	case o.m.State() == object.Broken:
		return "broken"
	case o.live == nil && o.set != nil && o.set.Len() > 0:
		return "hibernated"
	case o.live == nil:
		return "inactive"
	case o.m.Idle():
		return "idle"
	}
	return "active"
}

// Why asks the guest what keeps an object in memory; done gets its report as
// JSON, or nil when the object is not in memory. forget gives the question up: a
// guest may never answer. On the loop.
func (s *Shard) Why(k dormouse.Key, done func([]byte)) (forget func()) {
	o := s.objects[k]
	if o == nil || o.live == nil {
		done(nil)
		return func() {}
	}
	s.lastQuery++
	n := s.lastQuery
	s.queries[n] = query{o.guest, done}
	o.guest.Why(n, o.num)
	return func() { delete(s.queries, n) }
}

// Report is the guest's answer to Why.
func (s *Shard) Report(g guest.Guest, n uint32, report []byte) {
	if q := s.queries[n]; q.guest == g && q.done != nil {
		delete(s.queries, n)
		q.done(report)
	}
}

// query is a question that a guest has not answered yet. Its end answers it.
type query struct {
	guest guest.Guest
	done  func([]byte)
}

// Hibernate asks for an object to leave memory now: if it is idle, or with
// force if only no event is in progress. done learns whether it has left. On
// the loop.
func (s *Shard) Hibernate(k dormouse.Key, force bool, done func(gone bool)) {
	o := s.objects[k]
	if o == nil || o.live == nil {
		done(true)
		return
	}
	if o.m.State() != object.Active || !o.m.Quiet() {
		done(false)
		return
	}
	mode := guest.IfIdle
	if force {
		mode = guest.IfQuiet
	}
	o.live.settled = append(o.live.settled, done)
	o.settle(mode)
}

// Stats returns the counts since the shard began. On the loop.
func (s *Shard) Stats() Stats { return s.stats }

// InProgress counts the exchanges and sessions that guests have not ended, those that they
// have begun, and the questions that they have not answered. On the loop.
func (s *Shard) InProgress() (calls, asks, queries int) {
	for _, l := range s.lives {
		calls += len(l.calls)
		asks += len(l.asks)
		calls += len(l.sessions)
	}
	return calls, asks, len(s.queries)
}
