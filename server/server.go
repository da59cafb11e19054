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
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/assets"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/storage/direct"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Class is a class of objects.
type Class struct {
	Name        string
	KeepOnReset bool // sockets stay connected when an instance is reset
}

// Config is what a Server is made from. The zero value of each field is a
// sensible one unless it says otherwise.
type Config struct {
	Name    string  // of the Worker; part of every id. Needed
	Data    string  // folder of everything that stays; needed
	Classes []Class // in the order in which guests number them
	Assets  *Assets // files beside the Worker; nil: none
	// Bindings says for each binding of a namespace which class it reaches.
	Bindings []int
	// Guests runs the code. Needed.
	Guests Guests
	Shards int // loops, each with a guest; 0 is 1

	HibernateAfter time.Duration // of an idle object; 0 is 10 s
	EvictAfter     time.Duration // of a quiet object with tasks; 0 is never
	Limits         Limits
	// Relaxed lets outputs leave before the commits behind them are on disk: a
	// power cut may then take what a client was told. The death of a process
	// never does.
	Relaxed bool

	AutoReply      bool // answer a client's Close for the application
	Compress       bool // negotiate permessage-deflate
	Details        bool // show the author's errors to clients
	TrustedProxies []netip.Prefix
	Log            *slog.Logger // nil: nothing is logged
}

// Assets are static files.
type Assets struct {
	Directory   string
	HTML        string   // html_handling of the wrangler file
	NotFound    string   // not_found_handling
	WorkerFirst bool     // run_worker_first for every path
	WorkerPaths []string // run_worker_first for some
	Navigation  bool     // assets_navigation_prefers_asset_serving
}

// Limits bound what clients may do. Zero values are the documented defaults.
type Limits struct {
	Message          int           // bytes of a WebSocket message; 32 MiB
	Outbound         int           // bytes that wait on one socket; 16 MiB
	SocketsPerObject int           // 32,768
	CloseHandshake   time.Duration // 0 waits for ever
	RequestBody      int64         // bytes; 0 is without limit
	RequestHeader    int           // bytes; 1 MiB
	HeaderTimeout    time.Duration // to send a request's head; 10 s
	IdleTimeout      time.Duration // between requests; 2 min
	MailboxEvents    int           // that wait for one object; 10,000
	MailboxBytes     int           // 8 MiB
}

// Guests makes the guests of a server, a slot for each loop.
type Guests interface {
	// Slot is called before the loop starts.
	Slot(l *loop.Loop, h GuestHost, next *atomic.Uint32) Slot
}

// GuestHost is what a slot talks to.
type GuestHost interface {
	guest.Host
	Taken(guest.Guest)
	Remains(g guest.Guest, begun, unbegun []guest.Event)
	Culprit(g guest.Guest, o guest.Object)
	Unfit(*dormouse.Error)
	Retire(g guest.Guest, deadline time.Duration, gone func())
}

// Slot keeps one guest running.
type Slot interface {
	// Start sends nil to first when the guest is ready, or why it is not.
	Start(first chan<- error)
	// Stop ends the guest and waits for it.
	Stop()
	// Replace has a guest with newer code take over. After an error the old one
	// runs on.
	Replace(context.Context) error
}

// Server runs one Worker and its objects.
type Server struct {
	cfg    Config
	log    *slog.Logger
	lock   *lock
	shards []*shard
	front  *edge.Front
	engine *direct.Engine // nil: relaxed
	files  *assets.Router // nil: no assets
	next   atomic.Uint32  // the worker request after the last, for the shard it goes to
	guests atomic.Uint32  // the last incarnation

	mu      sync.Mutex // guards the following
	servers []*http.Server
	closed  bool
}

// shard is a loop with everything that belongs to it.
type shard struct {
	loop      *loop.Loop
	host      *host.Shard
	registry  *hibernation.Registry
	transport transport
	slot      Slot
	guests    *incarnations
}

