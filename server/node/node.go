//go:build !windows

// Package node has a server run Durable Objects written in JavaScript or
// TypeScript, on Node, beside those in Go. It bundles a Worker as the command
// dormouse does, and knows no object. A program that does not import it holds
// neither esbuild nor anything of Node.
//
//	s := &server.Server{Config: server.Config{Data: "data"}}
//	counters := s.Define(dormouse.NewClass("Counter", NewCounter, Env{}))
//	err := node.Worker{Dir: "worker", Bind: map[string]*server.Namespace{"COUNTERS": counters}}.Add(ctx, s)
//	rooms := s.Namespace("Room") // a class of the Worker's
//
// To JavaScript a class in Go is a namespace in env, whose stubs have fetch, with
// WebSockets, and methods: stub.add(1) calls Add(ctx, 1). To Go a class in
// JavaScript is a server.Namespace: a Stub is an http.Handler, has Fetch, and
// server.Invoke calls its methods.
package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/classes"
	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/guest/nodeguest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	"github.com/dormouse-dev/dormouse/internal/project/compat"
	"github.com/dormouse-dev/dormouse/server"
)

// Worker is a Worker with its Durable Object classes: a folder with a wrangler
// file. Its fetch answers what comes to the server's Handler.
type Worker struct {
	Dir string // the folder, or its wrangler file
	Env string // the environment of the wrangler file; empty: the top level

	// Bind are classes that the wrangler file does not know, by their names in
	// env: those in Go.
	Bind map[string]*server.Namespace

	// Node is the path of Node 26 or newer. Empty: DORMOUSE_NODE, or the first that
	// will do of the Worker's node_modules, those beside this program, and PATH.
	Node string

	// Memory is what one Node process may occupy, in bytes, until it is replaced.
	// Zero: 256 MiB.
	Memory int64

	// Output gets what the Worker's own build command prints; nil: nobody does.
	Output io.Writer
}

// Defaults of the guests, which are those of the command.
const (
	memory        = 256 << 20
	stall         = 5 * time.Second
	taskKeepalive = 15 * time.Minute
	evictAfter    = 100 * time.Second
)

// Add bundles the Worker and has s run it: its name, and its classes with what the
// wrangler file says of them, become the server's. It comes before s is used, and
// after Config.Data has been set. Config.Shards is how many Node processes there
// will be; each has a share of the objects. They start with the server.
//
// What is wrong with the Worker's files is said in the error, with the places;
// what is only odd goes to Config.Log.
func (w Worker) Add(ctx context.Context, s *server.Server) error {
	if s.Data == "" {
		return errors.New("add a Worker: Config.Data is to be set: a folder for the code and what the objects store")
	}
	if s.Guests != nil {
		return errors.New("add a Worker: the server has one already")
	}
	data, err := filepath.Abs(s.Data)
	if err != nil {
		return err
	}
	log := logOf(s)
	c, b, err := w.bundle(ctx, log)
	if err != nil {
		return err
	}
	if err := migrate(data, c, log); err != nil {
		return err
	}
	s.Name = c.Name
	o := deploy.Options{
		Data: data, Memory: cmp.Or(w.Memory, memory), Stall: stall, TaskKeepalive: taskKeepalive,
		SocketsPerObject: cmp.Or(s.Limits.SocketsPerObject, dormouse.MaxSocketsPerObject),
	}
	for _, name := range slices.Sorted(maps.Keys(w.Bind)) {
		o.Beside = append(o.Beside, deploy.Beside{Binding: name, Namespace: w.Bind[name].Name()})
	}
	if o.Node, err = w.findNode(ctx, c.Dir); err != nil {
		return err
	}
	v, err := deploy.Prepare(c, b, o)
	if err != nil {
		return err
	}
	configure(&s.Config, c)
	s.Data = data
	s.Guests = guests{v.Command(), s}
	return nil
}

