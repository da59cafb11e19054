package powercut

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// disk follows what calls did to the files of a folder, and knows what of that
// a power cut may take back.
type disk struct {
	root    string
	live    map[string]*node // entries of all folders, by relative path
	durable map[string]*node // as a power cut would leave them at least
	moves   []move           // from durable to live, in order
	marks   map[*call][]func()
}

// node is a file or a folder, whatever it is called.
type node struct {
	dir     bool
	base    []byte // what is on disk whatever happens
	pending []*change
	cursor  int64 // where write(2) goes on
}

// change is a change of a file that was not synced. It may be on disk, as a
// whole, in part or not at all.
type change struct {
	at    int64
	data  []byte
	size  int64 // of the file, if data is nil
	grow  bool  // size is the least
	ended bool
}

// move is a change of an entry that was not synced.
type move struct {
	name, from string // from: renamed
	to         *node  // nil: removed; of a file that was renamed, that file
}

func newDisk(root string) *disk {
	return &disk{root: root, live: make(map[string]*node), durable: make(map[string]*node), marks: make(map[*call][]func())}
}

func (d *disk) rel(path string) string {
	rel, err := filepath.Rel(d.root, path)
	if path == "" || err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return ""
	}
	return rel
}

// see takes the beginning or the end of a call. synced says that it was a sync,
// which has begun or has succeeded.
func (d *disk) see(c *call) (synced bool, err error) {
	switch c.name {
	case "write", "pwrite64":
		return false, d.write(c)
	case "ftruncate", "fallocate":
		return false, d.resize(c)
	case "fsync", "fdatasync", "syncfs":
		return d.sync(c)
	case "sync_file_range", "sendto", "sendmsg", "sendfile":
		return false, nil
	}
	if !c.ended || c.result < 0 {
		return false, nil
	}
	path := func(at int) string {
		text, err := c.text(at)
		if err != nil {
			return ""
		}
		if filepath.IsAbs(string(text)) {
			return d.rel(string(text))
		}
		folder := "" // the name is relative to the descriptor before it
		if at > 0 {
			folder = c.file(at - 1)
		}
		if folder == "" {
			return ""
		}
		return d.rel(filepath.Join(folder, string(text)))
	}
	switch c.name {
	case "open":
		if name := path(0); name != "" && name != "." {
			d.open(name, c.args[1])
		}
	case "openat":
		if name := path(1); name != "" && name != "." {
			d.open(name, c.args[2])
		}
	case "mkdir":
		d.make(path(0), &node{dir: true})
	case "mkdirat":
		d.make(path(1), &node{dir: true})
	case "unlink", "rmdir":
		d.remove(path(0))
	case "unlinkat":
		d.remove(path(1))
	case "rename":
		d.rename(path(0), path(1))
	case "renameat", "renameat2":
		d.rename(path(1), path(3))
	case "writev", "pwritev", "pwritev2":
		if d.live[d.rel(c.file(0))] != nil {
			return false, fmt.Errorf("%s writes to %s: this record does not understand it", c.name, c.file(0))
		}
	default:
		if strings.Contains(strings.Join(c.args, " "), d.root) {
			return false, fmt.Errorf("this record does not understand %s(%.300s)", c.name, strings.Join(c.args, ", "))
		}
	}
	return false, nil
}

func (d *disk) open(name, flags string) {
	n := d.live[name]
	switch {
	case n == nil && strings.Contains(flags, "O_CREAT"):
		d.make(name, &node{})
	case n != nil && !n.dir:
		n.cursor = 0
		if strings.Contains(flags, "O_TRUNC") {
			n.pending = append(n.pending, &change{ended: true})
		}
	}
}

func (d *disk) make(name string, n *node) {
	if name == "" || name == "." || d.live[name] != nil {
		return
	}
	d.move(move{name: name, to: n})
}

func (d *disk) remove(name string) {
	if d.live[name] != nil {
		d.move(move{name: name})
	}
}

func (d *disk) rename(from, to string) {
	n := d.live[from]
	if n == nil || to == "" {
		return
	}
	m := move{name: to, from: from}
	if !n.dir {
		m.to = n
	}
	d.move(m)
}

func (d *disk) move(m move) {
	d.moves = append(d.moves, m)
	m.apply(d.live)
}

func (m move) apply(entries map[string]*node) {
	switch {
	case m.from != "":
		for name, n := range maps.Clone(entries) {
			if rest, ok := strings.CutPrefix(name, m.from); ok && (rest == "" || rest[0] == '/') {
				delete(entries, name)
				entries[m.name+rest] = n
			}
		}
		if m.to != nil {
			entries[m.name] = m.to // also where its old name was never on disk
		}
	case m.to == nil:
		delete(entries, m.name)
	default:
		entries[m.name] = m.to
	}
}

