package goguest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/plaincall"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

var _ guest.RPC = (*Guest)(nil)

// BeginSession is a call of a method by whoever speaks RPC: objects in JavaScript,
// and Invoke. It is one call, whose arguments and result are copied; what else is
// said in the session before the answer is left alone.
func (g *Guest) BeginSession(x guest.Session, o guest.Object, s *guest.Opening) {
	i := g.instances[o]
	if i == nil {
		e := &dormouse.Error{Name: "TypeError", Message: "This server has no Worker that could be called: its objects are written in Go."}
		g.crew.tell(func() { g.host.FromSessions(g).SessionFailure(x, e) })
		return
	}
	e := &event{i: i, work: &methodCall{x: x, first: s.First, question: 1}}
	g.called[x] = e
	i.deliver(e)
}

// methodCall is a session with an object, as an event.
type methodCall struct {
	x        guest.Session
	first    []byte
	question uint32 // of the call; 1 until that has been read
}

// run implements work.
func (c *methodCall) run(e *event) error {
	call, err := plaincall.ReadCall(c.first)
	if err != nil {
		return err
	}
	c.question = call.Question
	result, err := e.i.invoke(e, call)
	if err != nil {
		c.answer(e, &plaincall.Answer{Error: asRemote(err)})
		return nil
	}
	c.answer(e, &plaincall.Answer{Value: result})
	return nil
}

// fail implements failing: the method has panicked, or cannot be read.
func (c *methodCall) fail(e *event, err error) {
	e.i.logError(err)
	c.answer(e, &plaincall.Answer{Error: asRemote(err)})
}

func (c *methodCall) answer(e *event, a *plaincall.Answer) {
	a.Question = c.question
	i, last := e.i, a.Append(nil)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().later(func() {
		if i.g.called[c.x] == e {
			delete(i.g.called, c.x)
			i.g.host.FromSessions(i.g).SessionClose(c.x, last)
		}
	})
}

