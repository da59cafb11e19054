package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/server"
)

// crew is the Workers that one process serves, each with a runner, a data folder
// and guests of its own. Clients reach the first; the others are reached by
// bindings. What is of the process, its addresses, its log and its certificate, is
// as the first one's settings say.
type crew struct {
	list       []*runner
	neighbours server.Neighbours
	// root is the folder of all data folders, if somebody has named one.
	root string

	deploying sync.Mutex // held while newer code of any of them is on its way
}

// newCrew makes runners like r for the projects that a command line names, or for
// the Workers that the data folder keeps.
func newCrew(r *runner, args []string) (*crew, error) {
	w := new(crew)
	kept := !r.dev && len(args) == 0 && !project.Here(".")
	var names []string
	if kept {
		found, err := r.settingsOf(".", nil)
		if err != nil {
			return nil, err
		}
		if names, err = readWorkers(found.Settings.Data); err != nil {
			return nil, err
		}
	}
	add := func(dir, worker string) {
		one := &runner{options: r.options, dev: r.dev, testing: r.testing, kept: kept, worker: worker, out: r.out, errs: r.errs, crew: w}
		one.dir = dir
		one.versions.r = one
		w.list = append(w.list, one)
	}
	for _, name := range names {
		add(".", name)
		w.list[len(w.list)-1].inRoot = true
	}
	for _, dir := range args {
		add(dir, "")
	}
	if len(w.list) == 0 {
		add(".", "")
	}
	w.list[0].inspect = r.inspect
	return w, w.shareSecrets()
}

// inherit has all go on with what serves: changed files are for a deploy.
func (w *crew) inherit(from handover.Hello) error {
	names := []string{from.Worker}
	for _, b := range from.Beside {
		names = append(names, b.Name)
	}
	if len(names) != len(w.list) {
		return fmt.Errorf("the running server has %d Workers, and this one %d: stop it and start this one", len(names), len(w.list))
	}
	for i, r := range w.list {
		r.kept, r.worker = !r.dev, names[i]
	}
	return nil
}

// several says whether there is more than one.
func (w *crew) several() bool { return len(w.list) > 1 }

// shareSecrets tells each whose files of secrets are whose.
func (w *crew) shareSecrets() error {
	if !w.several() {
		return nil
	}
	of := make(map[string][]string)
	for _, f := range w.list[0].secretFiles {
		name, path, ok := strings.Cut(f, ":")
		if !ok || name == "" || path == "" {
			return fmt.Errorf("--secret-file %s: with several Workers say whose it is: --secret-file WORKER:%s", f, f)
		}
		of[name] = append(of[name], path)
	}
	for _, r := range w.list {
		r.secretFiles, r.secretsOf = nil, of
	}
	return nil
}

// prepare reads the settings and the projects, in order; those after the first go
// by its log.
func (w *crew) prepare(c *cobra.Command) error {
	for _, r := range w.list {
		if err := r.prepare(c); err != nil {
			return err
		}
	}
	if err := w.meet(true); err != nil || !w.several() {
		return err
	}
	folders := make(map[string]*runner)
	for _, r := range w.list {
		if first := folders[r.settings.Data]; first != nil {
			return fmt.Errorf("the Workers %s and %s would both keep their data in %s; name a folder for all of them with --data, each then has one of its own in it", first.name, r.name, r.settings.Data)
		}
		folders[r.settings.Data] = r
	}
	for name := range w.list[0].secretsOf {
		if w.named(name) == nil {
			return fmt.Errorf("--secret-file %s:…: no Worker here has this name", name)
		}
	}
	return nil
}

// meet looks whether the Workers can run beside each other. What start has picked
// is looked at again; warn only the first time.
func (w *crew) meet(warn bool) error {
	var all []*project.Config
	for _, r := range w.list {
		all = append(all, r.latest())
	}
	if err := project.CheckApart(all); err != nil {
		return err
	}
	for i, c := range all {
		told := len(c.Warnings)
		if err := c.Meet(w.config, w.list[0].allowMissing); err != nil {
			return err
		}
		for _, p := range c.Warnings[told:] {
			if warn {
				w.list[i].log.Warn(p.Error())
			}
		}
	}
	return nil
}

func (w *crew) named(name string) *runner {
	i := slices.IndexFunc(w.list, func(r *runner) bool { return r.name == name })
	if i < 0 {
		return nil
	}
	return w.list[i]
}

