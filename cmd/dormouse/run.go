package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/guest/nodeguest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	"github.com/dormouse-dev/dormouse/internal/project/compat"
	"github.com/dormouse-dev/dormouse/server"
)

// stopLimit is how long an orderly stop waits for requests.
const stopLimit = 10 * time.Second

func runCommand(dev bool) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "serve [DIR]",
		Short: "Serve the Worker in DIR",
		Args:  cobra.MaximumNArgs(1),
	}
	if dev {
		c.Use, c.Short = "dev [DIR]", "Serve the Worker in DIR, show its errors, and rebuild it when a file changes"
	}
	o.register(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		dir := "."
		if len(args) > 0 {
			dir = args[0]
		}
		r := &runner{options: o, dir: dir, dev: dev, out: c.OutOrStdout(), errs: c.ErrOrStderr()}
		return r.run(c.Context())
	}
	return c
}

// runner is one run of a Worker, from its files to its last connection.
type runner struct {
	options
	dir       string
	dev       bool
	out, errs io.Writer

	log     *slog.Logger
	nodeBin project.Node
	config  *project.Config
	version atomic.Pointer[deploy.Version] // what guests are started with
	inputs  []string                       // files that the last build read
	built   time.Time                      // when it began
}

func (r *runner) run(ctx context.Context) error {
	level := slog.LevelInfo
	if r.verbose {
		level = slog.LevelDebug
	}
	r.log = newLog(r.errs, r.logFormat, level, isTerminal(r.errs))
	if err := r.prepare(ctx); err != nil {
		return err
	}
	adminOptions, err := r.adminOptions()
	if err != nil {
		return err
	}
	clients, operators, err := r.listenAll()
	if err != nil {
		return err
	}
	defer clients.Close()
	s, err := server.New(r.serverConfig())
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		s.Shutdown(ctx)
		return fmt.Errorf("the Worker does not start: %w", err)
	}
	failed := make(chan error, 2)
	certificate, err := r.certificate()
	if err != nil {
		s.Shutdown(ctx)
		return err
	}
	go func() { failed <- s.Serve(clients, certificate) }()
	if operators != nil {
		h := &http.Server{Handler: s.AdminHandler(adminOptions), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug)}
		go func() { failed <- h.Serve(operators) }()
		defer h.Close()
	}
	r.greet(clients, operators)
	if r.dev {
		go r.watch(ctx, s)
	}
	select {
	case <-ctx.Done():
		fmt.Fprintln(r.out, "stopping")
	case err = <-failed:
	}
	stop, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return errors.Join(err, s.Shutdown(stop))
}

// prepare reads the project and makes a version of it that guests can run.
func (r *runner) prepare(ctx context.Context) error {
	var err error
	r.nodeBin, err = project.FindNode(ctx, project.NodeSearch{
		Flag: r.node, Env: os.Getenv("DORMOUSE_NODE"), Dir: r.dir, Path: os.Getenv("PATH"),
	})
	if err != nil {
		return err
	}
	c, v, err := r.build(ctx)
	if err != nil {
		return err
	}
	r.config = c
	r.version.Store(v)
	return nil
}

// build makes a version of what the files say now.
func (r *runner) build(ctx context.Context) (*project.Config, *deploy.Version, error) {
	r.built = time.Now()
	c, err := project.Load(project.Options{
		Dir: r.dir, Env: r.env, SecretFiles: r.secretFiles, LookupEnv: os.LookupEnv,
		AllowMissing: r.allowMissing, Now: time.Now(),
	})
	if err != nil {
		return nil, nil, err
	}
	r.inputs = c.Files
	for _, w := range c.Warnings {
		r.log.Warn(w.Error())
	}
	if err := c.RunBuild(ctx, r.errs); err != nil {
		return nil, nil, err
	}
	if err := c.CheckMain(); err != nil {
		return nil, nil, err
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
		return nil, nil, err
	}
	r.inputs = append(r.inputs, b.Inputs...)
	for _, w := range b.Warnings {
		r.log.Warn(w)
	}
	if err := c.CheckExports(b.Exports); err != nil {
		return nil, nil, err
	}
	if r.data == "" {
		r.data = filepath.Join(c.Dir, ".dormouse")
	}
	data, err := filepath.Abs(r.data)
	if err != nil {
		return nil, nil, err
	}
	v, err := deploy.Prepare(c, b, deploy.Options{
		Data: data, Node: r.nodeBin.Path, Unrestricted: !r.permissions, Memory: 256 << 20,
		SocketsPerObject: 32768, TaskKeepalive: 15 * time.Minute, OpenDatabases: 256,
	})
	return c, v, err
}

