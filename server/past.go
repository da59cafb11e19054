package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitestore"
)

// past is what the engine knows of what objects were, as hosts ask for it.
type past struct{ *store }

var _ host.Past = past{}

// past returns what a shard asks.
func (s *Server) past(inGo bool) host.Past {
	if inGo {
		return pastInGo{past{s.engine}, s.stores}
	}
	return past{s.engine}
}

// pastInGo is that of objects whose databases this process opens, and keeps open
// for a while after they have left memory.
type pastInGo struct {
	past
	stores *sqlitestore.Stores
}

// Restore implements host.Past.
func (p pastInGo) Restore(k dormouse.Key, done func(error)) error {
	p.stores.LetGo(k)
	return p.past.Restore(k, done)
}

// errNoTimeTravel has workerd's text, which says the same.
var errNoTimeTravel = errors.New("This Durable Object's storage back-end does not implement point-in-time recovery.")

// Ask implements host.Past.
func (p past) Ask(k dormouse.Key, what guest.PastQuestion, at time.Time, bookmark string, done func(string, error)) {
	told := func(b storage.Bookmark, err error) {
		switch {
		case errors.Is(err, storage.ErrNoPast):
			done("", errNoTimeTravel)
		case err != nil:
			done("", err)
		default:
			done(b.Text(k), nil)
		}
	}
	err := p.ask(func(e *journal.Engine) error {
		switch what {
		case guest.BookmarkOfNow:
			told(e.Mark(), nil)
			return nil
		case guest.BookmarkOfTime:
			return e.BookmarkOf(at, told)
		}
		b, err := storage.ParseBookmark(bookmark, k)
		if err != nil {
			return err
		}
		return e.OrderRestore(k, b, told)
	})
	if err != nil {
		told(storage.Bookmark{}, err)
	}
}

// Ordered implements host.Past.
func (p past) Ordered(k dormouse.Key) bool {
	e := p.engine.Load()
	return e != nil && e.Ordered(k)
}

// Restore implements host.Past.
func (p past) Restore(k dormouse.Key, done func(error)) error {
	err := p.ask(func(e *journal.Engine) error { return e.Restore(k, outcome(done)) })
	if errors.Is(err, storage.ErrBusy) {
		return fmt.Errorf("%w: %w", host.ErrInUse, err)
	}
	return err
}

// errRestored is what those hear who were talking to an object.
var errRestored = dormouse.Error{
	Message:   "Durable Object was reset because its storage is put back to an earlier state.",
	Retryable: true, ObjectReset: true,
}

// History implements admin.Past.
func (r runtime) History(ctx context.Context, k dormouse.Key, limit int) (*browse.History, error) {
	if err := r.s.settle(ctx, k); err != nil {
		return nil, err
	}
	var h *browse.History
	err := r.s.engine.ask(func(e *journal.Engine) (err error) {
		h, err = historyOf(e, k, limit)
		return err
	})
	return h, err
}

func historyOf(e *journal.Engine, k dormouse.Key, limit int) (*browse.History, error) {
	points, span, err := e.Points(k, limit)
	if err != nil {
		return nil, asRefused(err)
	}
	if len(points) == 0 {
		if _, err := os.Stat(e.Path(k)); err != nil {
			return nil, browse.ErrNoData
		}
	}
	h := &browse.History{Now: e.Mark().Text(k), Since: span.Since, Bytes: span.Bytes, Points: make([]browse.Point, len(points))}
	if span.Damage != nil {
		h.Damage = span.Damage.Error()
	}
	for i, p := range points {
		h.Points[i] = browse.Point{Bookmark: p.At.Text(k), Time: p.Time, What: string(p.What), Pages: p.Pages}
	}
	return h, nil
}

// PutBack implements admin.Past.
func (r runtime) PutBack(ctx context.Context, k dormouse.Key, to browse.PastPoint) (*browse.PutBack, error) {
	s := r.s
	if _, err := os.Stat(DatabasePath(s.Data, k)); err != nil {
		return nil, asRefused(storage.ErrNoObject)
	}
	answers := make(chan error, 1)
	var undo string
	err := s.engine.ask(func(e *journal.Engine) (err error) {
		undo, err = order(e, k, to)
		return err
	})
	if err != nil {
		return nil, asRefused(err)
	}
	sh := s.route(k)
	reset := errRestored
	sh.Loop.Post(func() { sh.PutBack(k, &reset, func(err error) { answers <- err }) })
	select {
	case err = <-answers:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return &browse.PutBack{Undo: undo}, asRefused(err)
}

// order has an object put back, and returns the bookmark that undoes it.
func order(e *journal.Engine, k dormouse.Key, to browse.PastPoint) (string, error) {
	at, err := pointOf(e, k, to)
	if err != nil {
		return "", err
	}
	type answer struct {
		undo storage.Bookmark
		err  error
	}
	answers := make(chan answer, 1)
	if err := e.OrderRestore(k, at, func(b storage.Bookmark, err error) { answers <- answer{b, err} }); err != nil {
		return "", err
	}
	a := <-answers
	return a.undo.Text(k), a.err
}

// pointOf finds the bookmark that an operator means.
func pointOf(e *journal.Engine, k dormouse.Key, to browse.PastPoint) (storage.Bookmark, error) {
	if to.Bookmark != "" {
		return storage.ParseBookmark(to.Bookmark, k)
	}
	return e.BookmarkAt(to.Time)
}

// asRefused marks what the operator can act on.
func asRefused(err error) error {
	if errors.Is(err, storage.ErrNoObject) {
		return browse.ErrNoData
	}
	for _, e := range []error{
		storage.ErrTooOld, storage.ErrNotYet, storage.ErrNoPast, storage.ErrPurged, storage.ErrNotWhole,
		storage.ErrInvalidBookmark, storage.ErrForeignBookmark,
	} {
		if errors.Is(err, e) {
			return admin.Refused{Err: err}
		}
	}
	return err
}

// History lists the last moments of an object of a folder that no server uses.
func (f *Folder) History(k dormouse.Key, limit int) (*browse.History, error) {
	return historyOf(f.engine, k, limit)
}

// PutBack puts an object back to an earlier state.
func (f *Folder) PutBack(k dormouse.Key, to browse.PastPoint) (*browse.PutBack, error) {
	if _, err := os.Stat(f.engine.Path(k)); err != nil {
		return nil, browse.ErrNoData
	}
	undo, err := order(f.engine, k, to)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	if err := f.engine.Restore(k, func(_ storage.Bookmark, err error) { done <- err }); err != nil {
		return nil, err
	}
	return &browse.PutBack{Undo: undo}, <-done
}

// AsOf makes a copy of an object's database as it was, in a folder that f may
// use until it returns.
func (f *Folder) AsOf(k dormouse.Key, at browse.PastPoint, use func(path string) error) error {
	mark, err := pointOf(f.engine, k, at)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(f.Data, "tmp-")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "object.sqlite")
	if err = f.engine.CopyAt(k, mark, path); err == nil {
		err = use(path)
	}
	return errors.Join(err, os.RemoveAll(dir))
}
