package host

import (
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Unfinished is an event of a socket that a guest may have begun, and had not
// finished, when it died. It is not repeated.
type Unfinished struct {
	At     time.Time
	Key    dormouse.Key
	Class  string
	Socket dormouse.SocketID
	Tags   []string
	Number uint64 // of the messages of the socket that the object was given; 0: it is none
	Event  string
	Bytes  int
	Guest  uint32
}

// maxReported bounds what is remembered for people; older ones are in the log.
const maxReported = 1024

// unfinished is the latest reports, oldest at next when full.
type unfinished struct {
	ring []Unfinished
	next int
}

// Reported lists the latest reports, oldest first. On the loop.
func (s *Shard) Reported() []Unfinished {
	u := &s.unfinished
	return append(slices.Clone(u.ring[u.next:]), u.ring[:u.next]...)
}

func (u *unfinished) add(r Unfinished) {
	if len(u.ring) < maxReported {
		u.ring = append(u.ring, r)
		return
	}
	u.ring[u.next] = r
	u.next = (u.next + 1) % maxReported
}

// reportBegun reports, for a guest that has died, the events that it may have
// begun. Numbers are found by counting back from the last message of a socket:
// those that had not begun, and those that wait in the mailbox, came after.
func (s *Shard) reportBegun(l *life) {
	if len(l.begun) == 0 {
		return
	}
	after := make(map[dormouse.SocketID]uint32)
	for _, e := range l.unbegun {
		if e.Kind == guest.MessageEvent {
			after[e.Socket]++
		}
	}
	counted := make(map[*resident]bool)
	for _, e := range slices.Backward(l.begun) {
		o, _ := s.Registry.Recipient(e.Socket).(*resident)
		if o != nil && !counted[o] {
			counted[o] = true
			for _, m := range o.mail {
				if m.said != nil && m.said.Kind == guest.MessageEvent {
					after[m.said.Socket]++
				}
			}
		}
	}
	list := make([]Unfinished, 0, len(l.begun))
	for _, e := range slices.Backward(l.begun) {
		list = append(list, s.describe(e, after))
	}
	for _, u := range slices.Backward(list) {
		u.Guest = l.incarnation
		s.report(u)
	}
}

// describe names an event and counts it as one that came after those before it.
func (s *Shard) describe(e guest.Event, after map[dormouse.SocketID]uint32) Unfinished {
	messages, tags := s.Registry.Told(e.Socket)
	u := Unfinished{
		At: s.Loop.Now(), Socket: e.Socket, Tags: slices.Clone(tags), Event: e.Kind.String(), Bytes: max(len(e.Payload), e.Size),
	}
	if o, ok := s.Registry.Recipient(e.Socket).(*resident); ok {
		u.Key, u.Class = o.key, s.Classes[o.class].Name
	}
	if e.Kind == guest.MessageEvent {
		if u.Number = uint64(e.Number); u.Number == 0 {
			u.Number = uint64(messages - after[e.Socket])
		}
		after[e.Socket]++
	}
	return u
}

func (s *Shard) report(u Unfinished) {
	s.stats.Unfinished++
	s.unfinished.add(u)
	s.Config.Log.Error("event not finished: its guest died after it may have begun; it is not repeated",
		"class", u.Class, "object", u.Key.ID.String(), "socket", uint64(u.Socket), "number", u.Number, "tags", u.Tags,
		"event", u.Event, "bytes", u.Bytes, "guest", u.Guest)
}
