package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/r2"
	"github.com/dormouse-dev/dormouse/internal/shelf"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Folders of the data folder that hold KV namespaces and R2 buckets, each in a
// folder of its own.
const (
	kvFolder = "kv"
	r2Folder = "r2"
)

// shelves are the KV namespaces and buckets of a data folder. Each is opened when
// it is first used, and stays open. The names come from the Workers'
// configurations, so there are few.
type shelves struct {
	data    string
	relaxed bool

	mu     sync.Mutex // guards the following
	closed bool
	open   map[string]opened // by folder
}

// opened is a shelf and who answers for it.
type opened struct {
	shelf   *shelf.Shelf
	handler http.Handler
}

// shelfFolder is where a namespace or a bucket lies in a data folder.
func shelfFolder(data, kind, name string) (string, error) {
	n := dormouse.Namespace(name)
	if err := storage.CheckNamespace(n); err != nil {
		return "", fmt.Errorf("%s %q: its folder's name would be too long, or empty: choose another", kind, name)
	}
	return filepath.Join(data, kind, storage.Folder(n)), nil
}

// find returns a namespace or a bucket.
func (s *shelves) find(kind, name string) (o opened, err error) {
	folder, err := shelfFolder(s.data, kind, name)
	if err != nil {
		return o, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return o, shelf.ErrClosed
	}
	if o, ok := s.open[folder]; ok {
		return o, nil
	}
	config := kv.Shelf(folder, s.relaxed)
	if kind == r2Folder {
		config = r2.Shelf(folder, s.relaxed)
	}
	if o.shelf, err = shelf.Open(config); err != nil {
		return o, err
	}
	o.handler = kv.New(o.shelf)
	if kind == r2Folder {
		o.handler = r2.New(o.shelf)
	}
	if s.open == nil {
		s.open = make(map[string]opened)
	}
	s.open[folder] = o
	return o, nil
}

// copy calls visit with each file of all namespaces and buckets that there are,
// as shelf.Copy does, with its name within the data folder.
func (s *shelves) copy(ctx context.Context, temp string, visit func(name, path string) error) error {
	for _, kind := range []string{kvFolder, r2Folder} {
		list, err := os.ReadDir(filepath.Join(s.data, kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range list {
			name, ok := storage.ParseFolder(e.Name())
			if !ok || !e.IsDir() {
				continue // not one of ours
			}
			o, err := s.find(kind, string(name))
			if err != nil {
				return err
			}
			err = o.shelf.Copy(ctx, temp, func(file, at string) error { return visit(path.Join(kind, e.Name(), file), at) })
			if err != nil {
				return fmt.Errorf("%s %s: %w", kind, name, err)
			}
		}
	}
	return nil
}

// Close waits for what has begun.
func (s *shelves) Close() error {
	s.mu.Lock()
	s.closed = true
	open := s.open
	s.open = nil
	s.mu.Unlock()
	var err error
	for _, o := range open {
		err = errors.Join(err, o.shelf.Close())
	}
	return err
}

// ask answers a guest. The host has found the name in the guest's own bindings.
func (s *shelves) ask(to guest.Target, r *guest.Request, a host.Answer) host.Asker {
	kind := kvFolder
	if to.Kind == guest.ToR2 {
		kind = r2Folder
	}
	inside := edge.Inside{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := s.find(kind, to.Name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		o.handler.ServeHTTP(w, r)
	})}
	return inside.Ask(r, a)
}
