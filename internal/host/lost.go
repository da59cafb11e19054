package host

import "github.com/dormouse-dev/dormouse/internal/guest"

// An instance that is ended whatever runs may have taken events of sockets that
// it has not begun: they wait in its guest, behind a critical section. Nobody
// else has a copy, so all that can be done is to say so.

// unbegun counts the events of sockets that the instance was given and has not
// begun, as far as is known.
func (o *resident) unbegun() int {
	events, _ := o.m.Behind()
	return events - len(o.live.requests)
}

// lost reports n events that ended with the instance which had taken them.
func (o *resident) lost(n int, why string) {
	if n <= 0 || o.broken() {
		return
	}
	s := o.shard
	s.stats.Unfinished += uint64(n)
	s.Config.Log.Error("events of sockets not finished: the instance ended before it had begun them; they are not repeated",
		append(s.attrs(o), "events", n, "why", why)...)
}

// lostWith finds, for each object of a dead guest, the events that it had taken
// and not begun: those that will not be said again and are not reported one by
// one.
func (s *Shard) lostWith(l *life) {
	elsewhere := make(map[*resident]int)
	for _, list := range [][]guest.Event{l.begun, l.unbegun} {
		for _, e := range list {
			if o, ok := s.Registry.Recipient(e.Socket).(*resident); ok {
				elsewhere[o]++
			}
		}
	}
	for _, o := range l.activations {
		o.lost(o.unbegun()-elsewhere[o], "guest ended")
	}
}
