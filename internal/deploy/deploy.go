// Package deploy keeps versions of code in the data folder and says how guests
// run them. It knows bundles, the guest's own sources and their configuration,
// and never sees a running process or an object.
package deploy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/nodeguest"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	sdk "github.com/dormouse-dev/dormouse/sdk/node"
)

// Options say how guests run the code.
type Options struct {
	Data         string // the data folder
	Node         string // path of the Node binary
	Unrestricted bool   // without Node's permission model
	Memory       int64  // bytes that a guest may occupy; 0: no limit
	// Stall is how long one piece of code may run without a pause; 0: for ever,
	// and so it is while somebody debugs.
	Stall   time.Duration
	Inspect string // address for DevTools; empty for none
	// HeapSnapshots is where a guest that takes too much memory leaves one.
	HeapSnapshots nodeguest.Snapshots
	Trace         bool // requests have contexts of traces
	Testing       bool // let tests of an author's own run code in objects
	// Where code may connect to: what is denied may not be reached but for what
	// is allowed.
	EgressAllow, EgressDeny []netip.Prefix

	AttachmentBytes    int // 0: by compatibility date
	SocketsPerObject   int
	MailboxEvents      int           // that code of a guest may have waiting for an object of it; 0: 4,096
	QueueTime          time.Duration // 0: without limit
	TaskKeepalive      time.Duration
	AlarmTime          time.Duration // 0: 15 minutes
	IgnoreTimersBeyond time.Duration // 0: none is ignored
	OpenDatabases      int
	DatabaseCache      int // bytes

	// Namespace is that of a class of another Worker beside this one. It is asked
	// for what project.Config.Meet has found to be there.
	Namespace func(worker, class string) dormouse.Namespace

	// Beside are the classes of the same server that are not the Worker's own, and
	// that it is to reach.
	Beside []Beside
}

// Beside is a class that other code of the server has.
type Beside struct {
	Binding   string // its name in env
	Namespace dormouse.Namespace
}

// Version is code that guests can run, and what goes with it.
type Version struct {
	Number int    // as it is kept; 0: it is not
	ID     string // of its content
	Bundle string // folder of its modules
	// Config is the Worker's; the folder of its assets is where they lie now.
	Config *project.Config
	// Settings are those of classes.
	Settings map[string]ClassSettings
	// Bindings says for each namespace binding which class it reaches; -1: one of
	// another Worker.
	Bindings []int

	command nodeguest.Command
}

// Command starts a guest with this version.
func (v *Version) Command() nodeguest.Command { return v.command }

// Prepare writes a bundle into the data folder and builds the configuration of
// its guests. It is kept only until something else is prepared, by and by.
func Prepare(c *project.Config, b *bundle.Bundle, o Options) (*Version, error) {
	v := &Version{ID: b.Hash, Bundle: filepath.Join(o.Data, "dev", b.Hash), Config: c}
	if err := writeOnce(v.Bundle, b.Files); err != nil {
		return nil, fmt.Errorf("write bundle %s: %w", v.ID, err)
	}
	keepNewest(filepath.Dir(v.Bundle), v.ID)
	return v, v.finish(o)
}

// Kept is a version of a Store, as Load has returned it.
func Kept(number int, m *Manifest, dir string, o Options) (*Version, error) {
	c := *m.Config
	if c.Assets != nil {
		a := *c.Assets
		a.Directory = filepath.Join(dir, assetsDir)
		if err := os.MkdirAll(a.Directory, 0o700); err != nil { // an empty one does not travel
			return nil, err
		}
		c.Assets = &a
	}
	v := &Version{Number: number, ID: m.Hash, Bundle: filepath.Join(dir, codeDir), Config: &c, Settings: m.Classes}
	return v, v.finish(o)
}

// finish makes the command that runs the version.
func (v *Version) finish(o Options) error {
	guestDir, err := prepareSDK(o.Data)
	if err != nil {
		return err
	}
	databases := filepath.Join(o.Data, "do")
	if err := os.MkdirAll(databases, 0o700); err != nil {
		return err
	}
	if o.Inspect != "" {
		o.Stall = 0
	}
	config, err := v.configure(v.Config, o, databases)
	if err != nil {
		return err
	}
	code := &guest.Code{Version: v.Number, Bindings: v.Bindings, Far: v.far(o)}
	if code.Fronts, err = v.fronts(); err != nil {
		return err
	}
	for _, k := range v.Config.KV {
		code.KV = append(code.KV, k.ID)
	}
	for _, b := range v.Config.R2 {
		code.R2 = append(code.R2, b.Bucket)
	}
	for _, k := range v.Config.Classes {
		code.Classes = append(code.Classes, v.Config.Namespace(k.Name))
	}
	for _, n := range o.Beside {
		code.Classes = append(code.Classes, n.Namespace)
	}
	flags := sdk.Flags(sdk.Options{
		Bundle: v.Bundle, SDK: guestDir, Data: databases,
		Unrestricted: o.Unrestricted, HeapMB: int(o.Memory >> 20), Inspect: o.Inspect,
		HeapSnapshots: o.HeapSnapshots.Folder,
	})
	v.command = nodeguest.Command{
		Node: o.Node, Args: append(flags, filepath.Join(guestDir, "main.js")), Dir: guestDir,
		Config: config, Memory: o.Memory, Snapshots: o.HeapSnapshots, Stall: o.Stall, Version: v.ID, Code: code,
	}
	return nil
}

// keptBundles is how many bundles of `dormouse dev` stay: guests read their
// source maps while they run.
const keptBundles = 8

