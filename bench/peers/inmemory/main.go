// Inmemory is a shard of Dormouse without a descriptor: the real registry and
// the real residency over sockets in memory, with a guest that echoes at once.
// It holds more sockets than a process may open, and shows what each costs where
// the kernel and Node have no part. It prints the port on which it is asked:
//
//	GET /grow?sockets=N&each=M  opens sockets until there are N, M for each object
//	                            (the same M at all times), lets all objects
//	                            sleep, and measures
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"

	gws "github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wspipe"
)

const (
	messages = 200_000 // of one measurement
	atOnce   = 100
	size     = 64
)

func main() {
	var w *world // of the first question's shape
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/grow", func(rw http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("sockets"))
		each, eachErr := strconv.Atoi(r.FormValue("each"))
		if err = errors.Join(err, eachErr); err != nil || each <= 0 {
			http.Error(rw, fmt.Sprintf("want sockets=N and each=M: %v", err), http.StatusBadRequest)
			return
		}
		if w == nil {
			w = newWorld(each)
		}
		if n < len(w.ends) || n%each != 0 || each != w.perObject {
			http.Error(rw, fmt.Sprintf("want sockets=N, a multiple of %d and no less than %d", w.perObject, len(w.ends)), http.StatusBadRequest)
			return
		}
		m, err := w.grow(n)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		json.NewEncoder(rw).Encode(m)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(l, mux))
}

// measured is the answer to /grow.
type measured struct {
	Bytes   float64 `json:"bytes"`   // of heap for each socket and its part of a hibernated object
	Message float64 `json:"message"` // µs of CPU for each message and its echo, but for Client
	Client  float64 `json:"client"`  // and what its client's end took of it
	Open    float64 `json:"open"`    // µs of CPU for each new socket
}

// world is the shard and the clients' ends of its sockets. One question is put to
// it at a time.
type world struct {
	perObject int // sockets

	loop     *loop.Loop
	host     *host.Shard
	registry *hibernation.Registry
	guest    *echoes
	far      []dormouse.SocketID // accepted, and not attached yet; on the loop
	full     chan struct{}       // holds one: far has an object's sockets
	ends     []*wspipe.End
	keys     []dormouse.Key
	empty    uint64
}

const namespace = dormouse.Namespace("bench-Room")

func newWorld(perObject int) *world {
	w := &world{perObject: perObject, loop: loop.NewPortable(), full: make(chan struct{}, 1)}
	transport := wspipe.New(w.loop)
	w.registry = hibernation.New(hibernation.Config{
		Loop: w.loop, Transport: transport, MaxSockets: dormouse.MaxSocketsPerObject,
		Home: func(uint32) *hibernation.Registry { return w.registry },
	})
	w.host = host.New(host.Config{
		Loop: w.loop, Log: slog.New(slog.DiscardHandler), Registry: registry{w.registry, transport},
		Classes: []host.Class{{Name: "Room", Namespace: namespace, Rest: object.Rest{Hibernate: time.Hour}}}, // it is told when
		Route:   func(dormouse.Key) *host.Shard { return w.host },
	})
	w.loop.Start()
	w.guest = &echoes{
		host: w.host, loop: w.loop, perObject: uint32(perObject), instances: make(map[guest.Object]uint32),
		accepted: func(client dormouse.SocketID) {
			if w.far = append(w.far, client); len(w.far) == perObject {
				w.full <- struct{}{}
			}
		},
	}
	w.guest.turn = w.guest.handle
	w.loop.Call(func() { w.host.Ready(w.guest, guest.Ready{}) })
	w.empty = heap()
	return w
}

