package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// An instance that is ended whatever runs may have taken events of sockets that
// it has not begun: they wait in its guest, behind a critical section. A guest that
// keeps a Ledger has a copy of them; of another one nobody has, so all that can be
// done is to say so.

// unbegun counts the events of sockets that the instance was given and has not
// begun, as far as is known.
func (o *resident) unbegun() int {
	events, _ := o.m.Behind()
	return events - len(o.live.requests)
}

// lost reports n events that ended with the instance which had taken them.
func (o *resident) lost(n int, why string) {
	if n <= 0 {
		return
	}
	s := o.shard
	s.stats.Unfinished += uint64(n)
	s.Config.Log.Error("events of sockets not finished: the instance ended before it had begun them; they are not repeated",
		append(s.attrs(o), "events", n, "why", why)...)
}

// lostWith finds, for each object of a dead guest, the events that it had taken
// and not begun: those that will not be said again and are not reported one by
// one. Of an instance that was being reset that is only the last words.
func (s *Shard) lostWith(l *life) {
	elsewhere := make(map[*resident]int)
	last := make(map[dormouse.SocketID]bool)
	for _, list := range [][]guest.Event{l.begun, l.unbegun} {
		for _, e := range list {
			if o, ok := s.Registry.Recipient(e.Socket).(*resident); ok {
				elsewhere[o]++
				last[e.Socket] = last[e.Socket] || e.Kind != guest.MessageEvent
			}
		}
	}
	for _, o := range l.activations {
		if !o.broken() {
			o.lost(o.unbegun()-elsewhere[o], "guest ended")
			continue
		}
		n := 0
		for _, e := range o.live.ending {
			if !last[e.said.Socket] && s.Registry.Recipient(e.said.Socket) == any(o) {
				n++
			}
		}
		o.lost(n, "guest ended")
	}
}
