package goguest

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/author"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Limits of handlers, and their texts as Durable Objects authors know them.
const (
	alarmLimit    = 15 * time.Minute
	alarmTooLong  = "Alarm exceeded its allowed execution time"
	eventTooLong  = "Actor exceeded event execution time and was disconnected."
	alarmNoMethod = "Handler does not export an alarm() function."
)

// birth is the constructor.
type birth struct{}

// run implements work.
func (birth) run(e *event) error {
	i := e.i
	began := time.Now()
	object, err := i.class.Construct(i)
	if err != nil {
		return err
	}
	i.object = object
	i.fetch, _ = object.(http.Handler)
	i.message, _ = object.(dormouse.MessageHandler)
	i.closed, _ = object.(dormouse.CloseHandler)
	i.errored, _ = object.(dormouse.ErrorHandler)
	i.alarm, _ = object.(dormouse.AlarmHandler)
	took := time.Since(began)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead == nil {
		i.began, i.birth = true, nil
		i.outLocked().later(func() { i.g.host.Started(i.g, i.num, took) })
	}
	return nil
}

// fail implements failing: the object is not made, and whoever waits for it
// learns why.
func (birth) fail(e *event, err error) {
	if p, ok := err.(*panicError); ok {
		e.i.logError(p)
	}
	e.i.abort(asReset(err), dropSockets)
}

func (birth) drop(*event, *dormouse.Error) {}

// Bind implements author.Instance.
func (i *instance) Bind(face func(author.Socket) any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.face = face
	for _, s := range i.sockets.all {
		s.face = face(s).(*dormouse.WebSocket)
	}
}

// ID implements author.Instance.
func (i *instance) ID() [32]byte { return i.key.ID }

// Name implements author.Instance. Who is woken by an alarm is not told its name:
// the storage has kept it.
func (i *instance) Name() (string, bool) {
	if i.hasName || i.g.open == nil {
		return i.name, i.hasName
	}
	i.looked.Do(func() {
		t, err := storage{i}.open()
		if err != nil {
			return
		}
		// An error is told by the first use of the storage.
		i.keptName, i.hasKept, _ = t.Name()
	})
	return i.keptName, i.hasKept
}

// onMessage is a message of a socket.
type onMessage struct{}

// run implements work.
func (onMessage) run(e *event) error {
	if e.i.message == nil {
		return nil
	}
	return e.i.message.WebSocketMessage(e.messageContext(), e.socket.face, dormouse.Message{Text: e.text, Data: e.data})
}

func (onMessage) drop(*event, *dormouse.Error) {}

// onClose is the Close of a socket.
type onClose guest.Closing

// run implements work.
func (c onClose) run(e *event) error {
	s := e.socket
	s.lost(c.Ended, c.Clean)
	defer e.i.remove(s)
	if e.i.closed == nil {
		return nil
	}
	return e.i.closed.WebSocketClose(e, s.face, dormouse.Closing{Code: int(c.Code), Reason: c.Reason, Clean: c.Clean})
}

func (onClose) drop(*event, *dormouse.Error) {}

// onError is the failure of a socket.
type onError string

// run implements work.
func (text onError) run(e *event) error {
	s := e.socket
	s.lost(true, false)
	s.fail()
	defer e.i.remove(s)
	if e.i.errored == nil {
		return nil
	}
	return e.i.errored.WebSocketError(e, s.face, errors.New(string(text)))
}

func (onError) drop(*event, *dormouse.Error) {}

// lost notes that nothing more comes from the client, and with over that
// nothing can be sent to it.
func (s *socket) lost(over, clean bool) {
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	s.peerClosed, s.over, s.clean = true, s.over || over, clean
}

// fail notes that the connection has failed: Close changes nothing any more.
func (s *socket) fail() {
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	s.failed = true
}

// remove takes a socket off the list.
func (i *instance) remove(s *socket) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sockets.remove(s)
}

// onAlarm is an alarm.
type onAlarm struct {
	x         guest.Exchange
	scheduled time.Time
	retry     int
}

// run implements work.
func (a *onAlarm) run(e *event) error {
	i := e.i
	due, err := i.startAlarm(a.scheduled)
	if err != nil {
		return err
	}
	if due {
		if i.alarm == nil {
			return errors.New(alarmNoMethod)
		}
		e.limit(alarmLimit, alarmTooLong)
		err = i.alarm.Alarm(e, dormouse.AlarmInfo{Scheduled: a.scheduled, Retry: a.retry})
		if err := errors.Join(err, i.finishAlarm(err == nil)); err != nil {
			return err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().later(func() { i.g.host.Done(i.g, a.x) })
	return nil
}

// fail implements failing: the alarm will be tried again.
func (a *onAlarm) fail(e *event, err error) {
	i := e.i
	i.logError(err)
	x := asRemote(err)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().later(func() { i.g.host.FromPeer(i.g).Failure(a.x, x) })
}

func (a *onAlarm) drop(*event, *dormouse.Error) {}

// Local is a call of this process to an object of this process: the Local of a
// request.
type Local struct {
	// Call runs as an event of the object. object is what the author's
	// constructor has returned.
	Call func(ctx context.Context, object any) error
	// Err is what Call has returned, as it is: set before the request is answered.
	Err error
}

// localCall is a Local at its object.
type localCall struct {
	x guest.Exchange
	c *Local
}

// run implements work.
func (l *localCall) run(e *event) error {
	l.answer(e, l.c.Call(e, e.i.object))
	return nil
}

// fail implements failing: the call has panicked.
func (l *localCall) fail(e *event, err error) {
	e.i.logError(err)
	l.answer(e, asRemote(err))
}

func (l *localCall) answer(e *event, err error) {
	i := e.i
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().later(func() {
		if i.g.locals[l.x] == e {
			delete(i.g.locals, l.x)
			l.c.Err = err
			i.g.host.FromPeer(i.g).Response(l.x, &guest.Response{Status: http.StatusNoContent})
		}
	})
}

// drop implements work.
func (l *localCall) drop(e *event, _ *dormouse.Error) {
	e.i.g.crew.tell(func() { delete(e.i.g.locals, l.x) })
}