func (w *world) grow(n int) (m measured, err error) {
	began, had := cpu(), len(w.ends)
	for len(w.ends) < n {
		if err := w.open(); err != nil {
			return m, err
		}
	}
	if n > had {
		m.Open = micros(cpu()-began) / float64(n-had)
	}
	if err := w.sleep(); err != nil {
		return m, err
	}
	m.Bytes = float64(heap()-w.empty) / float64(n)
	random := rand.New(rand.NewPCG(1, uint64(n)))
	if err := w.echo(func(i int) int { return i * w.perObject }, len(w.keys)); err != nil { // wakes them all
		return m, err
	}
	runtime.GC() // what waking them all has left is no cost of messages: it would be collected while they are measured
	// The clients are this goroutine, and in its thread nothing else runs until it
	// is let go. They are no part of the server, but among a million of them each
	// waits for memory, too.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began = cpu()
	clients := threadCPU()
	err = w.echo(func(int) int { return random.IntN(n) }, messages)
	clients = threadCPU() - clients
	m.Client = micros(clients) / messages
	m.Message = micros(cpu()-began-clients) / messages
	return m, err
}

// open adds an object with its sockets.
func (w *world) open() error {
	name := fmt.Sprint("room ", len(w.keys))
	k := dormouse.Key{Namespace: namespace, ID: namespace.IDFromName(name)}
	w.keys = append(w.keys, k)
	for range w.perObject {
		w.host.Fetch(k, 0, &name, &guest.Request{Method: "GET", URL: "http://x/"}, discard{})
	}
	<-w.full
	var err error
	w.loop.Call(func() {
		for _, id := range w.far {
			near, conn := wspipe.Pipe()
			w.ends = append(w.ends, near)
			err = errors.Join(err, w.registry.Attach(id, conn, nil, ws.Options{}))
		}
		w.far = w.far[:0]
	})
	for _, e := range w.ends[len(w.ends)-w.perObject:] {
		e.Take()
	}
	return err
}

// sleep has every object leave memory.
func (w *world) sleep() error {
	w.loop.Call(func() {
		for _, k := range w.keys {
			w.host.Hibernate(k, true, func(bool) {})
		}
	})
	for range 1000 {
		awake := 0
		w.loop.Call(func() { awake = len(w.guest.instances) })
		if awake == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("objects do not leave memory")
}

// echo sends n messages, some at a time, each on the socket that which says, and
// checks what comes back.
func (w *world) echo(which func(int) int, n int) error {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = 'm'
	}
	frame := gws.MustCompileFrame(gws.MaskFrameWith(gws.NewTextFrame(payload), [4]byte{1, 2, 3, 4}))
	reply := gws.MustCompileFrame(gws.NewTextFrame(payload))
	got := make([]byte, len(reply))
	for i := 0; i < n; {
		batch := make([]*wspipe.End, 0, atOnce)
		for ; i < n && len(batch) < atOnce; i++ {
			e := w.ends[which(i)]
			if _, err := e.Write(frame); err != nil {
				return err
			}
			batch = append(batch, e)
		}
		for _, e := range batch {
			if _, err := io.ReadFull(e, got); err != nil {
				return err
			}
			if string(got) != string(reply) {
				return fmt.Errorf("want the message back, got %q", got)
			}
		}
	}
	return nil
}

// registry introduces the two packages to each other, as package server does.
type registry struct {
	*hibernation.Registry
	*wspipe.Transport
}

func (r registry) NewSet(to host.Recipient, hibernatable bool) host.Set {
	return r.Registry.NewSet(to, hibernatable)
}

func (r registry) Accept(t host.Set, s dormouse.SocketID, tags []string) error {
	return r.Registry.Accept(t.(*hibernation.Set), s, tags)
}

func (r registry) Open(t host.Set, s dormouse.SocketID) error {
	return r.Registry.Open(t.(*hibernation.Set), s)
}

// discard is an Answer that nobody reads.
type discard struct{}

func (discard) Response(*guest.Response) {}
func (discard) Body([]byte)              {}
func (discard) BodyEnd()                 {}
func (discard) BodyAbort(string)         {}
func (discard) Credit(uint32)            {}
func (discard) Cancel(string)            {}
func (discard) Failure(*dormouse.Error)  {}

// heap is how much is in use after everything unused is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func cpu() time.Duration       { return used(unix.RUSAGE_SELF) }
func threadCPU() time.Duration { return used(unix.RUSAGE_THREAD) }

func used(by int) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(by, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
