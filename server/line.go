package server

import (
	"sync"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest/plaincall"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// line is the end of a session of which the process itself wants one answer. It is
// the host.Line that the other side speaks to.
type line struct {
	done func([]byte, *dormouse.Error)
	far  chan host.Line // holds the other end, which may speak before it is known
	once sync.Once
}

var _ host.Line = (*line)(nil)

// Message implements host.Line: an answer, or what may be forgotten.
func (l *line) Message(p []byte) {
	if _, ok, err := plaincall.ReadAnswer(p); !ok && err == nil {
		n := uint32(len(p))
		l.say(func(f host.Line) { f.Credit(n) })
		return
	}
	l.once.Do(func() {
		l.done(p, nil)
		l.say(func(f host.Line) { f.Close(nil) })
	})
}

// say says something to the other end, from outside of its call.
func (l *line) say(what func(host.Line)) {
	go func() {
		f := <-l.far
		what(f)
		l.far <- f
	}()
}

// Close implements host.Line.
func (l *line) Close(last []byte) { l.once.Do(func() { l.done(last, nil) }) }

// Fail implements host.Line.
func (l *line) Fail(e *dormouse.Error) { l.once.Do(func() { l.done(nil, e) }) }

// Credit implements host.Line: nothing waits for it.
func (l *line) Credit(uint32) {}

// cancel says that nobody wants the answer any more.
func (l *line) cancel() {
	l.once.Do(func() { l.say(func(f host.Line) { f.Close(nil) }) })
}