// config is what a Worker beside others is now; nil: there is none of the name.
func (w *crew) config(name string) *project.Config {
	if r := w.named(name); r != nil {
		return r.latest()
	}
	return nil
}

// namespace is that of a class of one of them.
func (w *crew) namespace(worker, class string) dormouse.Namespace {
	return w.config(worker).Namespace(class)
}

// takes looks whether newer code of one of them fits in with the others: that they
// have what it asks for, and it has what they do.
func (w *crew) takes(c *project.Config) error {
	with := func(name string) *project.Config {
		if name == c.Name {
			return c
		}
		return w.config(name)
	}
	if err := c.Meet(with, w.list[0].allowMissing); err != nil {
		return err
	}
	all := []*project.Config{c}
	for _, r := range w.list {
		other := r.latest()
		if other.Name == c.Name {
			continue
		}
		all = append(all, other)
		asks := *other // Meet takes nothing from it: it is asked without allowMissing
		if err := asks.Meet(with, false); err != nil && slices.Contains(other.Far(), c.Name) {
			return fmt.Errorf("the Worker %s, which runs, would lose what it is bound to; deploy it without the binding first: %w", other.Name, err)
		}
	}
	return project.CheckApart(all)
}

// start has the guests of all run the versions that are to serve.
func (w *crew) start(ctx context.Context, heir bool) (err error) {
	defer func() {
		if err != nil {
			for _, r := range w.list {
				r.discard()
			}
		}
	}()
	for _, r := range w.list {
		if err := r.pick(); err != nil {
			return err
		}
	}
	if err := w.meet(false); err != nil {
		return err
	}
	for _, r := range w.list {
		if err := r.ready(); err != nil {
			return err
		}
	}
	for _, r := range w.list {
		if err := r.begin(ctx); err != nil {
			return err
		}
	}
	if heir {
		return nil // what they are is written down when we have taken over
	}
	for _, r := range w.list {
		if err := r.settle(); err != nil {
			return err
		}
	}
	return w.remember()
}

// shutdown stops all servers that there are.
func (w *crew) shutdown(ctx context.Context) error {
	var err error
	for _, r := range w.list {
		if s := r.versions.server; s != nil {
			err = errors.Join(err, s.Shutdown(ctx))
		}
	}
	return err
}

// makeServers makes one for each, or those that take over from a process.
func (w *crew) makeServers(heir *handover.Successor) (err error) {
	for _, r := range w.list {
		c := r.serverConfig()
		c.Neighbours = &w.neighbours
		if heir == nil {
			r.versions.server, err = server.New(c) // which takes the data folder
		} else {
			r.versions.server, err = server.NewSuccessor(c, heir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// admin says what each of them offers.
func (w *crew) admin(o admin.Options) func(*server.Server) admin.Options {
	return func(s *server.Server) admin.Options {
		for _, r := range w.list {
			if r.versions.server == s {
				o.Versions = &r.versions
			}
		}
		return o
	}
}

// announce leaves word in every data folder where its admin API is.
func (w *crew) announce(address string) error {
	var err error
	for _, r := range w.list {
		at := address
		if w.several() {
			at += server.AdminPath(r.name)
		}
		err = errors.Join(err, r.versions.server.Announce(at))
	}
	return err
}

// workersFile lists, in a folder of data folders, the Workers whose they are, the
// first one first.
const workersFile = "workers"

// readWorkers reads that list; without one it is empty.
func readWorkers(root string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, workersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(text)), err
}

// remember writes the list, for starts without projects.
func (w *crew) remember() error {
	if w.root == "" || w.list[0].dev {
		return nil
	}
	var names []string
	for _, r := range w.list {
		names = append(names, r.name)
	}
	return writeWorkers(disk.OS{}, w.root, names)
}

// writeWorkers writes the list, if it is another one.
func writeWorkers(fsys disk.FS, root string, names []string) error {
	text := strings.Join(names, "\n") + "\n"
	path := filepath.Join(root, workersFile)
	if was, err := os.ReadFile(path); err == nil && string(was) == text {
		return nil
	}
	return disk.Replace(fsys, path, []byte(text))
}

// dataFolder is where a Worker keeps its data: a folder that somebody has named
// for a server of several holds one for each.
func (w *crew) dataFolder(named, worker string) (string, error) {
	in, err := readWorkers(named)
	if err != nil {
		return "", err
	}
	if !w.several() && !slices.Contains(in, worker) {
		return named, nil
	}
	if w.several() {
		w.root = named
	}
	return filepath.Join(named, worker), nil
}
