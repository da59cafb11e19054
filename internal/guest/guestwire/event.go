package guestwire

import (
	"bytes"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// ReadHandled reads how many of the host's frames a guest has handled.
func ReadHandled(body []byte) (uint64, error) {
	r := &reader{b: body}
	n := r.u64()
	if err := r.done(); err != nil {
		return 0, frameError(Handled, err)
	}
	return n, nil
}

// ReadWaited reads how long an event of an object has waited for its input gate.
func ReadWaited(body []byte) (o guest.Object, d time.Duration, err error) {
	r := &reader{b: body}
	o, d = r.object(), time.Duration(r.u32())*time.Microsecond
	if err := r.done(); err != nil {
		return 0, 0, frameError(Waited, err)
	}
	return o, d, nil
}

// ReadEventOf reads which event of an object t is about: one that has begun and
// lasts, or is over (Lasting, Over), or in which the error happened that the next
// frame logs (Blame; of the Worker, in which exchange or session) or passes on
// (DirectCause, of events that the host has not seen).
func ReadEventOf(t Type, body []byte) (o guest.Object, event uint32, err error) {
	r := &reader{b: body}
	o, event = r.object(), r.u32()
	if err := r.done(); err != nil {
		return 0, 0, frameError(t, err)
	}
	return o, event, nil
}

// ReadEvent reads back an event of a socket that the host has written; ok is
// false for any other frame.
func ReadEvent(t Type, body []byte) (e guest.Event, ok bool) {
	r := &reader{b: body}
	e.Socket = r.socket()
	switch t {
	case Message:
		e.Text, e.Payload = r.op(), bytes.Clone(r.rest())
	case Closed:
		e.Kind = guest.ClosedEvent
		e.Closing.Code = r.u16()
		f := r.u8()
		e.Closing.Clean, e.Closing.Ended, e.Closing.Reason = f&1 != 0, f&2 != 0, string(r.rest())
	case Errored:
		e.Kind = guest.ErroredEvent
		e.Payload = bytes.Clone(r.rest())
	default:
		return guest.Event{}, false
	}
	return e, r.err == nil
}
