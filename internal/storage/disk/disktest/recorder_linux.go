// Package disktest is a file system for tests of what a power cut leaves. It
// works on real files, so that SQLite can use them too, remembers what was
// synced, and can make at any time a copy as it might be found after a cut: of
// what was not synced since, each sector and each entry of a folder may be there
// or not. It also fails on demand. It never sees what is in the files.
package disktest

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"golang.org/x/sys/unix"
)

// Recorder is a disk.FS for one folder. Files outside of it must not be used
// through it.
type Recorder struct {
	disk.OS
	root string

	// Before is called before everything that changes or syncs something, with
	// the name of the method and the path relative to the folder. If it
	// returns an error, that is the outcome. Set it before use; may be nil.
	Before func(op, name string) error

	// Space, if it is not zero, is what is said to be free.
	Space atomic.Int64

	mu      sync.Mutex // guards the following
	open    map[*recorded]bool
	files   map[identity]*versions
	live    map[string]identity // entries of all folders, by relative path
	durable map[string]identity // as a power cut would leave them at least
	pending []change            // from durable to live, in order
}

// identity tells a file from another one that got its inode number later.
type identity struct {
	inode uint64
	born  unix.StatxTimestamp
	dir   bool
}

// versions are the contents that a file had since it was last synced, that one
// included; before it was first synced, it may also be empty.
type versions struct {
	contents [][]byte
}

// change is a change of a folder's entry.
type change struct {
	name string
	to   identity // zero: removed
	from string   // renamed from, or ""
}

// New returns a recorder for a folder. What is in it counts as synced.
func New(t testing.TB, root string) *Recorder {
	t.Helper()
	r := &Recorder{root: root, open: make(map[*recorded]bool), files: make(map[identity]*versions), live: make(map[string]identity)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observeLocked()
	r.syncAllLocked()
	return r
}

func (r *Recorder) rel(name string) string {
	rel, err := filepath.Rel(r.root, name)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "" // outside; only the parent folder is ever synced
	}
	return rel
}

func (r *Recorder) before(op, name string) error {
	if r.Before != nil {
		return r.Before(op, r.rel(name))
	}
	return nil
}

// Observe takes note of what others have done to the files.
func (r *Recorder) Observe() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observeLocked()
}

func (r *Recorder) observeLocked() {
	seen := make(map[string]identity)
	filepath.WalkDir(r.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == r.root {
			return nil // removed meanwhile
		}
		id, ok := identify(path, d.IsDir())
		if !ok {
			return nil
		}
		seen[r.rel(path)] = id
		if !id.dir && (r.files[id] == nil || !strings.HasSuffix(path, ".log")) { // what happens to those comes through us
			r.contentLocked(path, id)
		}
		return nil
	})
	for _, name := range slices.Sorted(maps.Keys(seen)) { // folders before what is in them
		if r.live[name] != seen[name] {
			r.pending = append(r.pending, change{name: name, to: seen[name]})
		}
	}
	for name := range r.live {
		if _, there := seen[name]; !there {
			r.pending = append(r.pending, change{name: name})
		}
	}
	r.live = seen
}

func identify(path string, dir bool) (identity, bool) {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st) != nil {
		return identity{}, false
	}
	return identity{st.Ino, st.Btime, dir}, true
}

// contentLocked notes the content of a file if it has changed.
func (r *Recorder) contentLocked(path string, id identity) *versions {
	v := r.files[id]
	if v == nil {
		v = &versions{contents: [][]byte{nil}}
		r.files[id] = v
	}
	content, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(content, v.contents[len(v.contents)-1]) {
		v.contents = append(v.contents, content)
	}
	return v
}

func (v *versions) synced(content []byte) {
	i := slices.IndexFunc(v.contents, func(c []byte) bool { return bytes.Equal(c, content) })
	v.contents = append([][]byte{content}, v.contents[i+1:]...)
}

// syncDirLocked makes the entries of a folder durable.
func (r *Recorder) syncDirLocked(dir string) {
	r.pending = slices.DeleteFunc(r.pending, func(c change) bool {
		if filepath.Dir(c.name) != dir && (c.from == "" || filepath.Dir(c.from) != dir) {
			return false
		}
		c.apply(r.durable)
		return true
	})
}

func (r *Recorder) syncAllLocked() {
	for _, v := range r.files {
		v.contents = v.contents[len(v.contents)-1:]
	}
	r.durable = maps.Clone(r.live)
	r.pending = nil
}

// apply changes entries. It may leave some in a folder that is not there.
func (c change) apply(entries map[string]identity) {
	if c.from != "" {
		for name, id := range maps.Clone(entries) {
			if rest, ok := strings.CutPrefix(name, c.from); ok && (rest == "" || rest[0] == '/') {
				delete(entries, name)
				entries[c.name+rest] = id
			}
		}
		return
	}
	if c.to == (identity{}) {
		delete(entries, c.name)
		return
	}
	entries[c.name] = c.to
}

// sector is what a disk writes as a whole.
const sector = 512