func (r *runner) serverConfig() server.Config {
	v := r.version.Load()
	classes := make([]server.Class, len(v.Classes))
	for i, k := range v.Classes {
		classes[i] = server.Class{Name: k.Name}
	}
	data, _ := filepath.Abs(r.data)
	shards := r.guests
	if shards == 0 {
		shards = max(1, runtime.NumCPU()/2)
	}
	return server.Config{
		Name: r.config.Name, Data: data, Classes: classes, Bindings: v.Bindings,
		Guests: guests{func() nodeguest.Command { return r.version.Load().Command() }, r.log},
		Shards: shards, HibernateAfter: r.hibernateAfter,
		AutoReply: r.config.Compat.Has(compat.AutoReplyToClose),
		Compress:  r.config.Compat.Has(compat.WebSocketCompression),
		Details:   r.dev, Log: r.log,
	}
}

// guests starts Node processes.
type guests struct {
	command func() nodeguest.Command
	log     *slog.Logger
}

func (g guests) Slot(l *loop.Loop, h server.GuestHost, next *atomic.Uint32) server.Slot {
	return nodeguest.NewSlot(nodeguest.SlotConfig{Loop: l, Host: h, Command: g.command, Next: next, Log: g.log})
}

// listenAll opens the addresses before anything is started.
func (r *runner) listenAll() (clients, operators net.Listener, err error) {
	if clients, err = listen(r.listen, "--listen"); err != nil {
		return nil, nil, err
	}
	if r.admin == "" {
		return clients, nil, nil
	}
	if operators, err = listen(r.admin, "--admin"); err != nil {
		clients.Close()
		return nil, nil, err
	}
	return clients, operators, nil
}

func listen(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is in use by another program; stop that one, or choose another with %s", address, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

func (r *runner) adminOptions() (o admin.Options, err error) {
	if r.adminToken != "" {
		b, err := os.ReadFile(r.adminToken)
		if err != nil {
			return o, fmt.Errorf("--admin-token-file: %w", err)
		}
		if o.Token = strings.TrimSpace(string(b)); o.Token == "" {
			return o, fmt.Errorf("--admin-token-file: %s is empty", r.adminToken)
		}
	}
	if r.admin == "" {
		return o, nil
	}
	return o, admin.CheckListen(r.admin, o)
}

func (r *runner) certificate() (*tls.Config, error) {
	if r.tlsCert == "" && r.tlsKey == "" {
		return nil, nil
	}
	if r.tlsCert == "" || r.tlsKey == "" {
		return nil, errors.New("TLS needs both --tls-cert and --tls-key")
	}
	c, err := tls.LoadX509KeyPair(r.tlsCert, r.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}, nil
}

// greet says where everything is, in a form that a person likes to read and a
// script can.
func (r *runner) greet(clients, operators net.Listener) {
	scheme := "http"
	if r.tlsCert != "" {
		scheme = "https"
	}
	fmt.Fprintf(r.out, "%s is ready at %s://%s\n", r.config.Name, scheme, clients.Addr())
	names := make([]string, len(r.config.Classes))
	for i, c := range r.config.Classes {
		names[i] = c.Name
	}
	if len(names) > 0 {
		fmt.Fprintf(r.out, "  classes   %s\n", strings.Join(names, ", "))
	}
	if operators != nil {
		fmt.Fprintf(r.out, "  admin     http://%s/api/objects\n", operators.Addr())
	}
	fmt.Fprintf(r.out, "  data      %s\n", r.data)
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
