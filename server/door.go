package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// door is where clients come in. It has two bolts: with the first one those who
// come wait in the system's queue; with the second, requests on connections that
// are open already wait too.
type door struct {
	mu      sync.Mutex // guards the following
	ways    []*way
	fresh   map[net.Conn]struct{} // accepted, and nothing has come yet
	inside  int                   // requests in progress
	outer   chan struct{}         // the first bolt: closed when it is drawn back; nil: it is
	inner   chan struct{}         // the second
	departs bool                  // another process has taken over
}

// way is a listener whose Accept stands still while the outer bolt is shut.
type way struct {
	net.Listener
	door   *door
	server *http.Server
}

// Accept implements net.Listener. When another process serves, its error is that of
// a server that was stopped: nothing went wrong.
func (w *way) Accept() (net.Conn, error) {
	for {
		w.door.mu.Lock()
		outer, departs := w.door.outer, w.door.departs
		w.door.mu.Unlock()
		if departs {
			return nil, http.ErrServerClosed
		}
		if outer != nil {
			<-outer
			continue
		}
		c, err := w.Listener.Accept()
		if e, ok := errors.AsType[net.Error](err); err == nil || !ok || !e.Timeout() {
			return c, err
		}
	}
}

// add introduces a listener and the server that serves it.
func (d *door) add(l net.Listener, h *http.Server) net.Listener {
	h.ConnState = d.state
	w := &way{l, d, h}
	d.mu.Lock()
	d.ways = append(d.ways, w)
	d.mu.Unlock()
	return w
}

// state follows the connections that have said nothing yet.
func (d *door) state(c net.Conn, s http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s != http.StateNew {
		delete(d.fresh, c)
		return
	}
	if d.fresh == nil {
		d.fresh = make(map[net.Conn]struct{})
	}
	d.fresh[c] = struct{}{}
}

// Fresh implements edge.Door.
func (d *door) Fresh(c net.Conn, is bool) {
	if is {
		d.state(c, http.StateNew)
	} else {
		d.state(c, http.StateActive)
	}
}

// Enter implements edge.Door.
func (d *door) Enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inner != nil || d.departs {
		return false
	}
	d.inside++
	return true
}

// Leave implements edge.Door.
func (d *door) Leave() { d.leave() }

// hold wraps a handler: while the door is shut its requests wait.
func (d *door) hold(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.enter(r.Context()) {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Connection", "close")
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
			return
		}
		defer d.leave()
		next.ServeHTTP(w, r)
	})
}

// enter reports false when another process serves.
func (d *door) enter(ctx context.Context) bool {
	for {
		d.mu.Lock()
		inner, departs := d.inner, d.departs
		if inner == nil && !departs {
			d.inside++
		}
		d.mu.Unlock()
		switch {
		case departs:
			return false
		case inner == nil:
			return true
		}
		select {
		case <-inner:
		case <-ctx.Done():
			return false
		}
	}
}

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside--
}

// freshGrace is how long a connection that has just been accepted may take to say
// what it wants.
const freshGrace = 100 * time.Millisecond

// empty shuts the outer bolt, waits until the requests of those that are inside
// have ended or ctx has, and shuts the inner one.
func (d *door) empty(ctx context.Context) {
	d.mu.Lock()
	d.outer = make(chan struct{})
	ways := d.ways
	d.mu.Unlock()
	for _, w := range ways {
		w.interrupt(time.Unix(1, 0))
		w.server.SetKeepAlivesEnabled(false) // also closes those that say nothing
	}
	began := time.Now()
	for tick := time.Tick(2 * time.Millisecond); ; {
		d.mu.Lock()
		empty := d.inside == 0 && (len(d.fresh) == 0 || time.Since(began) > freshGrace)
		if empty || ctx.Err() != nil {
			d.inner = make(chan struct{})
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		select {
		case <-tick:
		case <-ctx.Done():
		}
	}
}

// open draws the bolts back. Pairs with empty.
func (d *door) open() {
	d.mu.Lock()
	ways := d.ways
	d.unbolt()
	d.mu.Unlock()
	for _, w := range ways {
		w.server.SetKeepAlivesEnabled(true)
		w.interrupt(time.Time{})
	}
}

// depart turns away who waits: another process serves.
func (d *door) depart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.departs = true
	d.unbolt()
}

func (d *door) departed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.departs
}

func (d *door) unbolt() {
	for _, bolt := range []*chan struct{}{&d.outer, &d.inner} {
		if *bolt != nil {
			close(*bolt)
			*bolt = nil
		}
	}
}

// interrupt has an Accept that waits return after t; the zero time does not. A
// listener without deadlines goes on to accept, and its requests wait.
func (w *way) interrupt(t time.Time) {
	if l, ok := w.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		l.SetDeadline(t)
	}
}