// bundle reads the Worker's files and makes a module of them.
func (w Worker) bundle(ctx context.Context, log *slog.Logger) (*project.Config, *bundle.Bundle, error) {
	c, err := project.Load(project.Options{Dir: w.Dir, Env: w.Env, LookupEnv: os.LookupEnv, Now: time.Now()})
	if err != nil {
		return nil, nil, err
	}
	for _, p := range c.Warnings {
		log.Warn(p.Error())
	}
	out := w.Output
	if out == nil {
		out = io.Discard
	}
	if err := c.RunBuild(ctx, out); err != nil {
		return nil, nil, err
	}
	if err := c.CheckMain(); err != nil {
		return nil, nil, err
	}
	for _, n := range c.Objects {
		if w.Bind[n.Name] != nil {
			return nil, nil, fmt.Errorf("the binding %s is in %s and in Worker.Bind", n.Name, c.File)
		}
	}
	b, err := bundle.Build(c, bundle.Options{})
	if err != nil {
		return nil, nil, err
	}
	for _, text := range b.Warnings {
		log.Warn(text)
	}
	return c, b, c.CheckExports(b.Exports)
}

// logOf is a server's log as it is now.
func logOf(s *server.Server) *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

func (w Worker) findNode(ctx context.Context, dir string) (string, error) {
	search := project.NodeSearch{Named: w.Node, NamedBy: "Worker.Node", Dir: dir, Path: os.Getenv("PATH")}
	if named := os.Getenv("DORMOUSE_NODE"); w.Node == "" && named != "" {
		search.Named, search.NamedBy = named, "DORMOUSE_NODE"
	}
	n, err := project.FindNode(ctx, search)
	return n.Path, err
}

// configure has a server run the Worker as its files say.
func configure(s *server.Config, c *project.Config) {
	for _, k := range c.Classes {
		s.Classes = append(s.Classes, server.Class{Name: k.Name, Namespace: c.Namespace(k.Name)})
	}
	s.AutoReply = c.Compat.Has(compat.AutoReplyToClose)
	s.Compress = s.Compress || c.Compat.Has(compat.WebSocketCompression)
	if !c.Compat.Has(compat.IOTasksPreventEviction) {
		s.EvictAfter = cmp.Or(s.EvictAfter, evictAfter)
	}
	if a := c.Assets; a != nil {
		s.Assets = &server.Assets{
			Directory: a.Directory, HTML: a.HTMLHandling, NotFound: a.NotFoundHandling,
			WorkerFirst: a.WorkerFirst, WorkerPaths: a.WorkerFirstPaths,
			Navigation: c.Compat.Has(compat.NavigationPrefersAssets),
		}
	}
}

// migrate applies the migrations of the wrangler file to the data folder.
func migrate(data string, c *project.Config, log *slog.Logger) error {
	r, err := classes.Load(data)
	if err != nil {
		return err
	}
	o, err := r.Apply(c, classes.World{Now: time.Now(), Stored: classes.Stored(server.DatabaseFolder(data))})
	if err != nil {
		return err
	}
	for _, text := range o.Warnings {
		log.Warn(text)
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	return r.Save(data)
}

// guests is a server.Guests that runs one version for ever.
type guests struct {
	command nodeguest.Command
	server  *server.Server
}

// Methods lets the Worker call objects in Go by the names of their methods.
func (guests) Methods(m *goguest.Methods) { m.Use(goguest.ByName) }

// Slot implements server.Guests.
func (g guests) Slot(l *loop.Loop, h server.GuestHost, next *atomic.Uint32) server.Slot {
	command := func() nodeguest.Command { return g.command }
	return slot{nodeguest.NewSlot(nodeguest.SlotConfig{
		Loop: l, Host: h, Held: h.Held(), Next: next, Log: logOf(g.server), Command: command, Newer: command,
	})}
}

// slot is a nodeguest.Slot as a server.Slot.
type slot struct{ *nodeguest.Slot }

// Prepare implements server.Slot: newer code comes with a newer program.
func (slot) Prepare(context.Context) (server.Replacement, error) {
	return nil, errors.New("the Worker was bundled when this program began: restart it for newer code")
}
