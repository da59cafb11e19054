package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/guest/nodeguest"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/compat"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
	"github.com/dormouse-dev/dormouse/server"
)

// versions keeps the versions of a server and has it run them. It is an
// admin.Versions.
type versions struct {
	r     *runner
	store *deploy.Store // nil: none are kept (dormouse dev)
	// current is what guests are started with, next what is being tried.
	current, next atomic.Pointer[deploy.Version]

	server *server.Server
}

// Command is that of the version that serves.
func (v *versions) Command() nodeguest.Command { return v.current.Load().Command() }

// Newer is that of the version that is being tried.
func (v *versions) Newer() nodeguest.Command { return v.next.Load().Command() }

// List implements admin.Versions.
func (v *versions) List() []admin.Version {
	list := []admin.Version{}
	if v.store == nil {
		return list
	}
	inMemory := v.server.VersionsInMemory()
	for _, r := range v.store.List() {
		a := admin.Version{
			Number: r.Number, Made: r.Made, Hash: r.Hash, Worker: r.Worker, Source: r.Source, Classes: r.Classes,
			State: "kept", Objects: inMemory[r.Number],
		}
		switch {
		case r.Current:
			a.State = "current"
		case r.Previous:
			a.State = "previous"
		}
		a.Moving = !r.Current && a.Objects > 0
		list = append(list, a)
	}
	return list
}

func (v *versions) describe(number int) admin.Version {
	for _, a := range v.List() {
		if a.Number == number {
			return a
		}
	}
	return admin.Version{Number: number}
}

// Deploy implements admin.Versions.
func (v *versions) Deploy(ctx context.Context, body io.Reader, sum [32]byte, deadline time.Duration) (done admin.Version, err error) {
	defer v.note(time.Now(), &done, &err)
	if err := v.enter(); err != nil {
		return admin.Version{}, err
	}
	defer v.r.crew.deploying.Unlock()
	seen := sha256.New()
	m, number, err := v.store.Add(io.TeeReader(body, seen), v.r.settings.Limits.DeployBytes)
	if err != nil {
		return admin.Version{}, notKept(err)
	}
	if !admin.SameSum([32]byte(seen.Sum(nil)), sum) {
		v.store.Remove(number)
		return admin.Version{}, &admin.NotDeployed{Status: http.StatusBadRequest, Err: deploy.ErrPackage}
	}
	if now := v.current.Load(); now.ID == m.Hash {
		v.store.Remove(number)
		a := v.describe(now.Number)
		a.Unchanged = true
		return a, nil
	}
	if err := v.run(ctx, number, deadline); err != nil {
		v.store.Remove(number)
		return admin.Version{}, err
	}
	return v.describe(number), nil
}

// Rollback implements admin.Versions.
func (v *versions) Rollback(ctx context.Context, number int, deadline time.Duration) (done admin.Version, err error) {
	defer v.note(time.Now(), &done, &err)
	if err := v.enter(); err != nil {
		return admin.Version{}, err
	}
	defer v.r.crew.deploying.Unlock()
	if number == 0 {
		if number = v.store.Previous(); number == 0 {
			return admin.Version{}, &admin.NotDeployed{Status: http.StatusNotFound, Err: errors.New("there is no version before this one")}
		}
	}
	if now := v.current.Load(); now.Number == number {
		a := v.describe(number)
		a.Unchanged = true
		return a, nil
	}
	if err := v.run(ctx, number, deadline); err != nil {
		if m, ok := errors.AsType[notMigrated](err); ok {
			err = &admin.NotDeployed{Status: http.StatusUnprocessableEntity, Err: fmt.Errorf(
				"version %d is from before a migration that renamed, moved or deleted one of its classes, and migrations are not undone: deploy that code again, with its classes and migrations as they are now\n%w", number, m)}
		}
		return admin.Version{}, err
	}
	return v.describe(number), nil
}

// notMigrated is why the classes of a version cannot be what the data folder has.
type notMigrated struct{ error }

// note counts what was tried; what served already was not.
func (v *versions) note(began time.Time, done *admin.Version, err *error) {
	if !done.Unchanged {
		v.server.NoteDeploy(time.Since(began), *err)
	}
}

// enter refuses a second deploy while one is on its way.
func (v *versions) enter() error {
	if v.store == nil {
		return &admin.NotDeployed{Status: http.StatusConflict, Err: errors.New("`dormouse dev` follows its folder; deploy to `dormouse serve`")}
	}
	if !v.r.crew.deploying.TryLock() {
		return &admin.NotDeployed{Status: http.StatusConflict, Err: server.ErrUpdating}
	}
	return nil
}