// Cut writes a copy of the folder to another one, as a power cut might leave
// it.
func (r *Recorder) Cut(to string, rnd *rand.Rand) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observeLocked()
	entries := maps.Clone(r.durable)
	likely := []float64{0, 0.5, 1}[rnd.IntN(3)]
	for _, c := range r.pending {
		if rnd.Float64() < likely {
			c.apply(entries)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		id, path := entries[name], filepath.Join(to, name)
		if !reachable(entries, name) {
			continue
		}
		if id.dir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		var content []byte
		if v := r.files[id]; v != nil {
			content = v.cut(rnd)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// reachable says whether all folders above an entry are there.
func reachable(entries map[string]identity, name string) bool {
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if !entries[dir].dir {
			return false
		}
	}
	return true
}

// cut returns a content that a power cut might leave.
func (v *versions) cut(rnd *rand.Rand) []byte {
	switch n := len(v.contents); rnd.IntN(4) {
	case 0:
		return v.contents[0]
	case 1:
		return v.contents[rnd.IntN(n)]
	default:
		unit := sector << (3 * rnd.IntN(2)) // or pages
		content := make([]byte, len(v.contents[rnd.IntN(n)]))
		for at := 0; at < len(content); at += unit {
			if from := v.contents[rnd.IntN(n)]; at < len(from) {
				copy(content[at:min(at+unit, len(content))], from[at:])
			}
		}
		return content
	}
}

// Open implements disk.FS.
func (r *Recorder) Open(name string, flag int) (disk.File, error) {
	if flag&os.O_CREATE != 0 {
		if err := r.before("Open", name); err != nil {
			return nil, err
		}
	}
	f, err := r.OS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	file := &recorded{File: f, r: r, name: name}
	r.open[file] = true
	return file, nil
}

// MkdirAll implements disk.FS.
func (r *Recorder) MkdirAll(name string) error {
	if err := r.before("MkdirAll", name); err != nil {
		return err
	}
	return r.OS.MkdirAll(name)
}

// Rename implements disk.FS.
func (r *Recorder) Rename(from, to string) error {
	if err := r.before("Rename", from); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observeLocked()
	if err := r.OS.Rename(from, to); err != nil {
		return err
	}
	for f := range r.open {
		if f.name == from {
			f.name = to
		}
	}
	c := change{name: r.rel(to), from: r.rel(from)}
	r.pending = append(r.pending, c)
	c.apply(r.live)
	return nil
}

// Remove implements disk.FS.
func (r *Recorder) Remove(name string) error {
	if err := r.before("Remove", name); err != nil {
		return err
	}
	return r.OS.Remove(name)
}

// SyncDir implements disk.FS.
func (r *Recorder) SyncDir(name string) error {
	if err := r.before("SyncDir", name); err != nil {
		return err
	}
	if _, err := os.Stat(name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observeLocked()
	if rel := r.rel(name); rel != "" {
		r.syncDirLocked(rel)
	}
	return nil
}

// Free implements disk.FS.
func (r *Recorder) Free(name string) (int64, error) {
	if free := r.Space.Load(); free > 0 {
		return free, nil
	}
	return r.OS.Free(name)
}

// SyncAll implements disk.FS.
func (r *Recorder) SyncAll(name string) error {
	if err := r.before("SyncAll", name); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observeLocked()
	r.syncAllLocked()
	return nil
}

type recorded struct {
	disk.File
	r    *Recorder
	name string // guarded by r.mu
}

// Close implements disk.File.
func (f *recorded) Close() error {
	f.r.mu.Lock()
	delete(f.r.open, f)
	f.r.mu.Unlock()
	return f.File.Close()
}

func (f *recorded) before(op string) error {
	f.r.mu.Lock()
	name := f.name
	f.r.mu.Unlock()
	return f.r.before(op, name)
}

// WriteAt implements disk.File.
func (f *recorded) WriteAt(b []byte, at int64) (int, error) {
	if err := f.before("WriteAt"); err != nil {
		return 0, err
	}
	f.note()
	defer f.note()
	return f.File.WriteAt(b, at)
}

// Truncate implements disk.File.
func (f *recorded) Truncate(size int64) error {
	if err := f.before("Truncate"); err != nil {
		return err
	}
	f.note()
	defer f.note()
	return f.File.Truncate(size)
}

// Allocate implements disk.File.
func (f *recorded) Allocate(size int64) error {
	if err := f.before("Allocate"); err != nil {
		return err
	}
	f.note()
	defer f.note()
	return f.File.Allocate(size)
}

// note notes the file's content.
func (f *recorded) note() {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.noteLocked()
}

func (f *recorded) noteLocked() (*versions, []byte) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil
	}
	content := make([]byte, info.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f.File, 0, info.Size), content); err != nil {
		return nil, nil
	}
	id, ok := f.identify()
	if !ok {
		return nil, nil
	}
	v := f.r.files[id]
	if v == nil {
		v = &versions{contents: [][]byte{nil}}
		f.r.files[id] = v
	}
	if !bytes.Equal(content, v.contents[len(v.contents)-1]) {
		v.contents = append(v.contents, content)
	}
	return v, content
}

func (f *recorded) identify() (identity, bool) {
	conn, ok := f.File.(syscall.Conn)
	if !ok {
		return identity{}, false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return identity{}, false
	}
	var st unix.Statx_t
	raw.Control(func(fd uintptr) {
		err = unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &st)
	})
	return identity{inode: st.Ino, born: st.Btime}, err == nil
}

// Sync implements disk.File. It does not make the disk wait: there will be no
// real power cut.
func (f *recorded) Sync() error {
	if err := f.before("Sync"); err != nil {
		return err
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if v, content := f.noteLocked(); v != nil {
		v.synced(content)
	}
	return nil
}
