package host

import (
	"slices"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// What a socket has said is kept until a handler has begun with it; nothing that
// comes later stands for it, least of all for its last words, its Close or its
// error. When the instance ends before, and the socket stays, the next instance
// gets it; unless two instances in a row have ended before they had begun
// anything, so that a constructor that always fails is not tried for ever.

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
	l.fruitful = l.fruitful || started != 0
	for len(l.ending) > 0 && int32(started-l.ending[0].event) >= 0 {
		o.ended(l.ending[0].said.Socket)
		l.ending = l.ending[1:]
	}
	for len(l.requests) > 0 && int32(started-l.requests[0]) >= 0 {
		l.requests = l.requests[1:]
	}
}

func (o *resident) ended(id dormouse.SocketID) { o.set.Ended(id) }

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

// maxBarren is how many instances in a row may end before they have begun any
// event, and have the next one get what they were given.
const maxBarren = 1

// repeat has the next instance hear what the one which has left was given and had
// not begun: all of it, or the last words of sockets if the guest keeps no account.
// It came before all that waits.
func (o *resident) repeat(l *activation, why string) {
	var again []guest.Event
	if l.ledger != nil {
		again = l.ledger.Close()
	} else {
		for _, e := range l.ending {
			again = append(again, e.said)
		}
	}
	l.ending = nil
	again = slices.DeleteFunc(again, func(e guest.Event) bool {
		return o.shard.Registry.Recipient(e.Socket) != any(o) // dropped by a reset
	})
	if l.fruitful || why == movedAway {
		o.barren = 0
	} else if len(again) > 0 {
		o.barren++
	}
	if o.barren > maxBarren {
		o.giveUp(again, why)
		return
	}
	waiting := o.mail
	o.mail = nil
	for _, e := range again {
		o.keepSaid(e)
	}
	o.mail = append(o.mail, waiting...)
}

// giveUp reports events that are not said again.
func (o *resident) giveUp(events []guest.Event, why string) {
	o.barren = 0
	for _, e := range events {
		if e.Kind != guest.MessageEvent {
			o.ended(e.Socket)
		}
	}
	o.lost(len(events), why)
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
