package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// Namespace is all objects of one class: one for each id. It may be made before
// the server is used.
//
// Cloudflare: "Durable Object Namespace".
type Namespace struct {
	s     *Server
	class string
}

// Namespace returns the objects of a class, whatever it is written in. Calls to
// a class that there is not fail.
func (s *Server) Namespace(class string) *Namespace { return &Namespace{s, class} }

// Name returns the name that the ids of its objects are made from. The Worker's
// name is part of it, so it is known when that is: see Config.Name.
func (n *Namespace) Name() dormouse.Namespace { return n.s.namespace(n.class) }

// IDFromName returns the id that name always has in this namespace.
func (n *Namespace) IDFromName(name string) dormouse.ID {
	return n.s.namespace(n.class).IDFromName(name)
}

// NewUniqueID returns a new id, which no name leads to.
func (n *Namespace) NewUniqueID() dormouse.ID { return n.s.namespace(n.class).NewUniqueID() }

// ParseID reads an id from its text. It returns dormouse.ErrInvalidID or
// dormouse.ErrForeignID if that is none of this namespace.
func (n *Namespace) ParseID(text string) (dormouse.ID, error) {
	return n.s.namespace(n.class).ParseID(text)
}

// Get returns the object with this id. The object is made when it is first
// called.
func (n *Namespace) Get(id dormouse.ID) *Stub { return &Stub{ns: n, id: id} }

// ByName returns the object that has this name. In contrast to one that Get
// returns, it learns its name.
func (n *Namespace) ByName(name string) *Stub {
	return &Stub{ns: n, id: n.IDFromName(name), name: &name}
}

// Stub is one object, wherever and whatever it is, in memory or not. It is good
// for as long as the server is, and may be used by many goroutines.
//
// A call from within another object, told by the context of its request, is one
// of that object: it waits until what that object has written so far is durable,
// and ends with dormouse.ErrDeadlock if the two would wait for each other.
//
// Cloudflare: "Durable Object Stub".
type Stub struct {
	ns   *Namespace
	id   dormouse.ID
	name *string
}

// ID returns the id of the object.
func (o *Stub) ID() dormouse.ID { return o.id }

// Name returns the name that the stub was made from; ok is false if it was made
// from an id.
func (o *Stub) Name() (name string, ok bool) {
	if o.name == nil {
		return "", false
	}
	return *o.name, true
}

// ServeHTTP has the object answer a client's request: body and answer are
// streamed, and an answer that is a WebSocket takes the connection over. A
// request is refused with 503 while the object is overloaded, and answered with
// 500 if its handler fails.
func (o *Stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := o.ns.s.Start(r.Context()); err != nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	_ = interleave(r.Context(), func(context.Context) error {
		o.front(r.Context()).ServeHTTP(w, r)
		return nil
	})
}

// Fetch asks the object as a client within the process, and returns its answer,
// whose body is to be closed. It is not followed if it is a redirect, and cannot
// be a WebSocket. What the object, or the server, fails with is a
// *dormouse.Error.
func (o *Stub) Fetch(r *http.Request) (resp *http.Response, err error) {
	if err := o.ns.s.Start(r.Context()); err != nil {
		return nil, err
	}
	err = interleave(r.Context(), func(context.Context) error {
		resp, err = o.front(r.Context()).Fetch(r)
		return err
	})
	return resp, err
}

// interleave lets others have the calling object meanwhile, if its class says so.
func interleave(ctx context.Context, call func(context.Context) error) error {
	if yield, ok := goguest.Interleaves(ctx); ok {
		return yield(ctx, call)
	}
	return call(ctx)
}

// front is the way of HTTP to the object.
func (o *Stub) front(ctx context.Context) *edge.Front {
	f := *o.ns.s.theFront()
	f.Worker, f.Assets, f.Counts = call{o, ctx}, nil, nil // the request has been counted, if a client made it
	return &f
}

// call is a request to an object on behalf of ctx.
type call struct {
	o   *Stub
	ctx context.Context
}

// FetchWorker implements edge.Worker.
func (c call) FetchWorker(r *guest.Request, a host.Answer) host.Asker {
	asker, err := c.o.ask(c.ctx, r, a)
	if err != nil {
		e, ok := err.(*dormouse.Error)
		if !ok {
			e = &dormouse.Error{Message: err.Error()}
		}
		a.Failure(e)
		return nobody{}
	}
	return asker
}

// ask begins a request to the object. The server has been started.
func (o *Stub) ask(ctx context.Context, r *guest.Request, a host.Answer) (host.Asker, error) {
	s := o.ns.s
	class, ok := s.classOf(o.ns.class)
	if !ok {
		return nil, fmt.Errorf("there is no class %s in this server", o.ns.class)
	}
	k := o.key()
	asker, err := goguest.Ask(ctx, o.target(class), k, r, a)
	if asker != nil || err != nil {
		return asker, err
	}
	return s.route(k).Fetch(k, class, o.name, r, a), nil
}

// Call runs f as an event of an object that is written in Go, and returns what f
// returns. f is a method of the object, as an expression, or any function of its
// type, O, which is what the class's constructor returns:
//
//	n, err := server.Call(ctx, counters.ByName("visits"), (*Counter).Add)
//
// Nothing else happens to the object while f runs, and Call returns when what f
// has written is durable. The context of f ends with ctx.
//
// If ctx ends first, Call returns its error, and f may still run.
func Call[O, R any](ctx context.Context, o *Stub, f func(O, context.Context) (R, error)) (R, error) {
	result := new(struct {
		value R
		err   error
	})
	err := o.call(ctx, func(ctx context.Context, object any) error {
		typed, ok := object.(O)
		if !ok {
			return fmt.Errorf("object of class %s is a %T, not a %T", o.ns.class, object, typed)
		}
		result.value, result.err = f(typed, ctx)
		return result.err
	})
	if err != nil {
		var none R
		return none, err
	}
	return result.value, nil
}

func (o *Stub) call(ctx context.Context, f func(context.Context, any) error) error {
	s := o.ns.s
	if err := s.Start(ctx); err != nil {
		return err
	}
	if !s.inGo(s.namespace(o.ns.class)) {
		return errForeign
	}
	return interleave(ctx, func(ctx context.Context) error {
		local := &goguest.Local{Call: f}
		done := make(answered, 1)
		asker, err := o.ask(ctx, &guest.Request{Method: "CALL", URL: "go:call", Local: local}, done)
		if err != nil {
			return err
		}
		select {
		case e := <-done:
			if e != nil {
				return e
			}
			return local.Err
		case <-ctx.Done():
			asker.Cancel("the caller has gone")
			return context.Cause(ctx)
		}
	})
}

// answered is told when a call has been answered: nil, or why it was not run.
type answered chan *dormouse.Error

// Response implements host.Answer.
func (a answered) Response(*guest.Response) { a <- nil }

// Failure implements host.Answer.
func (a answered) Failure(e *dormouse.Error) { a <- e }

// The rest of host.Answer: a call has no bodies.

func (answered) Body([]byte)      {}
func (answered) BodyEnd()         {}
func (answered) BodyAbort(string) {}
func (answered) Credit(uint32)    {}
func (answered) Cancel(string)    {}

// target is the object as a guest names it.
func (o *Stub) target(class int) guest.Target {
	to := guest.Target{Kind: guest.ToObject, Index: class, ID: o.id}
	if o.name != nil {
		to.Name, to.HasName = *o.name, true
	}
	return to
}

// key names the object in the whole system.
func (o *Stub) key() dormouse.Key {
	return dormouse.Key{Namespace: o.ns.s.namespace(o.ns.class), ID: o.id}
}