// run has guests run a version that is kept.
func (v *versions) run(ctx context.Context, number int, deadline time.Duration) error {
	m, dir, err := v.store.Load(number)
	if err != nil {
		return &admin.NotDeployed{Status: http.StatusNotFound, Err: err}
	}
	if name := v.r.config.Name; m.Config.Name != name {
		return &admin.NotDeployed{Status: http.StatusUnprocessableEntity, Err: fmt.Errorf("this server runs the Worker %q, not %q; its name is part of every id", name, m.Config.Name)}
	}
	record, err := migrate(v.r.settings.Data, m.Config, v.r.log)
	if err != nil {
		return &admin.NotDeployed{Status: http.StatusUnprocessableEntity, Err: notMigrated{err}}
	}
	if err := v.r.crew.takes(m.Config); err != nil {
		return &admin.NotDeployed{Status: http.StatusUnprocessableEntity, Err: err}
	}
	next, err := deploy.Kept(number, m, dir, v.r.deployOptions())
	if err != nil {
		return &admin.NotDeployed{Status: http.StatusUnprocessableEntity, Err: err}
	}
	return v.use(ctx, next, deadline, func() error {
		// If only the first is done, the next start does it again: migrations are
		// applied once.
		if err := record.Save(v.r.settings.Data); err != nil {
			return err
		}
		return v.store.Activate(number)
	})
}

// use has the server run newer code, all of it or none. accepted is called when
// it can.
func (v *versions) use(ctx context.Context, next *deploy.Version, deadline time.Duration, accepted func() error) error {
	// What has begun is finished, or undone, also when nobody waits for it.
	ctx = context.WithoutCancel(ctx)
	if deadline == 0 {
		deadline = v.r.settings.DeployDeadline
	}
	v.next.Store(next)
	err := v.server.Update(ctx, server.Update{
		Code: v.r.code(next), Deadline: deadline,
		Accepted: func() error {
			if err := accepted(); err != nil {
				return notKept(err)
			}
			v.current.Store(next)
			return nil
		},
	})
	if _, told := errors.AsType[*admin.NotDeployed](err); err == nil || told {
		return err
	}
	status := http.StatusUnprocessableEntity
	if errors.Is(err, server.ErrUpdating) {
		status = http.StatusConflict
	}
	return &admin.NotDeployed{Status: status, Err: fmt.Errorf("%s\nthe version before runs on", reason(err))}
}

// reason is an error of a guest with the author's stack.
func reason(err error) string {
	if e, ok := errors.AsType[*dormouse.Error](err); ok && e.Stack != "" {
		return e.Error() + "\n" + e.Stack
	}
	return err.Error()
}

// notKept says why a version could not be written.
func notKept(err error) error {
	status := http.StatusInternalServerError
	switch {
	case deploy.TooLarge(err):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, deploy.ErrPackage):
		status = http.StatusBadRequest
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		status = http.StatusInsufficientStorage
	}
	return &admin.NotDeployed{Status: status, Err: fmt.Errorf("the version cannot be kept: %w", err)}
}

// code is a version as servers know it.
func (r *runner) code(v *deploy.Version) server.Code {
	c := server.Code{
		AutoReply: v.Config.Compat.Has(compat.AutoReplyToClose),
		Compress:  v.Config.Compat.Has(compat.WebSocketCompression),
		TestHooks: v.Config.Compat.Has(compat.UnsafeModule),
		Bindings:  v.Bindings,
	}
	for _, k := range v.Config.Classes {
		s := v.Settings[k.Name]
		c.Classes = append(c.Classes, server.Class{Name: k.Name, Namespace: k.Namespace, KeepOnReset: s.KeepOnReset, CloseOnUpdate: s.CloseOnUpdate, OwnGuest: s.OwnGuest})
	}
	if !v.Config.Compat.Has(compat.IOTasksPreventEviction) {
		c.EvictAfter = r.settings.EvictAfter
	}
	if a := v.Config.Assets; a != nil {
		c.Assets = &server.Assets{
			Directory: a.Directory, HTML: a.HTMLHandling, NotFound: a.NotFoundHandling,
			WorkerFirst: a.WorkerFirst, WorkerPaths: a.WorkerFirstPaths,
			Navigation: v.Config.Compat.Has(compat.NavigationPrefersAssets),
		}
	}
	return c
}

// classSettings are those that belong to a version.
func classSettings(c *project.Config, s *settings.Settings) map[string]deploy.ClassSettings {
	list := make(map[string]deploy.ClassSettings)
	for _, k := range c.Classes {
		of := s.Of(k.Name)
		list[k.Name] = deploy.ClassSettings{
			KeepOnReset:   of.Sockets.OnReset == settings.ResetKeep,
			CloseOnUpdate: of.Sockets.OnUpdate == settings.UpdateClose,
			OwnGuest:      of.Placement == settings.PlaceOwn,
		}
	}
	return list
}
