package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// picked is what is to serve, before guests can run it.
type picked struct {
	config   *project.Config
	bundle   *bundle.Bundle // of dev
	number   int            // of a version that is kept
	manifest *deploy.Manifest
	dir      string // of the same
	added    bool   // by this start
}

// latest is what the Worker is now, as far as that is known.
func (r *runner) latest() *project.Config {
	if v := r.versions.current.Load(); v != nil {
		return v.Config
	}
	if r.picked.config != nil {
		return r.picked.config
	}
	return r.config
}

// placeData finds the data folder of this Worker in one that somebody has named
// for the process.
func (r *runner) placeData(found *settings.Result, worker string) (err error) {
	by := found.Source("data")
	if r.inRoot || strings.HasPrefix(by, "--") || strings.HasPrefix(by, "DORMOUSE_") {
		found.Settings.Data, err = r.crew.dataFolder(found.Settings.Data, worker)
	}
	return err
}

// pick finds what is to serve: the project's version, which is added if it differs
// from the current one, or without a project the current one.
func (r *runner) pick() error {
	if r.dev {
		return nil // build has
	}
	store, err := deploy.Open(r.settings.Data, r.settings.Versions)
	if err != nil {
		return err
	}
	r.versions.store = store
	p := &r.picked
	p.number = store.Current()
	p.manifest, p.dir, err = store.Load(p.number)
	if !r.kept && (err != nil || p.manifest.Hash != r.hash) {
		if _, p.number, err = store.Add(bytes.NewReader(r.archive), int64(len(r.archive))); err != nil {
			return fmt.Errorf("the version cannot be kept: %w", err)
		}
		p.added = true
		p.manifest, p.dir, err = store.Load(p.number)
	}
	r.archive = nil
	if err == nil {
		r.record, err = migrate(r.settings.Data, p.manifest.Config, r.log)
	}
	if err == nil {
		p.config = p.manifest.Config
	}
	return err
}

// discard takes back what pick has added, if it does not start.
func (r *runner) discard() {
	if r.picked.added {
		r.versions.store.Remove(r.picked.number)
	}
}

// ready makes what was picked ready to be run.
func (r *runner) ready() (err error) {
	var v *deploy.Version
	if r.dev {
		v, err = r.prepareBuilt()
	} else {
		v, err = deploy.Kept(r.picked.number, r.picked.manifest, r.picked.dir, r.deployOptions())
	}
	if err != nil {
		return err
	}
	r.versions.current.Store(v)
	r.config = v.Config
	return nil
}

// begin has guests run it.
func (r *runner) begin(ctx context.Context) error {
	s := r.versions.server
	err := s.Adopt(r.code(r.versions.current.Load()))
	if err == nil {
		err = s.Start(ctx)
	}
	if err == nil {
		return nil
	}
	name := "the Worker"
	if r.crew.several() {
		name += " " + r.config.Name
	}
	return fmt.Errorf("%s does not start: %w", name, err)
}

// settle writes down that it serves.
func (r *runner) settle() error {
	if err := r.record.Save(r.settings.Data); err != nil || !r.picked.added {
		return err
	}
	return r.versions.store.Activate(r.picked.number)
}
