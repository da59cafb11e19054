package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/classes"
	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/guest/nodeguest"
	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/observe/tail"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
	"github.com/dormouse-dev/dormouse/internal/systemd"
	"github.com/dormouse-dev/dormouse/server"
)

func runCommand(dev bool) *cobra.Command {
	r := &runner{dev: dev}
	c := &cobra.Command{
		Use:   "serve [DIR]...",
		Short: "Serve the Worker in DIR, or the one that the data folder keeps",
		Long: "Serve the Worker in DIR, or the one that the data folder keeps. Of several Workers, each in a folder of its\n" +
			"own or with a wrangler file of its own, clients reach the first; the others are reached by bindings.",
	}
	if dev {
		c.Use, c.Short = "dev [DIR]...", "Serve the Worker in DIR, show its errors, and rebuild it when a file changes"
		c.Long = c.Short + ". Of several\nWorkers clients reach the first; the others are reached by bindings."
		c.Flags().StringVar(&r.inspect, "inspect", "", "let DevTools debug the Worker, at this address (127.0.0.1:9229); all objects then run in one guest, and none is ended for running long")
		c.Flags().Lookup("inspect").NoOptDefVal = "127.0.0.1:9229"
	}
	c.Flags().BoolVar(&r.testing, "testing", false, "let whoever reaches the admin address run code in objects and set the clock: for tests, see docs/testing.md")
	c.Flags().MarkHidden("testing")
	r.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		r.out, r.errs = c.OutOrStdout(), c.ErrOrStderr()
		w, err := newCrew(r, args)
		if err != nil {
			return err
		}
		return w.list[0].run(c)
	}
	return c
}

// runner is one run of a Worker, from its files to its last connection. The first
// of a crew runs the process.
type runner struct {
	options
	crew      *crew
	dev       bool
	kept      bool   // the data folder has the Worker: there is no project, or it does not count now
	worker    string // of kept ones that are known beforehand: its name
	inRoot    bool   // its data folder is one of several in a folder
	name      string // of the Worker, since prepare
	testing   bool   // for an author's own tests
	inspect   string // address for DevTools; empty: none
	out, errs io.Writer

	log      *slog.Logger
	tracer   tracer
	nodeBin  project.Node
	config   *project.Config // of the version that serves, or that is to
	settings *settings.Settings
	record   *classes.Record // of the data folder, for the version that is to serve
	versions versions
	archive  []byte    // of the project, unless it is kept or dev
	hash     string    // of the same
	inputs   []string  // files that the last build read
	built    time.Time // when it began
	picked   picked
}

func (r *runner) run(c *cobra.Command) (err error) {
	ctx := c.Context()
	wanted := make(chan os.Signal, 1)
	signal.Notify(wanted, syscall.SIGUSR2) // from the first moment: by default it ends us
	heir, err := inherit()
	if err != nil {
		return err
	}
	if heir != nil {
		defer func() {
			if err != nil {
				heir.Refuse(err)
			}
		}()
		if err := r.crew.inherit(heir.Hello); err != nil {
			return err
		}
	}
	if err := r.crew.prepare(c); err != nil {
		return err
	}
	adminOptions, err := r.adminOptions()
	if err != nil {
		return err
	}
	certificate, err := r.certificate()
	if err != nil {
		return err
	}
	if err := r.tracer.open(ctx, r.settings, r.config.Name, r.log); err != nil {
		return err
	}
	defer r.tracer.close()
	s, clients, operators, err := r.open(ctx, heir)
	if err != nil {
		return err
	}
	defer clients.Close()
	u := &upgrader{
		server: s, patience: r.settings.UpgradeDeadline, log: r.log, done: make(chan struct{}),
		listeners: map[string]net.Listener{clientsListener: clients},
	}
	adminOptions.Upgrade = u.upgrade
	failed := make(chan error, 2)
	serve := func(err error) {
		if !errors.Is(err, http.ErrServerClosed) { // by us, or by the upgrade that ends us
			failed <- err
		}
	}
	answerLast := func() {}
	go func() { serve(s.Serve(clients, certificate)) }()
	if operators != nil {
		u.listeners[adminListener] = operators
		h := &http.Server{Handler: r.crew.neighbours.AdminHandler(r.crew.admin(adminOptions)), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug)}
		go func() { serve(h.Serve(operators)) }()
		defer h.Close()
		for _, one := range r.crew.list {
			go one.versions.server.WatchHealth(ctx)
		}
		if err := r.crew.announce(operators.Addr().String()); err != nil {
			r.log.Warn("tools will not find the admin address by themselves", "reason", err)
		}
		answerLast = func() { r.answerLast(h) }
	}
	r.greet(clients, operators)
	if err := systemd.Notify(systemd.Ready); err != nil {
		r.log.Warn("systemd was not told", "reason", err)
	}
	debug.FreeOSMemory() // bundling takes tens of megabytes, once
	go giveBack(ctx)
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	if r.dev {
		for _, one := range r.crew.list {
			go one.watch(watching)
		}
	}
	for serves := true; serves; {
		select {
		case <-wanted:
			go func() {
				if _, err := u.upgrade(ctx, ""); err != nil {
					r.log.Error("upgrade failed; this process serves on", "reason", err)
				}
			}()
			continue
		case <-u.done:
			stopWatching() // the successor does
			answerLast()
			fmt.Fprintln(r.out, "another process serves now")
		case <-ctx.Done():
			fmt.Fprintln(r.out, "stopping")
			systemd.Notify(systemd.Stopping)
		case err = <-failed:
		}
		serves = false
	}
	stop, cancel := context.WithTimeout(context.Background(), r.settings.StopDeadline)
	defer cancel()
	return errors.Join(err, r.crew.shutdown(stop))
}

