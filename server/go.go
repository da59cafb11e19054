package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitestore"
)

// objects are the classes written in Go.
type objects struct {
	waits   goguest.Waits
	methods goguest.Methods
	stores  *sqlitestore.Stores // nil: nothing is stored

	temporary string // the data folder, if it is to be removed

	defining sync.RWMutex // guards the following
	classes  []*dormouse.Class
	frozen   bool // the server has been built
}

// Define adds a class of objects written in Go and returns their namespace. It
// panics when the server has been used already, or has a class of that name.
func (s *Server) Define(c *dormouse.Class) *Namespace {
	s.defining.Lock()
	defer s.defining.Unlock()
	if s.frozen {
		panic(fmt.Sprintf("server: define class %s: the server has begun", c.Name))
	}
	if c.Name == "" {
		panic("server: define a class without a name")
	}
	for _, k := range s.objects.classes {
		if k.Name == c.Name {
			panic(fmt.Sprintf("server: class %s is defined twice", c.Name))
		}
	}
	for _, k := range s.Classes {
		if k.Name == c.Name {
			panic(fmt.Sprintf("server: class %s is one of the guests", c.Name))
		}
	}
	s.objects.classes = append(s.objects.classes, c)
	return &Namespace{s, c.Name}
}

// freeze ends the time in which classes are defined, and returns them.
func (s *Server) freeze() []*dormouse.Class {
	s.defining.Lock()
	defer s.defining.Unlock()
	s.frozen = true
	return s.objects.classes
}

// goShards is how many loops run objects written in Go.
func (s *Server) goShards() int {
	switch {
	case len(s.freeze()) == 0:
		return 0
	case s.Shards > 0:
		return s.Shards
	}
	return max(1, goruntime.GOMAXPROCS(0)/2)
}

// goClasses are the classes written in Go as hosts know them. They come after
// those of the guests.
func (s *Server) goClasses() []host.Class {
	var list []host.Class
	for _, c := range s.freeze() {
		rest := s.HibernateAfter
		if c.HibernateAfter > 0 {
			rest = c.HibernateAfter
		}
		list = append(list, host.Class{
			Name: c.Name, Namespace: s.namespace(c.Name), KeepOnReset: c.KeepSockets,
			Rest: object.Rest{Hibernate: rest},
		})
	}
	return list
}

// everyClass binds n classes under their own numbers.
func everyClass(n int) []host.Binding {
	list := make([]host.Binding, n)
	for i := range list {
		list[i] = host.Binding{Class: i}
	}
	return list
}

// inGo says whether a namespace is of a class written in Go.
func (s *Server) inGo(n dormouse.Namespace) bool {
	if len(s.js) == 0 {
		return true
	}
	for _, c := range s.freeze() {
		if s.namespace(c.Name) == n {
			return true
		}
	}
	return false
}

// newGoGuest makes the guest of a loop for objects written in Go.
func (s *Server) newGoGuest(l *loop.Loop) *goguest.Guest {
	c := goguest.Config{
		Loop: l, Incarnation: s.Neighbours.guests.Add(1), Waits: &s.waits, Methods: &s.methods, Open: s.stores.Open,
		Limits: goguest.Limits{Attachment: s.Limits.Attachment, Sockets: s.Limits.SocketsPerObject},
	}
	for _, k := range s.Classes {
		c.Classes = append(c.Classes, nil)
		c.Namespaces = append(c.Namespaces, s.namespace(k.Name))
	}
	for _, k := range s.freeze() {
		c.Classes = append(c.Classes, k)
		c.Namespaces = append(c.Namespaces, s.namespace(k.Name))
	}
	return goguest.New(c)
}

// goSlot is the slot of a guest in this process: there is one, and it does not
// die.
type goSlot struct {
	guest *goguest.Guest
	host  GuestHost
	loop  *loop.Loop
	log   *slog.Logger
}

// Start implements Slot.
func (g *goSlot) Start(first chan<- error) {
	g.loop.Post(func() {
		g.guest.Begin(g.host)
		first <- nil
	})
}

// stopLimit is how long handlers may take to end when the server stops: first of
// themselves, then after their contexts have ended.
const stopLimit = 5 * time.Second

// Stop implements Slot.
func (g *goSlot) Stop() {
	if !g.guest.Stop(stopLimit) {
		g.log.Warn("a handler of an object does not end; the server stops without it")
	}
}

// Prepare implements Slot: code in this process is as old as the process, and
// updates leave it alone.
func (g *goSlot) Prepare(context.Context) (Replacement, error) {
	return nil, errors.New("objects written in Go have the code of their process")
}

// serveWorker answers a request with Worker.
func (s *Server) serveWorker(w http.ResponseWriter, r *http.Request) {
	if s.Worker == nil {
		http.Error(w, "This server has no Worker. Set server.Config.Worker to an http.Handler that calls its objects.", http.StatusNotFound)
		return
	}
	s.Worker.ServeHTTP(w, r)
}

// ListenAndServe starts the server if need be, and serves clients on a TCP
// address such as ":8080" until Shutdown, when it returns http.ErrServerClosed.
func (s *Server) ListenAndServe(addr string) error {
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return s.Serve(l, nil)
}

// errForeign is the answer to a call of Go code in an object that is not.
var errForeign = errors.New("the object is not written in Go")
