// Package server is the door for those who run Dormouse inside a program of
// their own: it builds the parts, introduces them to each other, and knows
// nothing itself.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/alarm/scheduler"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/observe/health"
	"github.com/dormouse-dev/dormouse/internal/observe/tail"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Guests makes the guests of a server, a slot for each loop.
type Guests interface {
	// Slot is called before the loop starts. If the Guests call methods of objects
	// in Go, they have a method Methods that is given to these first.
	Slot(l *loop.Loop, h GuestHost, next *atomic.Uint32) Slot
}

// GuestHost is what a slot talks to.
type GuestHost interface {
	guest.Host
	guest.Speaker
	Taken(guest.Guest)
	Remains(g guest.Guest, begun, unbegun []guest.Event)
	Culprit(g guest.Guest, o guest.Object)
	Waited(g guest.Guest, o guest.Object, d time.Duration)
	InTrace(g guest.Guest, context string)
	Blamed(g guest.Guest, o guest.Object, event uint32)
	Caused(g guest.Guest, session bool, number uint32)
	Direct(g guest.Guest, o guest.Object, events uint32, took time.Duration)
	CausedDirectly(g guest.Guest, o guest.Object, event uint32)
	Unfit(guest.Place, *dormouse.Error)
	Retire(g guest.Guest, deadline time.Duration, gone func())
	// Held is a file that the processes of guests inherit: the data folder is
	// locked as long as one of them has it open.
	Held() *os.File
}

// Slot keeps one guest running.
type Slot interface {
	// Start sends nil to first when the guest is ready, or why it is not.
	Start(first chan<- error)
	// Stop ends the guest and waits for it.
	Stop()
	// Prepare starts a guest with newer code. The old one runs on, also after an
	// error.
	Prepare(context.Context) (Replacement, error)
}

// Replacement is a guest with newer code that is ready and runs nothing yet.
// Exactly one of Commit and Abort is called.
type Replacement interface {
	// Check says why it cannot take over any more, if that is so.
	Check() error
	// Commit has it take over. What runs in the old one moves when it is quiet, or
	// at the deadline; 0 is the default one.
	Commit(deadline time.Duration)
	Abort()
}

// Server runs one Worker and its objects, and objects written in Go beside them
// or alone. The zero value runs objects written in Go, once they are defined, and
// keeps nothing after Shutdown.
type Server struct {
	Config // not to be changed once the server has been used

	once  sync.Once // builds what follows
	built error
	begun atomic.Bool
	start sync.Mutex // held by Start

	log     *slog.Logger
	health  *health.Watcher
	tail    *tail.Hub // what the log is read along with; nil: it cannot be
	lock    *lock
	shards  []*shard
	js, in  []*shard      // of them: with guests, with objects written in Go
	code                  // of the guests
	objects               // written in Go
	engine  *store        // nil: there are no guests
	shelves shelves       // KV and R2
	room    *capacity     // for clients
	clients *edge.Clients // the limits of their addresses; nil: they have none
	scratch scratch       // for copies of databases
	next    atomic.Uint32 // the worker request after the last, for the shard it goes to
	door    door
	looking background          // for what a killed process has left
	left    bool                // it may have left something; set with engine
	clock   background          // whether it is set
	bell    *observe.Bell       // rung by what happens, for health
	moving  sync.Mutex          // held by HandOver
	changes changes             // of the code and of processes
	before  *handover.Successor // whom we take over from; nil: nobody
	// deferred counts connections that waited for a descriptor.
	deferred atomic.Uint64
	syncs    syncs
	wall     wallClock // of the objects

	mu      sync.Mutex // guards the following
	servers []*http.Server
	closed  bool
}

// shard is a loop with everything that belongs to it.
type shard struct {
	loop      *loop.Loop
	host      *host.Shard
	registry  *hibernation.Registry
	transport Transport
	slot      Slot
	guests    *incarnations
	alarms    *scheduler.Scheduler
}

// New takes the data folder and builds a server. Start makes it run.
func New(c Config) (*Server, error) {
	s := &Server{Config: c}
	if err := s.build(); err != nil {
		return nil, err
	}
	return s, nil
}

