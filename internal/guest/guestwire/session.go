package guestwire

import (
	"fmt"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Foreign writes that whoever opens the session of the next frame numbers its
// bindings in another way.
func (w *Writer) Foreign() {
	w.begin(Foreign)
	w.end()
}

// BeginSession writes the beginning of a session that the host begins.
func (w *Writer) BeginSession(x guest.Session, o guest.Object, s *guest.Opening) {
	if s.Foreign {
		w.Foreign()
	}
	w.begin(BeginSession)
	w.u32(uint32(x))
	w.u32(uint32(o))
	w.str(s.Entrypoint)
	w.bytes(s.Props)
	w.rest(s.First)
	w.end()
}

// The frames of sessions that both sides write.

func (w *buffer) SessionMessage(x guest.Session, p []byte) { w.session(SessionMessage, x, p) }

func (w *buffer) SessionClose(x guest.Session, last []byte) { w.session(SessionClose, x, last) }

func (w *buffer) session(t Type, x guest.Session, p []byte) {
	w.begin(t)
	w.u32(uint32(x))
	w.rest(p)
	w.end()
}

func (w *buffer) SessionCredit(x guest.Session, n uint32) {
	w.begin(SessionCredit)
	w.u32(uint32(x))
	w.u32(n)
	w.end()
}

func (w *buffer) SessionFailure(x guest.Session, e *dormouse.Error) {
	w.begin(SessionFailure)
	w.u32(uint32(x))
	w.error(e)
	w.end()
}

func (r *reader) session() guest.Session { return guest.Session(r.u32()) }

// opening reads the rest of a session's first frame.
func (r *reader) opening() *guest.Opening {
	s := &guest.Opening{Entrypoint: r.str()}
	s.Props = append([]byte(nil), r.bytes()...)
	s.First = append([]byte(nil), r.message()...)
	return s
}

// message reads a message of a session, which is all that is left.
func (r *reader) message() []byte {
	p := r.rest()
	if len(p) > guest.MaxMessage {
		r.fail(fmt.Errorf("message of %d bytes; the limit is %d", len(p), guest.MaxMessage))
	}
	return p
}

// readSession reads a frame of a session that both sides send.
func readSession(s guest.Sessions, t Type, r *reader) error {
	x := r.session()
	var say func()
	switch t {
	case SessionMessage:
		p := r.message()
		say = func() { s.SessionMessage(x, p) }
	case SessionClose:
		p := r.message()
		say = func() { s.SessionClose(x, p) }
	case SessionCredit:
		n := r.u32()
		say = func() { s.SessionCredit(x, n) }
	case SessionFailure:
		e := r.error()
		say = func() { s.SessionFailure(x, e) }
	}
	if err := r.done(); err != nil {
		return frameError(t, err)
	}
	say()
	return nil
}
