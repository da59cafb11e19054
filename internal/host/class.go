package host

import "time"

// ClassStats is what the objects of one class have cost, and what their
// hibernation has saved, since the shard began.
type ClassStats struct {
	Name           string
	Wakes          uint64
	Constructions  uint64
	Constructor    time.Duration // sum
	ConstructorMax time.Duration

	InMemory   int           // objects, now
	Hibernated int           // with sockets, now
	Memory     time.Duration // object-time spent in memory
	Saved      time.Duration // object-time spent hibernated, with sockets
}

// account is a ClassStats and the time up to which it counts. It costs nothing
// but when an object wakes or sleeps.
type account struct {
	ClassStats
	until time.Time
}

// advance counts the time that has passed.
func (a *account) advance(now time.Time) {
	if passed := now.Sub(a.until); !a.until.IsZero() && passed > 0 {
		a.Memory += time.Duration(a.InMemory) * passed
		a.Saved += time.Duration(a.Hibernated) * passed
	}
	a.until = now
}

func (a *account) constructed(took time.Duration) {
	a.Constructions++
	a.Constructor += took
	a.ConstructorMax = max(a.ConstructorMax, took)
}

// account is that of the object's class, up to now.
func (o *resident) account() *account {
	a := &o.shard.accounts[o.class]
	a.advance(o.shard.Loop.Now())
	return a
}

// woke counts an object that comes into memory.
func (o *resident) woke() {
	o.leftDoze()
	a := o.account()
	a.Wakes++
	a.InMemory++
}

// slept counts an object that has left memory.
func (o *resident) slept() {
	a := o.account()
	a.InMemory--
	if o.set != nil && o.set.Len() > 0 {
		o.dozes = true
		a.Hibernated++
	}
}

// leftDoze counts an object that is not hibernated any more, if it was. Pairs
// with slept.
func (o *resident) leftDoze() {
	if o.dozes {
		o.dozes = false
		o.account().Hibernated--
	}
}

// ClassStats returns the costs of each class, in the order of Config.Classes. On
// the loop.
func (s *Shard) ClassStats() []ClassStats {
	list := make([]ClassStats, len(s.accounts))
	for i := range s.accounts {
		s.accounts[i].advance(s.Loop.Now())
		list[i] = s.accounts[i].ClassStats
		list[i].Name = s.Classes[i].Name
	}
	return list
}
