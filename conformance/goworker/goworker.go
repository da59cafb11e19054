// Package goworker is the conformance Worker with its objects written in Go: it
// answers the scripts' commands as conformance/worker does, by the same names.
// What a script asks that Go has no word for stands in scope.txt.
package goworker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/server"
)

// Worker serves the objects, and the admin API beside them.
type Worker struct {
	Addr, Admin string

	server *server.Server
	admin  *http.Server
	served sync.WaitGroup
}

// Start serves on loopback until Stop. An object left alone for hibernateAfter
// leaves memory.
func Start(hibernateAfter time.Duration) (*Worker, error) {
	s := &server.Server{Config: server.Config{
		Name: "conformance", HibernateAfter: hibernateAfter, AutoReply: true, Compress: true,
		Relaxed: true, // what is durable when is no question of the scripts, and a disk may be slower than their alarms
	}}
	book := &book{logs: make(map[string][]string), plans: make(map[string]string), marks: make(map[string]string)}
	classes := map[string]*server.Namespace{
		"Room": s.Define(dormouse.NewClass("Room", newRoom, book)),
		"Mute": s.Define(dormouse.NewClass("Mute", newMute, book)),
	}
	s.Worker = &front{book, classes}
	w := &Worker{server: s, admin: &http.Server{Handler: s.AdminHandler(admin.Options{})}}
	if err := s.Start(context.Background()); err != nil {
		return nil, err
	}
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	operators, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		clients.Close()
		return nil, err
	}
	w.Addr, w.Admin = clients.Addr().String(), operators.Addr().String()
	w.served.Go(func() { s.Serve(clients, nil) })
	w.served.Go(func() { w.admin.Serve(operators) })
	return w, nil
}

// Stop ends everything, and waits for it.
func (w *Worker) Stop() error {
	err := errors.Join(w.admin.Close(), w.server.Shutdown(context.Background()))
	w.served.Wait()
	return err
}

// front is what is not an object.
type front struct {
	book    *book
	classes map[string]*server.Namespace
}

// ServeHTTP implements http.Handler with the paths of worker/src/index.ts.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var words [4]string
	for i, p := range strings.SplitN(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/", len(words)) {
		words[i], _ = url.PathUnescape(p)
	}
	switch words[0] {
	case "", "ready":
		fmt.Fprint(w, "ready")
	case "log":
		from, _ := strconv.Atoi(r.FormValue("from"))
		fmt.Fprint(w, strings.Join(f.book.noted(words[1], from), "\n"))
	case "plan":
		f.book.plan(words[1], words[2])
	case "do":
		n := f.classes[words[1]]
		if n == nil {
			http.Error(w, "no such class", http.StatusNotFound)
			return
		}
		f.do(w, r, n.ByName(words[2]))
	case "ws":
		n := f.classes[words[1]]
		if n == nil {
			http.Error(w, "no such class", http.StatusNotFound)
			return
		}
		n.ByName(words[2]).ServeHTTP(w, r)
	default:
		http.Error(w, "no such path", http.StatusNotFound)
	}
}

// do passes a request on and tells what its caller gets.
func (f *front) do(w http.ResponseWriter, r *http.Request, o *server.Stub) {
	res, err := o.Fetch(r)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "the caller got "+complaint(err))
		return
	}
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	_ = copyAll(w, res.Body)
}

// book is what outlives the objects: what happened to them, what they shall do,
// and what they may go back to.
type book struct {
	mu    sync.Mutex // guards the following
	logs  map[string][]string
	plans map[string]string
	marks map[string]string // bookmarks, by the names that a script gives them
}

func (b *book) note(object, line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logs[object] = append(b.logs[object], line)
}

func (b *book) noted(object string, from int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.logs[object]
	return lines[min(max(from, 0), len(lines)):len(lines):len(lines)]
}

func (b *book) plan(object, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plans[object] = what
}

func (b *book) planned(object string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Fields(b.plans[object])
}

func (b *book) keep(name, mark string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.marks[name] = mark
}

func (b *book) kept(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.marks[name]
}
