package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/backup"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
)

// scratch is a folder for copies of databases: beside them, so that a file
// system that can share blocks does.
type scratch struct {
	once sync.Once
	dir  string
	err  error
	// Holds one for each copy that there is: they take room.
	places chan struct{}
	views  views
}

// copies is how many copies there may be at a time; who wants another waits.
const copies = 4

// open returns the folder. What an earlier process left there is removed.
func (t *scratch) open(data string) (string, error) {
	t.once.Do(func() {
		t.places = make(chan struct{}, copies)
		t.dir = filepath.Join(data, "tmp")
		if t.err = os.RemoveAll(t.dir); t.err == nil {
			t.err = os.MkdirAll(t.dir, 0o700)
		}
	})
	return t.dir, t.err
}

// Stored implements admin.Storage.
func (r runtime) Stored(q browse.Query) (*browse.Page, error) {
	return browse.List(DatabaseFolder(r.s.Data), q)
}

// source is an object's database, for package snapshot.
func (s *Server) source(k dormouse.Key) snapshot.Source {
	return snapshot.Source{Path: DatabasePath(s.Data, k), Foreign: !s.inGo(k.Namespace)}
}

// Look implements admin.Storage.
func (r runtime) Look(ctx context.Context, k dormouse.Key) (*browse.View, error) {
	s := r.s
	dir, err := s.scratch.open(s.Data)
	if err != nil {
		return nil, err
	}
	src := s.source(k)
	stamp := snapshot.StampOf(src.Path)
	if v := s.scratch.views.take(k, stamp); v != nil {
		return v, nil
	}
	select {
	case s.scratch.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	v, err := browse.Open(ctx, src, dir, func() { <-s.scratch.places })
	if err != nil {
		return nil, err
	}
	v.Reuse = func() bool { return s.scratch.views.keep(k, stamp, v) }
	// Nobody is told of what a power cut could still take.
	if err := s.settle(ctx, k); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// Backup implements admin.Storage.
func (r runtime) Backup(ctx context.Context, to io.Writer, which browse.Selection) error {
	s := r.s
	dir, err := s.scratch.open(s.Data)
	if err == nil {
		err = backUp(ctx, to, s.Data, dir, which, &s.shelves, s.source)
	}
	if err != nil {
		s.log.Error("a backup has failed", "reason", err)
	}
	return err
}

// backUp writes a backup of a data folder. One folder in temp is used.
func backUp(ctx context.Context, to io.Writer, data, temp string, which browse.Selection, stores *shelves, source func(dormouse.Key) snapshot.Source) (err error) {
	dir, err := os.MkdirTemp(temp, "backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	src := backup.Source{
		Temp: dir, Version: buildVersion(),
		Walk: func(f func(dormouse.Key, snapshot.Source) error) error {
			return which.Walk(DatabaseFolder(data), func(k dormouse.Key, _ string) error { return f(k, source(k)) })
		},
	}
	if which == (browse.Selection{}) {
		src.Shelves = func(f func(name, path string) error) error { return stores.copy(ctx, dir, f) }
	}
	src.Classes, err = os.ReadFile(filepath.Join(data, backup.ClassesName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = backup.Write(ctx, to, src)
	return err
}

// buildVersion is the version of the program, as far as it knows.
func buildVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return ""
}

// settle waits until what the object has committed is durable, whether a guest
// has its database open or not.
func (s *Server) settle(ctx context.Context, k dormouse.Key) error {
	if s.engine == nil {
		return nil
	}
	done := make(chan error, 1)
	err := s.engine.Open(k, storage.OtherProcess, func(_ storage.Bookmark, err error) { done <- err })
	if err != nil {
		return err
	}
	defer s.engine.Release(k)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Change implements admin.Storage.
func (r runtime) Change(ctx context.Context, k dormouse.Key, name *string, c admin.Change) (json.RawMessage, error) {
	s := r.s
	class, _, known := s.classIn(k.Namespace)
	if !known || s.inGo(k.Namespace) {
		return nil, admin.Refused{Err: errors.New("only objects written in JavaScript can be changed while the server runs: stop it, and name its data folder")}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://operator/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	f := *s.theFront()
	f.Worker, f.Assets = operatorCall{s, k, class, name}, nil
	resp, err := f.Fetch(req)
	if err != nil {
		return nil, fmt.Errorf("the object did not do it: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error string }
		if json.Unmarshal(answer, &e) != nil || e.Error == "" {
			e.Error = fmt.Sprintf("the object answered %s", resp.Status)
		}
		return nil, admin.Refused{Err: errors.New(e.Error)}
	}
	return answer, nil
}

// operatorCall is a request of an operator to an object.
type operatorCall struct {
	s     *Server
	key   dormouse.Key
	class int
	name  *string
}

// FetchWorker implements edge.Worker.
func (c operatorCall) FetchWorker(r *guest.Request, a host.Answer) host.Asker {
	r.Entrypoint = guest.OperatorEntrypoint
	return c.s.route(c.key).Fetch(c.key, c.class, c.name, r, a)
}

var _ edge.Worker = operatorCall{}
