// Gobwas is what a person would otherwise write in Go: the package gobwas/ws
// with a goroutine for each connection, and the answers of bench/worker. Prints
// the port it took.
package main

import (
	"bufio"
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
		c := new(client)
		// In its room before it is told so: what is said then it hears.
		if _, _, _, err := ws.UpgradeHTTP(r, joining{w, func(conn net.Conn) {
			c.conn = conn
			all.join(r.URL.Path, c)
		}}); err != nil {
			all.leave(r.URL.Path, c)
			return
		}
		go serve(all, c, r.PathValue("class"), r.URL.Path)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(l, mux))
}

// joining says whose connection is taken over, before anything is written to it.
type joining struct {
	http.ResponseWriter
	join func(net.Conn)
}

// Hijack implements http.Hijacker.
func (j joining) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(j.ResponseWriter).Hijack()
	if err == nil {
		j.join(conn)
	}
	return conn, rw, err
}

func serve(all *rooms, c *client, class, room string) {
	defer c.conn.Close()
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