// write may be on disk as soon as it has begun, and is covered by syncs that
// begin after its end.
func (d *disk) write(c *call) error {
	if c.ended {
		d.ended(c)
		return nil
	}
	n := d.live[d.rel(c.file(0))]
	if n == nil || n.dir {
		return nil
	}
	data, err := c.text(1)
	if err != nil {
		return err
	}
	at := n.cursor
	if c.name == "pwrite64" {
		if at, err = c.number(3); err != nil {
			return err
		}
	} else {
		n.cursor += int64(len(data))
	}
	d.pend(c, n, &change{at: at, data: data})
	return nil
}

func (d *disk) resize(c *call) error {
	if c.ended {
		d.ended(c)
		return nil
	}
	n := d.live[d.rel(c.file(0))]
	if n == nil {
		return nil
	}
	if c.name == "ftruncate" {
		size, err := c.number(1)
		d.pend(c, n, &change{size: size})
		return err
	}
	mode, err := c.number(1)
	if err != nil || mode != 0 {
		return fmt.Errorf("fallocate with mode %s: this record does not understand it", c.args[1])
	}
	at, err := c.number(2)
	if err != nil {
		return err
	}
	size, err := c.number(3)
	d.pend(c, n, &change{size: at + size, grow: true})
	return err
}

func (d *disk) pend(c *call, n *node, change *change) {
	n.pending = append(n.pending, change)
	d.marks[c] = append(d.marks[c], func() { change.ended = true })
}

func (d *disk) ended(c *call) {
	for _, f := range d.marks[c] {
		f()
	}
	delete(d.marks, c)
}

// sync covers what had ended when it began.
func (d *disk) sync(c *call) (bool, error) {
	name := d.rel(c.file(0))
	if name == "" {
		return false, nil
	}
	if c.ended {
		if c.result == 0 {
			d.ended(c)
		}
		delete(d.marks, c)
		return c.result == 0, nil
	}
	if c.name == "syncfs" {
		for _, n := range d.live {
			d.settle(c, n)
		}
		moves := slices.Clone(d.moves)
		d.marks[c] = append(d.marks[c], func() { d.keep(moves, func(move) bool { return true }) })
		return true, nil
	}
	if n := d.live[name]; n != nil && !n.dir {
		d.settle(c, n)
		return true, nil
	}
	moves := slices.Clone(d.moves)
	d.marks[c] = append(d.marks[c], func() {
		d.keep(moves, func(m move) bool {
			return filepath.Dir(m.name) == name || m.from != "" && filepath.Dir(m.from) == name
		})
	})
	return true, nil
}

// settle has what of a file was changed until now be on disk when c ends.
func (d *disk) settle(c *call, n *node) {
	covered := make(map[*change]bool)
	for _, p := range n.pending {
		covered[p] = p.ended
	}
	d.marks[c] = append(d.marks[c], func() {
		n.pending = slices.DeleteFunc(n.pending, func(p *change) bool {
			if covered[p] {
				n.base = p.apply(n.base, func(int64) bool { return true })
			}
			return covered[p]
		})
	})
}

func (d *disk) keep(moves []move, which func(move) bool) {
	d.moves = slices.DeleteFunc(d.moves, func(m move) bool {
		if !slices.Contains(moves, m) || !which(m) {
			return false
		}
		m.apply(d.durable)
		return true
	})
	for _, renamed := range moves {
		if renamed.from != "" && renamed.to != nil && !slices.Contains(d.moves, renamed) {
			// It has its new name: its old one does not come back later.
			d.moves = slices.DeleteFunc(d.moves, func(m move) bool { return m.name == renamed.from && m.to == renamed.to })
		}
	}
}

// sector is what a disk writes as a whole.
const sector = 512

// apply makes the change to content, as far as its sectors are there.
func (p *change) apply(content []byte, there func(sector int64) bool) []byte {
	if p.data == nil {
		switch n := p.size - int64(len(content)); {
		case !there(0) || p.grow && n <= 0:
		case n <= 0:
			content = content[:p.size]
		default:
			content = append(content, make([]byte, n)...)
		}
		return content
	}
	for from := p.at; from < p.at+int64(len(p.data)); {
		to := min(from/sector*sector+sector, p.at+int64(len(p.data)))
		if there(from / sector) {
			if n := to - int64(len(content)); n > 0 {
				content = append(content, make([]byte, n)...)
			}
			copy(content[from:to], p.data[from-p.at:to-p.at])
		}
		from = to
	}
	return content
}

// cut writes what a power cut might have left now into another folder.
func (d *disk) cut(to string, rnd *rand.Rand) error {
	likely := []float64{0, 0.5, 1}
	entries := maps.Clone(d.durable)
	if p := likely[rnd.IntN(3)]; p > 0 {
		for _, m := range d.moves {
			if rnd.Float64() < p {
				m.apply(entries)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		n, path := entries[name], filepath.Join(to, name)
		if !reachable(entries, name) {
			continue
		}
		if n.dir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		content, p := slices.Clone(n.base), likely[rnd.IntN(3)]
		for _, c := range n.pending {
			content = c.apply(content, func(int64) bool { return rnd.Float64() < p })
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// reachable says whether all folders above an entry are there.
func reachable(entries map[string]*node, name string) bool {
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if entries[dir] == nil || !entries[dir].dir {
			return false
		}
	}
	return true
}