// answerLast has the admin API take no more requests and finish its answers: one
// is that of the upgrade that ends this process.
func (r *runner) answerLast(h *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	h.Shutdown(ctx)
}

// open makes the server and its listeners: new ones, or those of the process that
// it takes over from.
func (r *runner) open(ctx context.Context, heir *handover.Successor) (s *server.Server, clients, operators net.Listener, err error) {
	if heir == nil {
		if clients, operators, err = r.listenAll(); err != nil {
			return nil, nil, nil, err
		}
	}
	if err = r.crew.makeServers(heir); err == nil {
		err = r.crew.start(ctx, heir != nil)
	}
	if err != nil {
		r.crew.shutdown(ctx)
		return nil, nil, nil, err
	}
	s = r.versions.server
	if heir == nil {
		return s, clients, operators, nil
	}
	began := time.Now()
	collect := debug.SetGCPercent(-1) // clients wait; what comes is to stay
	listeners, total, err := s.TakeOver(takeLimit)
	debug.SetGCPercent(collect)
	if err != nil {
		r.crew.shutdown(ctx)
		return nil, nil, nil, fmt.Errorf("take over: %w", err)
	}
	for _, one := range r.crew.list {
		if err := one.settle(); err != nil { // too late to give back
			r.log.Error("the migrations that were applied are not written down", "reason", err)
		}
	}
	r.log.Info("took over from another process", "objects", total.Objects, "sockets", total.Descriptors,
		"mail", total.Mail, "bytes", total.Bytes, "waited", time.Since(began))
	clients, operators = listeners[clientsListener], listeners[adminListener]
	if clients == nil {
		clients, err = listen(r.settings.Listen, "--listen")
	}
	if operators == nil && r.settings.Admin != "" && err == nil {
		operators, err = listen(r.settings.Admin, "--admin")
	}
	return s, clients, operators, err
}

// prepare reads the settings and the project, if there is one.
func (r *runner) prepare(c *cobra.Command) error {
	found, err := r.resolve()
	if err != nil {
		return err
	}
	r.settings, r.name = found.Settings, r.config.Name
	var level slog.Level
	level.UnmarshalText([]byte(r.settings.Log.Level))
	if first := r.crew.list[0]; first != r {
		r.log = first.log
	} else {
		r.log = slog.New(tail.New(newLog(r.errs, r.settings.Log.Format, level, isTerminal(r.errs)).Handler()))
	}
	for _, w := range found.Warnings {
		r.log.Warn(w.Error())
	}
	if r == r.crew.list[0] {
		r.useMachine()
	}
	if dir := r.settings.HeapSnapshots; dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("heap_snapshots: %w", err)
		}
	}
	if err := checkInspect(r.inspect); err != nil {
		return err
	}
	if r.nodeBin, err = findNode(c, r.settings.Node, found.Source("node"), r.config.Dir); err != nil {
		return err
	}
	if r.kept {
		return nil
	}
	b, err := r.build(c.Context())
	if err != nil || r.dev {
		return err
	}
	p, err := deploy.Pack(r.config, b, classSettings(r.config, r.settings))
	if err != nil {
		return err
	}
	defer p.Close()
	r.hash = p.Manifest.Hash
	r.archive, err = p.Bytes()
	return err
}