// build builds the server the first time that it is called.
func (s *Server) build() error {
	s.once.Do(func() {
		if s.built = s.assemble(); s.built != nil && s.lock != nil {
			s.engine.Close()
			s.lock.release()
			s.removeTemporary()
		}
	})
	return s.built
}

func (s *Server) assemble() error {
	c := &s.Config
	if g, ok := c.Guests.(interface{ Methods(*goguest.Methods) }); ok {
		g.Methods(&s.methods)
	}
	if c.Guests != nil && (c.Name == "" || c.Data == "") {
		return errors.New("a server with guests needs a name and a data folder")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	defaults(c)
	s.log = c.Log
	s.shelves.data, s.shelves.relaxed = c.Data, c.Relaxed
	s.tail, _ = c.Log.Handler().(*tail.Hub)
	if c.Neighbours == nil {
		c.Neighbours = new(Neighbours)
	}
	if c.Parts != nil && c.Parts.Control != nil {
		c.Parts.Control.s = s
	}
	if err := s.makeTemporary(); err != nil {
		return err
	}
	var err error
	if s.before == nil {
		if s.lock, err = take(c.Data); err != nil {
			return err
		}
	}
	if c.Guests != nil || len(s.freeze()) > 0 {
		s.engine = s.newStore()
		s.stores = s.newStores()
		if s.before == nil { // otherwise TakeOver opens it
			if err := s.openStorage(); err != nil {
				return err
			}
		}
	}
	s.bell = observe.NewBell()
	s.room = newCapacity()
	s.clients = edge.NewClients(edge.ClientLimits{Handshakes: c.Limits.ClientHandshakes, Sockets: c.Limits.ClientSockets, Messages: c.Limits.ClientMessages})
	s.setCode(Code{Classes: c.Classes, Bindings: c.Bindings, TestHooks: c.TestHooks, Assets: c.Assets, EvictAfter: c.EvictAfter, AutoReply: c.AutoReply, Compress: c.Compress})
	for _, k := range s.freeze() {
		s.roster = append(s.roster, roster{k.Name, s.namespace(k.Name), true})
	}
	files, err := openAssets(c.Assets)
	if err != nil {
		return err
	}
	s.setFiles(files)
	if err := s.newShards(); err != nil {
		return err
	}
	s.health = s.newHealth()
	return c.Neighbours.add(s)
}

// newShards builds the loops: those with guests, and those with objects written
// in Go.
func (s *Server) newShards() error {
	add := func(list *[]*shard, inGo bool) error {
		sh, err := s.newShard(len(s.shards), inGo)
		if err == nil {
			s.shards = append(s.shards, sh)
			*list = append(*list, sh)
		}
		return err
	}
	if s.Guests != nil {
		for range max(s.Shards, 1) {
			if err := add(&s.js, false); err != nil {
				return err
			}
		}
	}
	for range s.goShards() {
		if err := add(&s.in, true); err != nil {
			return err
		}
	}
	return nil
}

// newShard builds one loop and what lives on it. Everybody meets here.
func (s *Server) newShard(i int, inGo bool) (*shard, error) {
	l, err := s.newLoop()
	if err != nil {
		return nil, err
	}
	c := &s.Config
	var inside *goguest.Guest
	if inGo {
		inside = s.newGoGuest(l) // before the transport, as it wants
	}
	sh := &shard{loop: l, transport: s.newTransport(l), guests: new(incarnations)}
	sh.registry = hibernation.New(hibernation.Config{
		Loop: l, Transport: sh.transport,
		Options:   ws.Options{MaxMessage: c.Limits.Message, MaxOutbound: c.Limits.Outbound},
		AutoReply: c.AutoReply || inGo, CloseHandshake: c.Limits.CloseHandshake,
		MaxSockets: c.Limits.SocketsPerObject, Home: c.Neighbours.home, Meter: s.meter,
	})
	classes := append(s.guestClasses(), s.goClasses()...)
	bindings := make([]host.Binding, len(c.Bindings))
	for i, class := range c.Bindings {
		bindings[i] = host.Binding{Class: class}
	}
	if inGo {
		bindings = everyClass(len(classes))
	}
	beside := outside{
		assets: &edge.Inside{Handler: http.HandlerFunc(s.serveAssets)},
		hooks:  func() hooks { return hooks{s, s.js} }, shelves: &s.shelves,
	}
	var commits host.Durability = durability{s.engine, DatabaseFolder(c.Data)}
	if inGo {
		commits = within{durability{s.engine, DatabaseFolder(c.Data)}}
	}
	sh.alarms = s.newAlarms(sh)
	sh.host = host.New(host.Config{
		Alarms:     sh.alarms,
		Durability: commits, Past: s.past(inGo),
		Loop: l, Index: i, Classes: classes, Bindings: bindings,
		Limits:   host.Limits{MailEvents: c.Limits.MailboxEvents, MailBytes: c.Limits.MailboxBytes, OwnGuests: c.Limits.OwnGuests, QueueTime: c.Limits.QueueTime},
		Registry: registry{sh.registry, sh.transport}, Log: c.Log, Slow: c.SlowEvent, Traced: s.traced(),
		Tracer: c.Tracer, Details: c.Details, Bell: s.bell,
		Route: s.route, Outside: beside, Neighbour: c.Neighbours.neighbour,
	})
	introduced := &introduced{sh.host, sh.guests, s.lock.f, &s.wall}
	if inGo {
		sh.slot = &goSlot{inside, introduced, l, c.Log}
	} else {
		sh.slot = c.Guests.Slot(l, introduced, &c.Neighbours.guests)
		if p, ok := sh.slot.(host.Places); ok {
			sh.host.Places = p
		}
	}
	return sh, nil
}

// Start runs the loops and starts the guests; it returns when all are ready, or
// with the first reason why one is not.
//
// A server of objects written in Go starts by itself when it is first used.
func (s *Server) Start(ctx context.Context) error {
	if s.begun.Load() {
		return s.built
	}
	s.start.Lock()
	defer s.start.Unlock()
	if s.begun.Load() {
		return s.built
	}
	if err := s.build(); err != nil {
		return err
	}
	defer s.begun.Store(true)
	s.watchClock()
	if s.before == nil {
		s.loadAlarms()
	}
	first := make(chan error, len(s.shards))
	for _, sh := range s.shards {
		sh.loop.Start()
		sh.slot.Start(first)
	}
	for range s.shards {
		select {
		case err := <-first:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.before == nil { // otherwise TakeOver does
		for _, sh := range s.shards {
			sh.loop.Post(sh.alarms.Start)
		}
		s.lookForLeft()
	}
	return nil
}

// Handler serves clients, over HTTP and WebSockets, with what the Guests run, or
// else with Worker. It may be mounted in any other http.Handler.
func (s *Server) Handler() http.Handler {
	if s.Guests == nil {
		return http.HandlerFunc(s.serveWorker)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.theFront().ServeHTTP(w, r) })
}

// Serve starts the server if need be, and serves clients on a listener until
// Shutdown, with TLS if t is not nil. It closes the listener.
func (s *Server) Serve(l net.Listener, t *tls.Config) error {
	if err := s.Start(context.Background()); err != nil {
		l.Close()
		return err
	}
	h := &http.Server{
		Handler:           s.door.hold(s.Handler()),
		ReadHeaderTimeout: s.Limits.HeaderTimeout,
		IdleTimeout:       s.Limits.IdleTimeout,
		MaxHeaderBytes:    s.Limits.RequestHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext:       s.room.note,
	}
	if t == nil && s.Guests != nil {
		l = edge.Bare(l)
	}
	l = s.door.add(l, h)
	l = &patient{Listener: l, deferred: &s.deferred, log: s.log}
	if t == nil && s.Guests != nil {
		l = &edge.Steps{Listener: l, Front: s.theFront, Door: &s.door, Context: s.room.note, Limit: s.Limits.HeaderTimeout}
	}
	if t != nil {
		t = t.Clone()
		t.NextProtos = []string{"http/1.1"} // sockets need a connection of their own
		l = tls.NewListener(l, t)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	s.servers = append(s.servers, h)
	s.mu.Unlock()
	return h.Serve(l)
}

// Shutdown stops accepting, lets requests and handlers finish until ctx ends,
// waits until what they have committed is durable, closes every socket with 1001
// and ends the guests. Handlers are not called for these closes.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(func() { s.built = http.ErrServerClosed })
	if s.built != nil {
		return nil // there is nothing to stop
	}
	s.mu.Lock()
	servers, again := s.servers, s.closed
	s.servers, s.closed = nil, true
	s.mu.Unlock()
	if again {
		return nil
	}
	var err error
	for _, h := range servers {
		if e := h.Shutdown(ctx); e != nil {
			h.Close()
			err = errors.Join(err, e)
		}
	}
	if !s.begun.Load() {
		for _, sh := range s.shards {
			sh.loop.Start() // what is asked of it below has to be answered
		}
	} else if !s.door.departed() {
		s.Neighbours.finish(ctx)
	}
	s.looking.end()
	s.clock.end()
	var wait sync.WaitGroup
	for _, sh := range s.shards {
		wait.Go(func() {
			sh.loop.Call(func() {
				sh.alarms.Stop()
				sh.registry.CloseAll(ws.CloseGoingAway, "")
			})
			sh.drain(ctx)
			sh.slot.Stop()
			sh.transport.Shut(sh.loop)
			sh.loop.Stop()
		})
	}
	wait.Wait()
	if s.stores != nil {
		s.stores.Close()
	}
	err = errors.Join(err, s.shelves.Close(), s.engine.Close())
	s.closeFiles()
	s.scratch.views.close()
	return errors.Join(err, s.lock.release(), s.removeTemporary())
}

// drain waits a moment for the Close frames to leave.
func (sh *shard) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		open := 0
		sh.loop.Call(func() { open = sh.registry.Connected() })
		if open == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// FetchWorker gives a client's request to one of the guests, in turn.
func (s *Server) FetchWorker(r *guest.Request, a host.Answer) host.Asker {
	s.bell.Ring()
	return s.turn().host.FetchWorker(r, a)
}

// route finds the shard of an object: always the same for one id.
func (s *Server) route(k dormouse.Key) *host.Shard { return s.of(k).host }

func (s *Server) of(k dormouse.Key) *shard {
	n := uint(k.ID[0]) | uint(k.ID[1])<<8 | uint(k.ID[2])<<16
	if s.inGo(k.Namespace) {
		return s.in[n%uint(len(s.in))]
	}
	return s.js[n%uint(len(s.js))]
}

// attach gives a client to the other end of a pair.
func (s *Server) attach(id dormouse.SocketID, c net.Conn, rest []byte, o ws.Options) error {
	r := s.Neighbours.home(id.Incarnation())
	if r == nil {
		return fmt.Errorf("socket %d was made by nobody here", id)
	}
	err := errors.New("the server is stopping")
	r.Loop().Call(func() { err = r.Attach(id, c, rest, o) })
	return err
}

// meter counts a socket that another process has let in, where this one lets
// clients in: at the first of neighbours.
func (s *Server) meter(client string) ws.Meter {
	if c := s.Neighbours.first().clients; c != nil {
		return c.Moved(client)
	}
	return nil
}

// attachSoon is attach without waiting, on any goroutine.
func (s *Server) attachSoon(id dormouse.SocketID, c net.Conn, rest []byte, o ws.Options, done func(error)) {
	r := s.Neighbours.home(id.Incarnation())
	if r == nil {
		done(fmt.Errorf("socket %d was made by nobody here", id))
		return
	}
	if !r.Loop().Post(func() { done(r.Attach(id, c, rest, o)) }) {
		done(errors.New("the server is stopping"))
	}
}

func (s *Server) release(id dormouse.SocketID) {
	if r := s.Neighbours.home(id.Incarnation()); r != nil {
		r.Loop().Post(func() { r.Release(id) })
	}
}
