package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/fsnotify/fsnotify"
)

// Editors save in several steps, and tools write many files: a change is told
// when nothing has happened for quiet, and after patience in any case.
const (
	quiet    = 60 * time.Millisecond
	patience = 2 * time.Second
)

// clockGrain is more than a file's time lags behind the clock. It is less than
// quiet, so a build does not mistake the change that caused it for another.
const clockGrain = 20 * time.Millisecond

// Watcher tells when a file of a project has changed. It watches folders, not
// files, because editors replace a file rather than write into it; so it also
// sees a file appear that an import has looked for.
type Watcher struct {
	changes chan []string
	notify  *fsnotify.Watcher
	done    chan struct{} // closed when run has ended

	mu      sync.Mutex // guards the following
	files   map[string]bool
	trees   []string // folders all of whose files count
	folders map[string]bool
	// missed are changes that happened while nobody watched; see Set.
	missed []string
	wake   chan struct{} // holds one token when there are missed changes
}

// Watch begins to watch nothing; Set says what. The watcher ends with ctx, and
// its channel with it.
func Watch(ctx context.Context) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		changes: make(chan []string, 1),
		notify:  notify,
		done:    make(chan struct{}),
		files:   make(map[string]bool),
		folders: make(map[string]bool),
		wake:    make(chan struct{}, 1),
	}
	go w.run(ctx) // ends with ctx; closes done
	return w, nil
}

// Changes gives, once after each burst of changes, the paths that changed,
// sorted. It holds one burst; what happens while that waits is joined to it.
func (w *Watcher) Changes() <-chan []string { return w.changes }

// Done is closed when the watcher has ended.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// Watched says what to watch for a project whose bundle has these inputs. Where
// a build command makes the entry point, it is the command's sources: watching
// what it writes would run it for ever.
func Watched(c *project.Config, inputs []string) (files, trees []string) {
	if c.Build.Command != "" {
		return c.Files, c.Build.Watch
	}
	return slices.Concat(c.Files, inputs), nil
}

// Set says which files to watch, and which folders whole; it replaces what was
// said before. What was modified after since counts as a change at once, so
// that none is lost between the start of a build and its Set. Files in
// node_modules are not watched: there are many, and they change by installing,
// which changes package.json.
func (w *Watcher) Set(files, trees []string, since time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files, w.trees = make(map[string]bool), nil
	folders := make(map[string]bool)
	for _, path := range files {
		if !skipped(path) {
			w.files[path] = true
			folders[existing(filepath.Dir(path))] = true
		}
	}
	for _, tree := range trees {
		w.trees = append(w.trees, tree)
		folders[existing(filepath.Dir(tree))] = true
		eachFolder(tree, func(folder string) { folders[folder] = true })
	}
	err := w.watchFoldersLocked(folders)
	for path := range w.files {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(since.Add(-clockGrain)) {
			w.missed = append(w.missed, path)
		}
	}
	if len(w.missed) > 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return err
}

// watchFoldersLocked brings what the system watches in line with folders.
func (w *Watcher) watchFoldersLocked(folders map[string]bool) error {
	for folder := range w.folders {
		if !folders[folder] {
			w.notify.Remove(folder) // fails when the folder is gone, which is fine
			delete(w.folders, folder)
		}
	}
	var errs []error
	for folder := range folders {
		if w.folders[folder] {
			continue
		}
		if err := w.notify.Add(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, &os.PathError{Op: "watch", Path: folder, Err: err})
			continue
		}
		w.folders[folder] = true
	}
	return errors.Join(errs...)
}

// existing is the folder, or the nearest above it that is there: when an import
// looks for a folder, that is where it will appear.
func existing(folder string) string {
	for {
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			return folder
		}
		above := filepath.Dir(folder)
		if above == folder {
			return folder
		}
		folder = above
	}
}

// skipped tells paths that belong to tools.
func skipped(path string) bool {
	for _, name := range []string{"node_modules", ".git", ".dormouse", ".wrangler"} {
		if strings.Contains(path, string(filepath.Separator)+name+string(filepath.Separator)) ||
			filepath.Base(path) == name {
			return true
		}
	}
	return false
}

// maxFolders bounds how much of a tree is watched.
const maxFolders = 2000

func eachFolder(root string, visit func(string)) {
	n := 0
	filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // gone meanwhile, or not ours to read
		case !d.IsDir():
			return nil
		case skipped(path) || n >= maxFolders:
			return filepath.SkipDir
		}
		n++
		visit(path)
		return nil
	})
}

func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	defer close(w.changes)
	defer w.notify.Close()
	var burst burst
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if w.counts(e) {
				burst.add(e.Name)
			}
		case err, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			// The queue of the system was full, so anything may have changed.
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				burst.add("")
			}
		case <-w.wake:
			w.mu.Lock()
			for _, path := range w.missed {
				burst.add(path)
			}
			w.missed = nil
			w.mu.Unlock()
		case <-burst.due():
			w.tell(burst.take())
		}
	}
}

// counts reports whether an event is a change of the project.
func (w *Watcher) counts(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod || skipped(e.Name) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.folders[e.Name] && e.Has(fsnotify.Remove|fsnotify.Rename) {
		w.lostLocked(e.Name)
		return true
	}
	if w.files[e.Name] {
		return true
	}
	for _, tree := range w.trees {
		if strings.HasPrefix(e.Name, tree+string(filepath.Separator)) || e.Name == tree {
			w.growLocked(e)
			return true
		}
	}
	// A new name beside the files may be what an import looked for, or come
	// before what it found. Hidden names are an editor's.
	name := filepath.Base(e.Name)
	return e.Has(fsnotify.Create) && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "~")
}

// lostLocked forgets a folder that is gone and watches where it would appear
// again; the Set after the next build finds it there.
func (w *Watcher) lostLocked(folder string) {
	delete(w.folders, folder)
	w.notify.Remove(folder) // a renamed one would go on telling
	above := existing(filepath.Dir(folder))
	if !w.folders[above] && w.notify.Add(above) == nil {
		w.folders[above] = true
	}
}

// growLocked watches a folder that appeared in a tree.
func (w *Watcher) growLocked(e fsnotify.Event) {
	if !e.Has(fsnotify.Create) {
		return
	}
	eachFolder(e.Name, func(folder string) {
		if !w.folders[folder] && w.notify.Add(folder) == nil {
			w.folders[folder] = true
		}
	})
}

// tell hands a burst on. Only run sends, so the channel has room once the
// burst that waited there is taken back.
func (w *Watcher) tell(paths []string) {
	select {
	case w.changes <- paths:
		return
	default:
	}
	select {
	case waiting := <-w.changes:
		paths = append(paths, waiting...)
		slices.Sort(paths)
		paths = slices.Compact(paths)
	default:
	}
	w.changes <- paths
}

// burst is changes that are not told yet. Its zero value is empty.
type burst struct {
	paths map[string]bool
	began time.Time
	timer *time.Timer
}

func (b *burst) add(path string) {
	now := time.Now()
	if b.paths == nil {
		b.paths, b.began = make(map[string]bool), now
	}
	if path != "" {
		b.paths[path] = true
	}
	wait := min(quiet, patience-now.Sub(b.began))
	if b.timer == nil {
		b.timer = time.NewTimer(wait)
		return
	}
	b.timer.Reset(max(0, wait))
}

// due is ready when the burst is to be told; nil when there is none.
func (b *burst) due() <-chan time.Time {
	if b.paths == nil {
		return nil
	}
	return b.timer.C
}

func (b *burst) take() []string {
	paths := make([]string, 0, len(b.paths))
	for path := range b.paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	b.paths = nil
	return paths
}