// drop implements work.
func (c *methodCall) drop(e *event, _ *dormouse.Error) {
	e.i.g.crew.tell(func() { delete(e.i.g.called, c.x) })
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// handlers are the methods that nobody calls by name.
var handlers = map[string]bool{
	"ServeHTTP": true, "WebSocketMessage": true, "WebSocketClose": true, "WebSocketError": true, "Alarm": true,
}

// Methods finds what a name calls, for the guests of a server. It finds nothing
// until it is given ByName: a program that holds that function holds every exported
// method of every type that it has, because the linker cannot know which are called,
// and a fifth more bytes. So only what calls by name brings it.
type Methods struct {
	find atomic.Pointer[func(object any, name string) (reflect.Value, bool)]
}

// Use is for ByName.
func (m *Methods) Use(find func(object any, name string) (reflect.Value, bool)) { m.find.Store(&find) }

func (m *Methods) of(object any, name string) (reflect.Value, bool) {
	if m == nil || m.find.Load() == nil {
		return reflect.Value{}, false
	}
	return (*m.find.Load())(object, name)
}

// ByName finds the exported method that has a name, with a capital letter in front,
// if its first parameter is a context.
func ByName(object any, name string) (m reflect.Value, ok bool) {
	first, n := utf8.DecodeRuneInString(name)
	name = string(unicode.ToUpper(first)) + name[n:]
	if handlers[name] {
		return m, false
	}
	m = reflect.ValueOf(object).MethodByName(name)
	if !m.IsValid() {
		return m, false
	}
	t := m.Type()
	ok = t.NumIn() > 0 && t.In(0) == contextType && !t.IsVariadic() && t.NumOut() <= 2
	if t.NumOut() == 2 {
		ok = ok && t.Out(1) == errorType
	}
	return m, ok
}

// invoke calls a method of the object, and returns its result as a structured
// clone.
func (i *instance) invoke(ctx context.Context, c *plaincall.Call) ([]byte, error) {
	if len(c.Path) != 1 || c.Property {
		return nil, typeError("Objects written in Go have methods, and nothing else that can be asked: %v", c.Path)
	}
	name := c.Path[0]
	m, ok := i.g.methods.of(i.object, name)
	if !ok {
		return nil, typeError("The receiver, which is written in Go, does not implement the method %q.", name)
	}
	if c.References > 0 {
		return nil, typeError("An object written in Go takes no functions, stubs or streams: %s().", name)
	}
	args, err := arguments(m.Type(), c.Args)
	if err != nil {
		return nil, typeError("%s(): %v", name, err)
	}
	args[0] = reflect.ValueOf(ctx)
	return results(m.Call(args))
}

func typeError(format string, a ...any) error {
	return &dormouse.Error{Name: "TypeError", Message: fmt.Sprintf(format, a...)}
}

// arguments reads those of a call, behind the context. What is missing, or
// undefined, is zero.
func arguments(t reflect.Type, data []byte) ([]reflect.Value, error) {
	v, err := structuredclone.Decode(data)
	if err != nil {
		return nil, err
	}
	list, ok := v.(*structuredclone.Array)
	if !ok {
		return nil, errors.New("the arguments are no array")
	}
	if most := t.NumIn() - 1; len(list.Elements) > most {
		return nil, fmt.Errorf("it takes %d arguments, and got %d", most, len(list.Elements))
	}
	args := make([]reflect.Value, t.NumIn())
	for n := 1; n < len(args); n++ {
		into := reflect.New(t.In(n))
		args[n] = into.Elem()
		if n > len(list.Elements) {
			continue
		}
		x := list.Elements[n-1]
		switch x.(type) {
		case structuredclone.Undefined, structuredclone.Hole:
			continue
		}
		if err := structuredclone.Assign(x, into.Interface()); err != nil {
			return nil, fmt.Errorf("argument %d: %w", n, err)
		}
	}
	return args, nil
}

func results(list []reflect.Value) ([]byte, error) {
	if n := len(list); n > 0 && list[n-1].Type() == errorType {
		if err, failed := list[n-1].Interface().(error); failed {
			return nil, err
		}
		list = list[:n-1]
	}
	if len(list) == 0 {
		return structuredclone.Encode(structuredclone.Undefined{})
	}
	return structuredclone.Marshal(list[0].Interface())
}

// connection is a session that an object has opened.
type connection struct {
	i    *instance
	done func(last []byte, e *dormouse.Error) // on the loop, once
	wait *wait                                // the caller keeps its object meanwhile; nil: it does not

	// Owned by the loop.
	x    guest.Session
	over bool
}

// Connect opens a session with an object on behalf of the one whose handler or
// task ctx is of, in order with what that one says and behind its commits. It
// returns nil if ctx is of none. done gets the message that answers the first one,
// or why there will be none; it is not called after cancel.
func Connect(ctx context.Context, to guest.Target, key dormouse.Key, o *guest.Opening, done func([]byte, *dormouse.Error)) (cancel func(), err error) {
	i, e := caller(ctx)
	if i == nil {
		return nil, nil
	}
	c := &connection{i: i, done: done}
	if c.wait, err = i.waitsFor(e, key); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		i.g.waits.ended(c.wait)
		return nil, i.dead
	}
	i.outLocked().later(func() { c.begin(to, o) })
	i.handOverLocked()
	return func() {
		i.g.waits.ended(c.wait)
		i.tell(func() {
			if !c.over {
				c.end()
				i.g.host.FromSessions(i.g).SessionClose(c.x, nil)
			}
		})
	}, nil
}

// begin says the opening to the host. On the loop.
func (c *connection) begin(to guest.Target, o *guest.Opening) {
	g := c.i.g
	g.lastConnection++
	c.x = g.lastConnection*2 - 1
	g.connections[c.x] = c
	g.host.OpenSession(g, c.x, c.i.num, to, o)
}

// end forgets the session. On the loop.
func (c *connection) end() {
	c.over = true
	delete(c.i.g.connections, c.x)
	c.i.g.waits.ended(c.wait)
}

// SessionMessage implements guest.Sessions: an answer, behind which something may
// come that is not wanted.
func (g *Guest) SessionMessage(x guest.Session, p []byte) {
	c := g.connections[x]
	if c == nil {
		return
	}
	if _, ok, err := plaincall.ReadAnswer(p); !ok && err == nil {
		n := uint32(len(p))
		g.crew.tell(func() { g.host.FromSessions(g).SessionCredit(x, n) })
		return
	}
	c.end()
	g.crew.tell(func() { g.host.FromSessions(g).SessionClose(x, nil) })
	c.done(p, nil)
}

// SessionCredit implements guest.Sessions: nothing waits for it.
func (g *Guest) SessionCredit(guest.Session, uint32) {}

// SessionClose implements guest.Sessions.
func (g *Guest) SessionClose(x guest.Session, last []byte) {
	if e := g.called[x]; e != nil {
		delete(g.called, x)
		e.cancelled("the caller has gone")
	} else if c := g.connections[x]; c != nil {
		c.end()
		c.done(last, nil)
	}
}

// SessionFailure implements guest.Sessions.
func (g *Guest) SessionFailure(x guest.Session, e *dormouse.Error) {
	if called := g.called[x]; called != nil {
		delete(g.called, x)
		called.cancelled(e.Message)
	} else if c := g.connections[x]; c != nil {
		c.end()
		c.done(nil, e)
	}
}
