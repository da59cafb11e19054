package host

import (
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/observe"
)

// Places starts guests for parts of a shard that are kept apart. Package
// nodeguest has one. Methods do not wait.
type Places interface {
	// Want has a guest started for a place; Ready and Unfit tell of it.
	Want(guest.Place)
	// Leave pairs with Want. It ends the guest, whatever runs in it.
	Leave(guest.Place)
}

// ownPrefix begins the names of places of single objects, classPrefix of those of
// classes.
const (
	ownPrefix   = "object:"
	classPrefix = "class:"
)

// ClassPlace is where the objects of a class run that is kept apart.
func ClassPlace(class string) guest.Place { return guest.Place(classPrefix + class) }

// place is a guest, or the next one, and what waits for it.
type place struct {
	name  guest.Place
	guest guest.Guest // takes new activations; nil while none is ready
	queue queue
}

// placeName says where an object is to run.
func (s *Shard) placeName(k dormouse.Key, class int) guest.Place {
	if b := s.blamed[k]; b != nil && b.own != nil {
		return b.own.name
	}
	if s.Places == nil {
		return guest.Everywhere
	}
	return s.Classes[class].Place
}

// placeOf is placeName, with a guest on its way if there is none.
func (s *Shard) placeOf(k dormouse.Key, class int) *place {
	return s.wanted(s.placeName(k, class))
}

// wanted returns the place and has a guest started for it if there is none.
func (s *Shard) wanted(name guest.Place) *place {
	p := s.places[name]
	if p == nil {
		p = &place{name: name}
		s.places[name] = p
		s.Places.Want(name)
	}
	return p
}

// abandon gives up a place: what runs there moves to where it belongs now, and
// what waits is served there. left is called when the place is gone.
func (s *Shard) abandon(p *place, left func()) {
	waiting := p.queue.list
	p.queue = queue{}
	for _, w := range waiting {
		w.object.wanted = false
		w.object.drain()
		w.object.forget()
	}
	leave := func() {
		delete(s.places, p.name)
		s.Places.Leave(p.name)
		left()
	}
	g := p.guest
	if g == nil {
		leave()
		return
	}
	p.guest = nil
	s.lives[g].keepsSockets = true
	s.Retire(g, ownDeadline, leave)
}

// ownDeadline is for what runs in a guest that is given up.
const ownDeadline = 30 * time.Second

// code is how one guest numbers what the shard knows.
type code struct {
	version  int
	numbers  []int // of the shard's classes; -1: it has not got it; nil: the same numbers
	bindings []Binding
	kv, r2   []string // names behind the bindings of stores
	fronts   []guest.Front
}

// class is the guest's number of a class of the shard.
func (c *code) class(n int) int {
	switch {
	case c.numbers == nil:
		return n
	case n < len(c.numbers):
		return c.numbers[n]
	}
	return -1
}

// has says whether the guest can run objects of a class.
func (c *code) has(n int) bool { return c.class(n) >= 0 }

// codeOf translates what a guest runs. Its classes are known: see SetClasses.
func (s *Shard) codeOf(c *guest.Code) code {
	if c == nil {
		return code{bindings: s.Bindings}
	}
	t := code{version: c.Version, numbers: make([]int, len(s.Classes)), kv: c.KV, r2: c.R2, fronts: c.Fronts}
	for i, k := range s.Classes {
		t.numbers[i] = slices.Index(c.Classes, k.Namespace)
	}
	for i, b := range c.Bindings {
		if b < 0 {
			far := c.Far[i]
			t.bindings = append(t.bindings, Binding{Class: -1, Far: &far})
			continue
		}
		n := c.Classes[b]
		t.bindings = append(t.bindings, Binding{
			Class: slices.IndexFunc(s.Classes, func(k Class) bool { return k.Namespace == n }),
		})
	}
	return t
}

// binding is one of those that a guest's code has; a guest that names another
// does not keep the contract.
func (s *Shard) binding(g guest.Guest, index int) (b Binding, ok bool) {
	l := s.lives[g]
	if l == nil {
		return b, false // it has died while what it said waited at the gate
	}
	if index >= len(l.code.bindings) || l.code.bindings[index].Class < 0 && l.code.bindings[index].Far == nil {
		s.protocolError(g, "namespace binding %d of %d", index, len(l.code.bindings))
		return b, false
	}
	return l.code.bindings[index], true
}

// storeName is the KV namespace or bucket behind a binding of the guest's code: a
// guest reaches no other.
func (s *Shard) storeName(g guest.Guest, to guest.Target) (name string, ok bool) {
	l := s.lives[g]
	if l == nil {
		return "", false // it has died while what it said waited at the gate
	}
	names := l.code.kv
	if to.Kind == guest.ToR2 {
		names = l.code.r2
	}
	if to.Index >= len(names) {
		s.protocolError(g, "binding %d of %d stores", to.Index, len(names))
		return "", false
	}
	return names[to.Index], true
}

// SetClasses tells what there is to know of classes from now on: those whose
// namespaces the shard knows keep their numbers, others get the next. Guests that are
// ready later may have them. On the loop.
func (s *Shard) SetClasses(list []Class) {
	for _, c := range list {
		if i := slices.IndexFunc(s.Classes, func(k Class) bool { return k.Namespace == c.Namespace }); i >= 0 {
			s.Classes[i] = c
			continue
		}
		s.Classes = append(s.Classes, c)
		s.accounts = append(s.accounts, account{})
		s.observed.events = append(s.observed.events, observe.Events{})
	}
	for _, p := range s.places {
		used := p == s.main || slices.ContainsFunc(s.Classes, func(k Class) bool { return k.Place == p.name })
		if _, own := strings.CutPrefix(string(p.name), ownPrefix); !used && !own {
			s.abandon(p, func() {})
		}
	}
}