// resolve reads the configuration: the project's, or without one that of the
// version which the data folder keeps.
func (r *runner) resolve() (*settings.Result, error) {
	if !r.kept {
		return r.resolveProject()
	}
	dir, err := project.Folder(r.dir)
	if err != nil {
		return nil, err
	}
	found, err := r.settingsOf(dir, nil)
	if err != nil {
		return nil, err
	}
	if r.worker != "" {
		if err := r.placeData(found, r.worker); err != nil {
			return nil, err
		}
	}
	store, err := deploy.Open(found.Settings.Data, found.Settings.Versions)
	if err != nil {
		return nil, err
	}
	if store.Current() == 0 && project.Here(r.dir) {
		r.kept = false // after a predecessor that has kept none
		return r.resolveProject()
	}
	if store.Current() == 0 {
		return nil, fmt.Errorf("there is no wrangler file in %s and no version in %s; name the project's folder, or the data folder with --data", dir, found.Settings.Data)
	}
	m, _, err := store.Load(store.Current())
	if err != nil {
		return nil, err
	}
	r.config = m.Config
	r.config.Dir = dir // where Node is looked for
	return found, nil
}

func (r *runner) resolveProject() (found *settings.Result, err error) {
	if r.config, found, err = r.load(); err != nil {
		return nil, err
	}
	return found, r.placeData(found, r.config.Name)
}

// build bundles what the files say now. The settings stay as they were at the
// start.
func (r *runner) build(ctx context.Context) (*bundle.Bundle, error) {
	r.built = time.Now()
	c, _, err := r.load()
	if err != nil {
		return nil, err
	}
	r.inputs = c.Files
	for _, w := range c.Warnings {
		r.log.Warn(w.Error())
	}
	if err := c.RunBuild(ctx, r.errs); err != nil {
		return nil, err
	}
	if err := c.CheckMain(); err != nil {
		return nil, err
	}
	env := "production"
	if r.dev {
		env = "development"
	}
	b, err := bundle.Build(c, bundle.Options{NodeEnv: env})
	if err != nil {
		if broken, ok := errors.AsType[*bundle.Error](err); ok {
			r.inputs = append(r.inputs, broken.Inputs...)
		}
		return nil, err
	}
	r.inputs = append(r.inputs, b.Inputs...)
	for _, w := range b.Warnings {
		r.log.Warn(w)
	}
	if err := c.CheckExports(b.Exports); err != nil {
		return nil, err
	}
	if r.dev {
		if r.record, err = migrate(r.settings.Data, c, r.log); err != nil {
			return nil, err
		}
		r.picked.config, r.picked.bundle = c, b
		return b, nil
	}
	r.config = c
	return b, nil
}

// deployOptions say how guests run, whatever they run.
func (r *runner) deployOptions() deploy.Options {
	l := &r.settings.Limits
	return deploy.Options{
		Data: r.settings.Data, Node: r.nodeBin.Path, Namespace: r.crew.namespace,
		Inspect: r.inspect, Testing: r.testing, Trace: r.settings.Trace.Endpoint != "", EgressAllow: r.settings.Egress.Allow, EgressDeny: r.settings.Egress.Deny,
		Unrestricted: !r.settings.GuestPermissions, Memory: r.settings.GuestMemory, Stall: l.GuestStall,
		HeapSnapshots:   nodeguest.Snapshots{Folder: r.settings.HeapSnapshots, Keep: r.settings.HeapSnapshotsKept},
		AttachmentBytes: int(l.AttachmentBytes), SocketsPerObject: l.SocketsPerObject, MailboxEvents: l.MailboxEvents, QueueTime: l.QueueTime,
		TaskKeepalive: l.TaskKeepalive, AlarmTime: l.AlarmTime, IgnoreTimersBeyond: l.IgnoreTimersBeyond, OpenDatabases: l.OpenDatabases, DatabaseCache: int(l.DatabaseCache),
	}
}