// New takes the data folder and builds a server. Start makes it run.
func New(c Config) (*Server, error) {
	if c.Name == "" || c.Data == "" || c.Guests == nil {
		return nil, errors.New("a server needs a name, a data folder and guests")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	defaults(&c)
	s := &Server{cfg: c, log: c.Log}
	var err error
	if s.lock, err = take(c.Data); err != nil {
		return nil, err
	}
	if !c.Relaxed {
		s.engine = direct.New(func(k dormouse.Key) string { return DatabasePath(c.Data, k) })
	}
	if err := s.openAssets(); err != nil {
		s.lock.release()
		return nil, err
	}
	for i := range c.Shards {
		sh, err := s.newShard(i)
		if err != nil {
			s.lock.release()
			return nil, err
		}
		s.shards = append(s.shards, sh)
	}
	s.front = &edge.Front{
		Worker: s, Attach: s.attach, Release: s.release, Log: c.Log,
		Compress: c.Compress, Details: c.Details, MaxBody: c.Limits.RequestBody, TrustedProxies: c.TrustedProxies,
	}
	if s.files != nil {
		s.front.Assets = s.files
	}
	return s, nil
}

// openAssets opens the folder of static files, if there is one.
func (s *Server) openAssets() error {
	c := s.cfg.Assets
	if c == nil {
		return nil
	}
	files, err := assets.Open(assets.Config{Directory: c.Directory, HTML: c.HTML, NotFound: c.NotFound})
	if err != nil {
		return err
	}
	s.files = &assets.Router{Assets: files, WorkerFirst: c.WorkerFirst, WorkerPaths: c.WorkerPaths, Navigation: c.Navigation}
	return nil
}

func defaults(c *Config) {
	if c.Shards == 0 {
		c.Shards = 1
	}
	if c.HibernateAfter == 0 {
		c.HibernateAfter = 10 * time.Second
	}
	l := &c.Limits
	for p, v := range map[*int]int{
		&l.Message: dormouse.MaxMessage, &l.Outbound: ws.DefaultMaxOutbound,
		&l.SocketsPerObject: dormouse.MaxSocketsPerObject, &l.RequestHeader: 1 << 20,
	} {
		if *p == 0 {
			*p = v
		}
	}
	for p, v := range map[*time.Duration]time.Duration{&l.HeaderTimeout: 10 * time.Second, &l.IdleTimeout: 2 * time.Minute} {
		if *p == 0 {
			*p = v
		}
	}
}

// newShard builds one loop and what lives on it. Everybody meets here.
func (s *Server) newShard(i int) (*shard, error) {
	l, err := loop.New()
	if err != nil {
		return nil, err
	}
	c := &s.cfg
	sh := &shard{loop: l, transport: newTransport(l), guests: new(incarnations)}
	sh.registry = hibernation.New(hibernation.Config{
		Loop: l, Transport: sh.transport,
		Options:   ws.Options{MaxMessage: c.Limits.Message, MaxOutbound: c.Limits.Outbound},
		AutoReply: c.AutoReply, CloseHandshake: c.Limits.CloseHandshake,
		MaxSockets: c.Limits.SocketsPerObject, Home: s.home,
	})
	classes := make([]host.Class, len(c.Classes))
	for i, k := range c.Classes {
		classes[i] = host.Class{
			Name: k.Name, Namespace: s.Namespace(k.Name), KeepOnReset: k.KeepOnReset,
			Rest: object.Rest{Hibernate: c.HibernateAfter, Evict: c.EvictAfter},
		}
	}
	bindings := make([]host.Binding, len(c.Bindings))
	for i, class := range c.Bindings {
		bindings[i] = host.Binding{Class: class}
	}
	var beside outside
	if s.files != nil {
		beside.assets = &edge.Inside{Handler: s.files.Assets}
	}
	var durability host.Durability
	if s.engine != nil {
		durability = s.engine
	}
	sh.host = host.New(host.Config{
		Durability: durability,
		Loop:       l, Index: i, Classes: classes, Bindings: bindings,
		Limits:   host.Limits{MailEvents: c.Limits.MailboxEvents, MailBytes: c.Limits.MailboxBytes},
		Registry: registry{sh.registry, sh.transport}, Log: c.Log,
		Route: s.route, Outside: beside,
	})
	sh.slot = c.Guests.Slot(l, &introduced{sh.host, sh.guests}, &s.guests)
	return sh, nil
}

// Namespace is the name that keys the ids of a class.
func (s *Server) Namespace(class string) dormouse.Namespace {
	return dormouse.Namespace(s.cfg.Name + "-" + class)
}

// Start runs the loops and starts the guests; it returns when all are ready, or
// with the first reason why one is not.
func (s *Server) Start(ctx context.Context) error {
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
	return nil
}

// Replace has guests with newer code take over on every loop. The classes and
// bindings must be the same. After an error some loops may have the newer code;
// those whose guest could not start it keep the old one.
func (s *Server) Replace(ctx context.Context) error {
	for _, sh := range s.shards {
		if err := sh.slot.Replace(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Handler serves clients: HTTP and WebSockets.
func (s *Server) Handler() http.Handler { return s.front }

// Serve serves clients on a listener until Shutdown, with TLS if t is not nil.
func (s *Server) Serve(l net.Listener, t *tls.Config) error {
	h := &http.Server{
		Handler:           s.front,
		ReadHeaderTimeout: s.cfg.Limits.HeaderTimeout,
		IdleTimeout:       s.cfg.Limits.IdleTimeout,
		MaxHeaderBytes:    s.cfg.Limits.RequestHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
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

// Shutdown stops accepting, lets requests finish until ctx ends, closes every
// socket with 1001 and ends the guests.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	servers := s.servers
	s.servers, s.closed = nil, true
	s.mu.Unlock()
	var err error
	for _, h := range servers {
		if e := h.Shutdown(ctx); e != nil {
			h.Close()
			err = errors.Join(err, e)
		}
	}
	var wait sync.WaitGroup
	for _, sh := range s.shards {
		wait.Go(func() {
			sh.loop.Call(func() { sh.registry.CloseAll(ws.CloseGoingAway, "") })
			sh.drain(ctx)
			sh.slot.Stop()
			sh.transport.close(sh.loop)
			sh.loop.Stop()
		})
	}
	wait.Wait()
	if s.engine != nil {
		s.engine.Close()
	}
	if s.files != nil {
		s.files.Close()
	}
	return errors.Join(err, s.lock.release())
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
	n := s.next.Add(1)
	return s.shards[int(n)%len(s.shards)].host.FetchWorker(r, a)
}

// route finds the shard of an object: always the same for one id.
func (s *Server) route(k dormouse.Key) *host.Shard { return s.of(k).host }

func (s *Server) of(k dormouse.Key) *shard {
	n := uint(k.ID[0]) | uint(k.ID[1])<<8 | uint(k.ID[2])<<16
	return s.shards[n%uint(len(s.shards))]
}

// home finds the registry of the guest that made a pair.
func (s *Server) home(incarnation uint32) *hibernation.Registry {
	for _, sh := range s.shards {
		if sh.guests.has(incarnation) {
			return sh.registry
		}
	}
	return nil
}

// attach gives a client to the other end of a pair.
func (s *Server) attach(id dormouse.SocketID, c net.Conn, rest []byte, o ws.Options) error {
	r := s.home(id.Incarnation())
	if r == nil {
		return fmt.Errorf("socket %d was made by nobody here", id)
	}
	err := errors.New("the server is stopping")
	r.Loop().Call(func() { err = r.Attach(id, c, rest, o) })
	return err
}

func (s *Server) release(id dormouse.SocketID) {
	if r := s.home(id.Incarnation()); r != nil {
		r.Loop().Post(func() { r.Release(id) })
	}
}

// DatabaseFolder is where the databases of a data folder lie.
func DatabaseFolder(data string) string { return filepath.Join(data, "do") }

// DatabasePath is where an object's database lies.
func DatabasePath(data string, k dormouse.Key) string {
	id := k.ID.String()
	return filepath.Join(DatabaseFolder(data), string(k.Namespace), id[:2], id+".sqlite")
}
