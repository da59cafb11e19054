package server

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Class is a class of objects.
type Class struct {
	Name string
	// Namespace holds its objects; empty: the Worker's name and the class's with a
	// dash between.
	Namespace   dormouse.Namespace
	KeepOnReset bool // sockets stay connected when an instance is reset
	// CloseOnUpdate drops sockets when an object moves to newer code.
	CloseOnUpdate bool
	// OwnGuest runs the class's objects in guests of their own, one for each loop.
	OwnGuest bool
}

// Config is what a Server is made from. The zero value of each field is a
// sensible one unless it says otherwise.
type Config struct {
	Name    string  // of the Worker; part of every id. Needed for Guests
	Data    string  // folder of everything that stays; empty: a temporary one, removed by Shutdown
	Classes []Class // of the guests, in the order in which they number them
	Assets  *Assets // files beside the Worker; nil: none
	// Bindings says for each binding of a namespace which class it reaches.
	Bindings []int
	// Guests runs code in other languages; nil: there is none, see Define.
	Guests Guests
	// Worker answers what comes to Handler, if there are no Guests.
	Worker http.Handler
	Shards int // loops; 0 is one for Guests, and one for each two processors for Go

	HibernateAfter time.Duration // of an idle object; 0 is 10 s
	EvictAfter     time.Duration // of a quiet object with tasks; 0 is never
	Limits         Limits
	// Relaxed lets outputs leave before the commits behind them are on disk: a
	// power cut may then take what a client was told. The death of a process
	// never does.
	Relaxed bool
	// HistoryTime and HistoryBytes are how much of what objects were is kept. 0 is
	// 30 days and 2 GiB; with negative bytes none is.
	HistoryTime  time.Duration
	HistoryBytes int64

	AutoReply      bool // answer a client's Close for the application
	Compress       bool // negotiate permessage-deflate
	Details        bool // show the author's errors to clients
	TestHooks      bool // let the code evict, reset and delete all of its objects: workerd:unsafe
	Testing        bool // let whoever reaches the admin address run code in objects, and set the clock
	TrustedProxies []netip.Prefix
	// Log may have a tail.Hub as its handler; then the admin API lets people read
	// along. nil: nothing is logged.
	Log *slog.Logger

	// Neighbours are servers of this process whose code may reach this one's, and
	// the other way round; nil: there are none.
	Neighbours *Neighbours

	// Parts replaces what a server stands on: see package dormousetest.
	Parts *Parts

	// SlowEvent is how long an event may take until it is logged, with where it
	// waited; 0: for ever.
	SlowEvent time.Duration
	// Tracer writes spans of requests and events; nil: nobody does.
	Tracer trace.Tracer
	// Version and Commit are shown among the metrics.
	Version, Commit string
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
	Attachment       int           // bytes of a socket's, of objects written in Go; 2,048
	CloseHandshake   time.Duration // 0 waits for ever
	RequestBody      int64         // bytes; 0 is without limit
	RequestHeader    int           // bytes; 1 MiB
	HeaderTimeout    time.Duration // to send a request's head; 10 s
	IdleTimeout      time.Duration // between requests; 2 min
	MailboxEvents    int           // that wait for one object; 10,000
	QueueTime        time.Duration // of a request, for a Worker in Node; 0 is without limit
	ClientHandshakes int           // of WebSockets, a second and client address; 0 is without limit
	ClientSockets    int           // of one client address; 0 is without limit
	ClientMessages   int           // over the WebSockets of one address, a second; past it they are read more slowly; 0 is without limit
	MailboxBytes     int           // 8 MiB
	OwnGuests        int           // of objects that misbehave, for each loop; 2; less than 0: none
}

func defaults(c *Config) {
	if c.HibernateAfter == 0 {
		c.HibernateAfter = 10 * time.Second
	}
	l := &c.Limits
	for p, v := range map[*int]int{
		&l.Message: dormouse.MaxMessage, &l.Outbound: ws.DefaultMaxOutbound,
		&l.SocketsPerObject: dormouse.MaxSocketsPerObject, &l.Attachment: dormouse.MaxAttachment, &l.RequestHeader: 1 << 20,
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
