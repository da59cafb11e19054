package main

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	"github.com/dormouse-dev/dormouse/server"
)

// watch rebuilds the Worker when one of its files changes, and has guests with
// the new code take over. Sockets stay connected.
func (r *runner) watch(ctx context.Context, s *server.Server) {
	w, err := bundle.Watch(ctx)
	if err != nil {
		r.log.Error("files are not watched", "reason", err)
		return
	}
	for since := r.built; ; since = r.built {
		files, trees := bundle.Watched(r.config, r.inputs)
		if err := w.Set(files, trees, since); err != nil {
			r.log.Error("not every file is watched", "reason", err)
		}
		select {
		case <-w.Done():
			return
		case <-w.Changes():
		}
		r.rebuild(ctx, s)
	}
}

func (r *runner) rebuild(ctx context.Context, s *server.Server) {
	began := time.Now()
	c, v, err := r.build(ctx)
	if err != nil {
		fmt.Fprintf(r.errs, "%v\nthe old code runs on\n", err)
		return
	}
	old := r.version.Load()
	if old.ID == v.ID && reflect.DeepEqual(old.Command(), v.Command()) {
		return
	}
	if !sameShape(old, v) || c.Name != r.config.Name {
		fmt.Fprintln(r.errs, "the Worker's name, classes or bindings of objects have changed: start `dormouse dev` again to use them")
		return
	}
	r.version.Store(v)
	if err := s.Replace(ctx); err != nil {
		r.version.Store(old)
		fmt.Fprintf(r.errs, "%v\nthe old code runs on\n", err)
		return
	}
	fmt.Fprintf(r.out, "rebuilt in %d ms; sockets stayed connected\n", time.Since(began).Milliseconds())
}

// sameShape says whether two versions agree on what the host knows of them.
func sameShape(a, b *deploy.Version) bool {
	return reflect.DeepEqual(a.Classes, b.Classes) && reflect.DeepEqual(a.Bindings, b.Bindings)
}
