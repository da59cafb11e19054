// Go-chat is a chat whose rooms are objects written in Go, mounted in an ordinary
// net/http server. A room that nobody speaks in leaves memory; its members stay
// connected, and their names come back with them.
//
//	go run ./examples/go-chat
package main

import (
	"context"
	"embed"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

//go:embed page.html
var page embed.FS

// room is one chat room. What it has in its fields is gone after a sleep.
type room struct {
	state *dormouse.State
}

// member is what the server keeps beside a socket while the room sleeps.
type member struct{ Name string }

// line is what everybody in the room is told.
type line struct {
	From string `json:"from,omitempty"`
	Text string `json:"text"`
}

func newRoom(s *dormouse.State, _ struct{}) (*room, error) {
	// Answered without waking the room.
	return &room{s}, s.SetAutoResponse("ping", "pong")
}

func (r *room) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name := req.URL.Query().Get("name")
	if name == "" || len(name) > 40 {
		http.Error(w, "say who you are: ?name=…, with at most 40 bytes", http.StatusBadRequest)
		return
	}
	ws, err := r.state.AcceptWebSocket(w, req, "member")
	if err != nil {
		return // the request has been answered with it
	}
	ws.SetAttachment(member{name})
	r.tell(line{Text: name + " has come"})
}

func (r *room) WebSocketMessage(_ context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	var from member
	if _, err := ws.Attachment(&from); err != nil {
		return err
	}
	r.tell(line{from.Name, m.String()})
	return nil
}

func (r *room) WebSocketClose(_ context.Context, ws *dormouse.WebSocket, _ dormouse.Closing) error {
	var gone member
	if _, err := ws.Attachment(&gone); err != nil {
		return err
	}
	r.tell(line{Text: gone.Name + " has left"})
	return nil
}

func (r *room) tell(l line) {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // a line is always JSON
	}
	for ws := range r.state.WebSockets("member") {
		ws.SendText(string(text)) // one that is closing cannot be told, and need not
	}
}

// chat is the whole program's handler, with the rooms of s in it.
func chat(s *server.Server) http.Handler {
	rooms := s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/lobby", http.StatusFound))
	mux.HandleFunc("GET /{room}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, page, "page.html")
	})
	mux.HandleFunc("GET /{room}/socket", func(w http.ResponseWriter, r *http.Request) {
		rooms.ByName(r.PathValue("room")).ServeHTTP(w, r)
	})
	return mux
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8787", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := new(server.Server)
	h := &http.Server{Addr: *addr, Handler: chat(s)}
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.Shutdown(end)
		s.Shutdown(end) // closes the sockets, which are no connections of h any more
	}()
	log.Printf("open http://%s in two tabs", *addr)
	if err := h.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}
