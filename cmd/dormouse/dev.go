package main

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
)

// watch rebuilds the Worker when one of its files changes, and has guests with
// the new code take over. Sockets stay connected.
func (r *runner) watch(ctx context.Context) {
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
		r.rebuild(ctx)
	}
}

func (r *runner) rebuild(ctx context.Context) {
	began := time.Now()
	if _, err := r.build(ctx); err != nil {
		fmt.Fprintf(r.errs, "%v\nthe old code runs on\n", err)
		return
	}
	r.crew.deploying.Lock() // what fits in with the others must not change meanwhile
	defer r.crew.deploying.Unlock()
	v, err := r.takeBuilt()
	if err != nil {
		fmt.Fprintf(r.errs, "%v\nthe old code runs on\n", err)
		return
	}
	if old := r.versions.current.Load(); old.ID == v.ID && reflect.DeepEqual(old.Command(), v.Command()) {
		return
	}
	if v.Config.Name != r.config.Name {
		fmt.Fprintln(r.errs, "the Worker's name, which is part of every id, has changed: start `dormouse dev` again to use it")
		return
	}
	if err := r.versions.use(ctx, v, 0, func() error { return r.record.Save(r.settings.Data) }); err != nil {
		fmt.Fprintln(r.errs, err)
		return
	}
	r.config = v.Config
	fmt.Fprintf(r.out, "rebuilt in %d ms; sockets stayed connected\n", time.Since(began).Milliseconds())
}

// takeBuilt makes the version of what was built, if it fits in with the Workers
// beside it.
func (r *runner) takeBuilt() (*deploy.Version, error) {
	if err := r.crew.takes(r.picked.config); err != nil {
		return nil, err
	}
	return r.prepareBuilt()
}

// prepareBuilt makes the version of what was built.
func (r *runner) prepareBuilt() (*deploy.Version, error) {
	v, err := deploy.Prepare(r.picked.config, r.picked.bundle, r.deployOptions())
	if err != nil {
		return nil, err
	}
	v.Settings = classSettings(r.picked.config, r.settings)
	r.versions.next.Store(v)
	return v, nil
}