func (r *runner) serverConfig() server.Config {
	o := r.settings
	shards := o.Guests
	if r.inspect != "" {
		shards = 1 // one address, one process
	}
	if shards == 0 {
		shards = max(1, runtime.NumCPU()/2)
	}
	own := o.Limits.OwnGuests
	if own == 0 {
		own = -1 // none
	}
	return server.Config{
		Name: r.config.Name, Data: o.Data,
		Guests: guests{&r.versions, r.log, r.spare(shards)},
		Shards: shards, HibernateAfter: o.HibernateAfter,
		Relaxed:     o.Durability == settings.Relaxed,
		HistoryTime: o.HistoryTime, HistoryBytes: historyBytes(o),
		TrustedProxies: o.TrustedProxies, Details: r.dev, Log: r.log,
		Tracer:    r.crew.list[0].tracer.get(),
		Testing:   r.testing,
		SlowEvent: o.Log.Slow, Version: version, Commit: commit,
		Limits: server.Limits{
			Message: int(o.Limits.MessageBytes), Outbound: int(o.Limits.OutboundBytes),
			SocketsPerObject: o.Limits.SocketsPerObject, CloseHandshake: o.Limits.CloseHandshake,
			RequestBody: o.Limits.RequestBytes, RequestHeader: int(o.Limits.RequestHeaderBytes),
			HeaderTimeout: o.Limits.HeaderTimeout, IdleTimeout: o.Limits.IdleTimeout,
			ClientHandshakes: o.Limits.ClientHandshakes, ClientSockets: o.Limits.ClientSockets, ClientMessages: o.Limits.ClientMessages, OwnGuests: own,
			MailboxEvents: o.Limits.MailboxEvents, MailboxBytes: int(o.Limits.MailboxBytes), QueueTime: o.Limits.QueueTime,
		},
	}
}

// historyBytes is the budget of history as package server counts it.
func historyBytes(o *settings.Settings) int64 {
	if o.HistoryBytes == 0 {
		return -1
	}
	return o.HistoryBytes
}

// spare says whether a guest more is kept ready for each.
func (r *runner) spare(shards int) bool {
	switch r.settings.SpareGuest {
	case settings.SpareOn:
		return true
	case settings.SpareOff:
		return false
	}
	return !r.dev && nodeguest.FreeMemory() > 2*int64(shards)*r.settings.GuestMemory
}

// guests starts Node processes.
type guests struct {
	versions *versions
	log      *slog.Logger
	spare    bool
}

func (g guests) Slot(l *loop.Loop, h server.GuestHost, next *atomic.Uint32) server.Slot {
	return slot{nodeguest.NewSlot(nodeguest.SlotConfig{
		Loop: l, Host: h, Held: h.Held(), Next: next, Log: g.log,
		Command: g.versions.Command, Newer: g.versions.Newer, Spare: g.spare,
	})}
}

// slot is a nodeguest.Slot as a server.Slot.
type slot struct{ *nodeguest.Slot }

func (s slot) Prepare(ctx context.Context) (server.Replacement, error) {
	r, err := s.Slot.Prepare(ctx)
	if err != nil {
		return nil, err // not a Replacement that is nil
	}
	return r, nil
}

// greet says where everything is, in a form that a person likes to read and a
// script can.
func (r *runner) greet(clients, operators net.Listener) {
	scheme := "http"
	if r.settings.TLSCert != "" {
		scheme = "https"
	}
	fmt.Fprintf(r.out, "%s is ready at %s://%s\n", r.config.Name, scheme, clients.Addr())
	var names, workers []string
	for _, one := range r.crew.list {
		of := ""
		if workers = append(workers, one.config.Name); r.crew.several() {
			of = one.config.Name + "/"
		}
		for _, c := range one.config.Classes {
			names = append(names, of+c.Name)
		}
	}
	if r.crew.several() {
		fmt.Fprintf(r.out, "  workers   %s\n", strings.Join(workers, ", "))
	}
	if len(names) > 0 {
		fmt.Fprintf(r.out, "  classes   %s\n", strings.Join(names, ", "))
	}
	if operators != nil {
		fmt.Fprintf(r.out, "  admin     http://%s/\n", operators.Addr())
	}
	if n := r.versions.current.Load().Number; n != 0 {
		fmt.Fprintf(r.out, "  version   %d\n", n)
	}
	if r.inspect != "" {
		fmt.Fprintf(r.out, "  DevTools  %s (chrome://inspect, or `node inspect %s`)\n", r.inspect, r.inspect)
	}
	for _, one := range r.crew.list {
		fmt.Fprintf(r.out, "  data      %s\n", one.settings.Data)
	}
	fmt.Fprintf(r.out, "  node      %s (%s)\n", r.nodeBin.Version, r.nodeBin.Path)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	i, err := f.Stat()
	return err == nil && i.Mode()&os.ModeCharDevice != 0
}
