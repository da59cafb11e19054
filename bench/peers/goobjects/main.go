// Goobjects serves the classes of bench/worker, written in Go. It prints the
// port that it took.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

func main() {
	// As docs/go.md says for programs that do little but pass messages on.
	debug.SetGCPercent(400)
	go giveBack()
	s := &server.Server{Config: server.Config{HibernateAfter: time.Second, Compress: true}}
	classes := map[string]*server.Namespace{
		"Echo":         s.Define(dormouse.NewClass("Echo", newEcho, 0)),
		"Steady":       s.Define(dormouse.NewClass("Steady", newEcho, 0)), // Echo: what waits a second for its next message may leave
		"Broadcast":    s.Define(dormouse.NewClass("Broadcast", newBroadcast, 0)),
		"AutoResponse": s.Define(dormouse.NewClass("AutoResponse", newAutoResponse, 0)),
		"Idle":         s.Define(dormouse.NewClass("Idle", newIdle, 0)),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/ws/{class}/{object}", func(w http.ResponseWriter, r *http.Request) {
		n, ok := classes[r.PathValue("class")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		n.ByName(r.PathValue("object")).ServeHTTP(w, r)
	})
	s.Worker = mux
	if err := s.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go s.Serve(l, nil)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	s.Shutdown(context.Background())
}

// giveBack collects what a burst has left when it is over, as the command does.
func giveBack() {
	const little = 64 << 10
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var last, given uint64
	for range time.Tick(time.Second) {
		metrics.Read(allocated)
		now := allocated[0].Value.Uint64()
		if now-last < little && now-given > little {
			debug.FreeOSMemory()
			given = now
		}
		last = now
	}
}

// room accepts whoever comes.
type room struct{ state *dormouse.State }

func (o *room) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.state.AcceptWebSocket(w, r) }

// echo returns each message to its sender.
type echo struct{ room }

func newEcho(s *dormouse.State, _ int) (*echo, error) { return &echo{room{s}}, nil }

func (o *echo) WebSocketMessage(_ context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	return ws.SendMessage(m)
}

// broadcast sends each message to everyone in the room, the sender included.
type broadcast struct{ room }

func newBroadcast(s *dormouse.State, _ int) (*broadcast, error) { return &broadcast{room{s}}, nil }

func (o *broadcast) WebSocketMessage(_ context.Context, _ *dormouse.WebSocket, m dormouse.Message) error {
	for ws := range o.state.WebSockets() {
		ws.SendMessage(m)
	}
	return nil
}

// autoResponse answers "ping" with "pong" without being asked.
type autoResponse struct{ room }

func newAutoResponse(s *dormouse.State, _ int) (*autoResponse, error) {
	return &autoResponse{room{s}}, s.SetAutoResponse("ping", "pong")
}

// idle tells how often its constructor has run.
type idle struct {
	room
	births int
}

func newIdle(s *dormouse.State, _ int) (*idle, error) {
	n, _ := births.LoadOrStore(s.ID(), new(atomic.Int64))
	return &idle{room{s}, int(n.(*atomic.Int64).Add(1))}, nil
}

// births counts the constructor's runs for each object: it must outlive them.
var births sync.Map

func (o *idle) WebSocketMessage(_ context.Context, ws *dormouse.WebSocket, _ dormouse.Message) error {
	return ws.SendText(fmt.Sprint(o.births))
}
