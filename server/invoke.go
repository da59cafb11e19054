package server

import (
	"context"
	"fmt"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/guest/plaincall"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// Invoke calls a method of an object by its name, whatever the object is written
// in, and returns its result as an R:
//
//	total, err := server.Invoke[int](ctx, carts.ByName("ada"), "add", Item{"acorn", 3})
//
// Arguments and result are copied, as structured clones: docs/go.md says what
// becomes of each type. Functions, stubs and streams cannot be passed. What a
// method throws is a *dormouse.Error that is Remote. A result that is undefined is
// the zero R.
//
// Between objects in Go, Call needs no names and copies nothing.
//
// If ctx ends first, Invoke returns its error, and the method may still run.
func Invoke[R any](ctx context.Context, o *Stub, method string, args ...any) (result R, err error) {
	answer, err := o.invoke(ctx, method, args)
	if err == nil {
		err = read(answer, method, &result)
	}
	return result, err
}

// invoke calls a method and returns the message that answers.
func (o *Stub) invoke(ctx context.Context, method string, args []any) (answer []byte, err error) {
	if args == nil {
		args = []any{}
	}
	list, err := structuredclone.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", method, err)
	}
	call := plaincall.Call{Question: 1, Path: []string{method}, Args: list}
	opening := &guest.Opening{First: call.Append(nil), Foreign: true}
	if len(opening.First) > guest.MaxMessage {
		return nil, fmt.Errorf("arguments of %s have %d bytes; the limit is %d", method, len(opening.First), guest.MaxMessage)
	}
	if err := o.ns.s.Start(ctx); err != nil {
		return nil, err
	}
	o.ns.s.methods.Use(goguest.ByName)
	err = interleave(ctx, func(ctx context.Context) error {
		answered := make(chan struct{})
		var failure *dormouse.Error
		cancel, err := o.connect(ctx, opening, func(last []byte, e *dormouse.Error) {
			answer, failure = append([]byte(nil), last...), e
			close(answered)
		})
		if err != nil {
			return err
		}
		select {
		case <-answered:
			if failure != nil {
				return failure
			}
			return nil
		case <-ctx.Done():
			cancel()
			answer = nil
			return context.Cause(ctx)
		}
	})
	return answer, err
}

// connect opens a session with the object. done is told the answer, or why there
// is none, on a loop.
func (o *Stub) connect(ctx context.Context, opening *guest.Opening, done func([]byte, *dormouse.Error)) (cancel func(), err error) {
	s := o.ns.s
	class, ok := s.classOf(o.ns.class)
	if !ok {
		return nil, fmt.Errorf("there is no class %s in this server", o.ns.class)
	}
	k := o.key()
	cancel, err = goguest.Connect(ctx, o.target(class), k, opening, done)
	if cancel != nil || err != nil {
		return cancel, err
	}
	l := &line{done: done, far: make(chan host.Line, 1)}
	l.far <- s.route(k).Connect(k, class, o.name, opening, l)
	return l.cancel, nil
}

// read takes an answer apart.
func read(answer []byte, method string, into any) error {
	a, ok, err := plaincall.ReadAnswer(answer)
	switch {
	case err != nil:
		return fmt.Errorf("answer of %s: %w", method, err)
	case !ok:
		return fmt.Errorf("%s has ended without an answer", method)
	case a.Error != nil:
		return a.Error
	case a.Thrown != nil:
		return thrown(a)
	case a.References > 0:
		return fmt.Errorf("%s has returned a function, a stub or a stream, which cannot be passed to Go", method)
	}
	v, err := structuredclone.Decode(a.Value)
	if err != nil {
		return fmt.Errorf("result of %s: %w", method, err)
	}
	if _, undefined := v.(structuredclone.Undefined); undefined {
		return nil
	}
	if err := structuredclone.Assign(v, into); err != nil {
		return fmt.Errorf("result of %s: %w", method, err)
	}
	return nil
}

// thrown is what a method has thrown, as an error.
func thrown(a *plaincall.Answer) error {
	e := a.Flags
	e.Remote = true
	v, err := structuredclone.Decode(a.Thrown)
	if err != nil {
		e.Message = "an error that cannot be read was thrown"
		return &e
	}
	if x, ok := v.(*structuredclone.Error); ok {
		e.Name, e.Message = x.Name, x.Message
		return &e
	}
	e.Message = structuredclone.Inspect(v, 2)
	return &e
}
