// Gobwas is what a person would otherwise write in Go: the package gobwas/ws
// with a goroutine for each connection, and the answers of bench/worker. Prints
// the port it took.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// client is one connection. Whoever writes to it holds mu.
type client struct {
	mu   sync.Mutex
	conn net.Conn
}

func (c *client) send(op ws.OpCode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return wsutil.WriteServerMessage(c.conn, op, payload)
}

// rooms are the clients of each path.
type rooms struct {
	mu sync.RWMutex // guards the following
	in map[string]map[*client]struct{}
}

func (r *rooms) join(name string, c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in[name] == nil {
		r.in[name] = make(map[*client]struct{})
	}
	r.in[name][c] = struct{}{}
}

func (r *rooms) leave(name string, c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.in[name], c)
}

func (r *rooms) broadcast(name string, op ws.OpCode, payload []byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for c := range r.in[name] {
		c.send(op, payload)
	}
}

func main() {
	all := &rooms{in: make(map[string]map[*client]struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/ws/{class}/{object}", func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		go serve(all, &client{conn: conn}, r.PathValue("class"), r.URL.Path)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(l, mux))
}

func serve(all *rooms, c *client, class, room string) {
	defer c.conn.Close()
	all.join(room, c)
	defer all.leave(room, c)
	for {
		payload, op, err := wsutil.ReadClientData(c.conn)
		if err != nil {
			return
		}
		switch class {
		case "Echo":
			err = c.send(op, payload)
		case "Broadcast":
			all.broadcast(room, op, payload)
		case "AutoResponse":
			if string(payload) == "ping" {
				err = c.send(op, []byte("pong"))
			}
		case "Idle":
			err = c.send(op, []byte("1"))
		}
		if err != nil {
			return
		}
	}
}
