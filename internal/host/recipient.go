package host

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/observe"
)

// A resident as the Recipient of its hibernatable sockets: what they say goes to
// the guest, or waits in the mail until there is an activation.

func (o *resident) Message(id dormouse.SocketID, text bool, payload []byte) {
	o.arrived++
	if o.arrive() {
		o.count(1, len(payload))
		o.sent(observe.Message, 1, 0)
		o.tracedSocket(observe.Message, id)
		if l := o.live.ledger; l != nil {
			l.Next(o.m.Delivered(), o.set.Number())
		}
		o.guest.Message(id, text, payload)
		o.shard.throttle(o.guest)
		return
	}
	p := append([]byte(nil), payload...)
	o.keepSaid(guest.Event{Socket: id, Kind: guest.MessageEvent, Text: text, Payload: p, Number: o.set.Number()})
}

// Expect looks at what a message needs, and at one pointer further with each step:
// see ws.Expecter, which this is for the sockets.
func (o *resident) Expect(step int) (seen uint) {
	l := o.live
	switch {
	case step == 0:
		return uint(o.m.State()) + uint(o.num) + uint(o.class) + uint(o.gate.Bytes())
	case l == nil:
	case step == 1:
		return uint(l.flight.Len()) + uint(len(l.requests)) + uint(l.ended)
	}
	return 0
}

// Several says whether the object is there, in a guest that can hear many messages
// at once, and nothing has to be done for each of them.
func (o *resident) Several() bool {
	if o.live == nil || o.live.ledger != nil || o.shard.tracing != nil || o.m.State() != object.Active {
		return false
	}
	_, can := o.guest.(guest.Listener)
	return can && o.arrive()
}

// Messages gives the guest a run unless that is more than the object may have before
// it. It follows Several.
func (o *resident) Messages(id dormouse.SocketID, run brief.Run) bool {
	limits, size := &o.shard.Limits, run.Size()
	if events, bytes := o.m.Behind(); events+run.N > limits.MailEvents || bytes+size > limits.MailBytes {
		return false
	}
	o.arrived += uint64(run.N)
	o.count(run.N, size)
	o.sent(observe.Message, run.N, 0)
	o.guest.(guest.Listener).Messages(id, run)
	o.shard.throttle(o.guest)
	return true
}

// said brings the last words of a socket to the object.
func (o *resident) said(e guest.Event) {
	o.arrived++
	if !o.arrive() {
		o.keepSaid(e)
		return
	}
	o.count(1, lastWordsSize)
	o.sent(kindOf(e), 1, 0)
	o.hand(e)
	o.shard.throttle(o.guest)
}

// lastWordsSize is what an event of a socket is counted as, beyond its payload.
const lastWordsSize = 64

func (o *resident) keepSaid(e guest.Event) {
	o.keep(mail{kind: kindOf(e), size: len(e.Payload) + lastWordsSize, said: &e})
}

func kindOf(e guest.Event) observe.Kind {
	return [...]observe.Kind{guest.MessageEvent: observe.Message, guest.ClosedEvent: observe.Close, guest.ErroredEvent: observe.Error}[e.Kind]
}

// hand gives the guest an event that has been counted.
func (o *resident) hand(e guest.Event) {
	o.tracedSocket(kindOf(e), e.Socket)
	if t := o.shard.tracing; t != nil && e.Kind != guest.MessageEvent {
		t.closed(o.key, e.Socket)
	}
	if l := o.live.ledger; l != nil {
		l.Next(o.m.Delivered(), e.Number)
	}
	switch e.Kind {
	case guest.MessageEvent:
		o.guest.Message(e.Socket, e.Text, e.Payload)
	case guest.ClosedEvent:
		o.guest.Closed(e.Socket, e.Closing)
		o.lastWords(e)
	case guest.ErroredEvent:
		o.guest.Errored(e.Socket, string(e.Payload))
		o.lastWords(e)
	}
}

// Arrived counts the events that have come.
func (o *resident) Arrived() uint64 { return o.arrived }

// Begun says whether those up to n have begun. Requests that fail in the mailbox
// make it say so too soon, when a guest has died.
func (o *resident) Begun(n uint64) bool {
	behind, _ := o.m.Behind()
	return o.arrived-uint64(len(o.mail)+behind) >= n
}

func (o *resident) Closed(id dormouse.SocketID, c guest.Closing) {
	o.said(guest.Event{Socket: id, Kind: guest.ClosedEvent, Closing: c})
}

func (o *resident) Errored(id dormouse.SocketID, message string) {
	o.said(guest.Event{Socket: id, Kind: guest.ErroredEvent, Payload: []byte(message)})
}

func (o *resident) Buffered(id dormouse.SocketID, bytes int) {
	if o.live != nil {
		o.guest.Buffered(id, bytes)
	}
}

// Stamped passes stamps on at once while code runs that could look at them;
// otherwise they wait for the next event.
func (o *resident) Stamped() {
	if o.live != nil && !o.m.Idle() && !o.broken() {
		if stamps := o.set.TakeStamps(); stamps != nil {
			o.guest.Stamps(stamps)
		}
	}
}
