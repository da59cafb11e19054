package host

import (
	"slices"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// The last words of a socket, its Close or its error, are what an object cannot
// do without: nothing that comes later tells it that somebody has left. They are
// kept until a handler has begun with them. When the instance ends before, and
// the socket stays, the next instance gets them; once, so that a constructor
// that always fails is not tried for ever.

// ending is a socket whose last words were the event with this number.
type ending struct {
	said  guest.Event
	event uint32
}

// lastWords remembers that the guest has the last words of a socket: what is
// kept for the socket is needed until they have begun.
func (o *resident) lastWords(e guest.Event) {
	o.live.ending = append(o.live.ending, ending{e, o.m.Delivered()})
}

// begun frees the sockets whose last words have begun, and forgets requests.
func (o *resident) begun(started uint32) {
	l := o.live
	for len(l.ending) > 0 && int32(started-l.ending[0].event) >= 0 {
		o.ended(l.ending[0].said.Socket)
		l.ending = l.ending[1:]
	}
	for len(l.requests) > 0 && int32(started-l.requests[0]) >= 0 {
		l.requests = l.requests[1:]
	}
}

func (o *resident) ended(id dormouse.SocketID) {
	delete(o.repeated, id)
	o.set.Ended(id)
}

// lastWordsBut frees the sockets whose last words a dead guest had, but for those
// that are said again.
func (o *resident) lastWordsBut(again map[dormouse.SocketID]bool) {
	for _, e := range o.live.ending {
		if !again[e.said.Socket] {
			o.ended(e.said.Socket)
		}
	}
	o.live.ending = nil
}

// repeatLastWords has the next instance hear the last words that the one which
// has left had not begun. They came before all that waits.
func (o *resident) repeatLastWords(l *activation, why string) {
	if len(l.ending) == 0 {
		return
	}
	waiting := o.mail
	o.mail = nil
	for _, e := range l.ending {
		id := e.said.Socket
		switch {
		case o.shard.Registry.Recipient(id) != any(o): // dropped by a reset
			delete(o.repeated, id)
		case o.repeated[id]:
			o.ended(id)
			o.lost(1, why)
		default:
			if o.repeated == nil {
				o.repeated = make(map[dormouse.SocketID]bool)
			}
			o.repeated[id] = true
			o.keepSaid(e.said)
		}
	}
	o.mail = append(o.mail, waiting...)
	l.ending = nil
}

// outdated says which events among the remains of a dead guest had been given to
// instances that were gone before it. It is asked about each, oldest first. What
// those had not begun has been said again, or ended with them.
func (s *Shard) outdated(g guest.Guest, l *life) func(guest.Event) bool {
	ends := make(map[dormouse.SocketID]int)
	for _, list := range [][]guest.Event{l.begun, l.unbegun} {
		for _, e := range list {
			if e.Kind != guest.MessageEvent {
				ends[e.Socket]++
			}
		}
	}
	return func(e guest.Event) bool {
		if e.Kind != guest.MessageEvent {
			ends[e.Socket]--
		}
		o, ok := s.Registry.Recipient(e.Socket).(*resident)
		return ok && (o.guest != g || e.Kind != guest.MessageEvent && ends[e.Socket] > 0)
	}
}

// withoutOutdated leaves out of a dead guest's remains what is no matter any
// more.
func (s *Shard) withoutOutdated(g guest.Guest, l *life) {
	outdated := s.outdated(g, l)
	l.begun = slices.DeleteFunc(l.begun, outdated)
	l.unbegun = slices.DeleteFunc(l.unbegun, outdated)
}