// keepNewest removes the oldest folders but for one.
func keepNewest(dir, but string) {
	entries, _ := os.ReadDir(dir)
	age := func(e os.DirEntry) int64 {
		i, err := e.Info()
		if err != nil {
			return 0
		}
		return i.ModTime().UnixNano()
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(age(a), age(b)) })
	for _, e := range entries[:max(0, len(entries)-keptBundles)] {
		if e.Name() != but {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// digest names a set of files by what is in them.
func digest(files map[string][]byte) string {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, n := range names {
		fmt.Fprintf(h, "%d %s %d\n", len(n), n, len(files[n]))
		h.Write(files[n])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// writeOnce makes a folder with these files; one that is there is left alone,
// because its name says what is in it. It appears whole or not at all.
func writeOnce(dir string, files map[string][]byte) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for name, content := range files {
		path := filepath.Join(tmp, filepath.FromSlash(name))
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("file %q leaves its folder", name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, os.ErrExist) {
		if _, there := os.Stat(dir); there != nil {
			return err
		}
	}
	return nil
}

// attachmentBytes is the limit that a compatibility date means.
func attachmentBytes(date string) int {
	if date < "2026-01-01" {
		return 2048
	}
	return 16384
}

type named struct {
	Name string `json:"name"`
}

// configure builds the JSON of the hello frame; docs/guest-protocol.md.
func (v *Version) configure(c *project.Config, o Options, databases string) ([]byte, error) {
	type class struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		SQL       bool   `json:"sql"`
	}
	type namespace struct {
		Name      string `json:"name"`
		Class     int    `json:"class"`
		Namespace string `json:"namespace"`
	}
	type missing struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
	}
	classes := []class{}
	number := make(map[string]int)
	for i, k := range c.Classes {
		number[k.Name] = i
		classes = append(classes, class{k.Name, string(c.Namespace(k.Name)), k.SQLite})
	}
	namespaces := []namespace{}
	for _, n := range c.Objects {
		i, ok := number[n.Class]
		if !ok {
			return nil, fmt.Errorf("binding %s names the class %s, which no migration introduces", n.Name, n.Class)
		}
		namespaces = append(namespaces, namespace{n.Name, i, string(c.Namespace(n.Class))})
		v.Bindings = append(v.Bindings, i)
	}
	for _, n := range c.FarObjects {
		if o.Namespace == nil {
			return nil, fmt.Errorf("binding %s leads to the Worker %s, and this Worker runs alone", n.Name, n.Worker)
		}
		namespaces = append(namespaces, namespace{n.Name, elsewhere, string(o.Namespace(n.Worker, n.Class))})
		v.Bindings = append(v.Bindings, elsewhere)
	}
	for i, n := range o.Beside {
		at := len(c.Classes) + i // as finish numbers them
		namespaces = append(namespaces, namespace{n.Binding, at, string(n.Namespace)})
		v.Bindings = append(v.Bindings, at)
	}
	vars := make(map[string]json.RawMessage)
	for _, x := range c.Vars {
		vars[x.Name] = x.Value
	}
	files := []named{}
	if c.Assets != nil && c.Assets.Binding != "" {
		files = append(files, named{c.Assets.Binding})
	}
	stores, buckets := []named{}, []named{}
	for _, k := range c.KV {
		stores = append(stores, named{k.Binding})
	}
	for _, b := range c.R2 {
		buckets = append(buckets, named{b.Binding})
	}
	lost := []missing{}
	for _, m := range c.Missing {
		lost = append(lost, missing{m.Name, m.What})
	}
	flags := make(map[string]bool)
	for _, f := range c.Compat.Enabled() {
		flags[string(f)] = true
	}
	if o.AttachmentBytes == 0 {
		o.AttachmentBytes = attachmentBytes(c.Compat.Date)
	}
	return json.Marshal(map[string]any{
		"worker": c.Name, "entry": filepath.Join(v.Bundle, bundle.Entry), "data": databases,
		"template": filepath.Join(databases, ".template.sqlite"),
		"classes":  classes,
		"bindings": map[string]any{
			"namespaces": namespaces, "services": services(c), "assets": files, "kv": stores, "r2": buckets, "vars": vars, "missing": lost,
		},
		"compat": map[string]any{"date": c.Compat.Date, "flags": flags},
		"limits": map[string]any{
			"attachmentBytes": o.AttachmentBytes, "socketsPerObject": o.SocketsPerObject, "mailboxEvents": cmp.Or(o.MailboxEvents, 4096), "queueTime": o.QueueTime.Milliseconds(),
			"taskKeepalive": o.TaskKeepalive.Milliseconds(), "alarm": cmp.Or(o.AlarmTime, 15*time.Minute).Milliseconds(), "ignoreTimersBeyond": o.IgnoreTimersBeyond.Milliseconds(),
			"openDatabases": cmp.Or(o.OpenDatabases, 256), "databaseCache": cmp.Or(o.DatabaseCache, 1<<20),
			"guestStall": o.Stall.Milliseconds(), "guestMemory": o.Memory,
		},
		"egress":  map[string]any{"allow": texts(o.EgressAllow), "deny": texts(o.EgressDeny)},
		"inspect": o.Inspect != "", "heapSnapshots": o.HeapSnapshots.Folder, "testing": o.Testing, "marks": true, "trace": o.Trace, "direct": true,
	})
}

func texts(networks []netip.Prefix) []string {
	list := []string{}
	for _, n := range networks {
		list = append(list, n.String())
	}
	return list
}
