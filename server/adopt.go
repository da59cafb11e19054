package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// Adopted is an object that comes from elsewhere.
type Adopted struct {
	dormouse.Key
	Path  string    // of its database, which nobody changes
	Alarm time.Time // if the database has none; zero: none
}

// Adopt copies objects into the folder. Before the first is copied it looks
// whether any of them is there already, and before the first takes its place
// whether all are whole; then it calls before, which may be nil. After an error
// of these there is none of them. n is how many have taken their places: those
// that had stored anything.
func (f *Folder) Adopt(ctx context.Context, objects []Adopted, before func() error) (n int, err error) {
	for _, o := range objects {
		path := DatabasePath(f.Data, o.Key)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return 0, errors.Join(fmt.Errorf("object %s is in the data folder already; nothing was taken", o.Key), err)
		}
	}
	copied, err := f.copyAll(ctx, objects)
	if err == nil && before != nil {
		err = before()
	}
	if err != nil {
		return 0, errors.Join(err, drop(copied))
	}
	for i, o := range copied {
		if err := f.place(o); err != nil {
			return i, errors.Join(fmt.Errorf("take object %s: %w", o.key, err), drop(copied[i:]))
		}
	}
	return len(copied), disk.OS{}.SyncAll(f.Data)
}

// copiedObject is a whole database beside its place.
type copiedObject struct {
	key           dormouse.Key
	partial, path string
	alarm         time.Time
}

// copyAll copies what has anything stored. With an error it returns what it has
// copied so far.
func (f *Folder) copyAll(ctx context.Context, objects []Adopted) (list []copiedObject, err error) {
	for _, o := range objects {
		c, err := f.copy(ctx, o)
		if errors.Is(err, errEmpty) {
			continue
		}
		if err != nil {
			return list, fmt.Errorf("take object %s: %w", o.Key, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// errEmpty: workerd makes a file for each object that was ever called.
var errEmpty = errors.New("nothing was ever stored in it")

// copy copies a database and looks whether it is whole. Pairs with place and drop.
func (f *Folder) copy(ctx context.Context, o Adopted) (c copiedObject, err error) {
	path := DatabasePath(f.Data, o.Key)
	c = copiedObject{key: o.Key, path: path, partial: path + ".partial"}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return c, err
	}
	if err := os.Remove(c.partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	err = snapshot.Take(ctx, snapshot.Source{Path: o.Path, Foreign: true}, c.partial)
	if errors.Is(err, fs.ErrNotExist) {
		return c, errEmpty
	}
	if err != nil {
		return c, err
	}
	if c.alarm, err = f.prepare(ctx, c.partial, o.Alarm); err != nil {
		return c, errors.Join(err, os.Remove(c.partial))
	}
	return c, nil
}

func (f *Folder) place(c copiedObject) error {
	if err := os.Rename(c.partial, c.path); err != nil {
		return err
	}
	return f.setWake(c.key, c.alarm)
}

// drop removes copies that are not in their places.
func drop(list []copiedObject) error {
	var errs []error
	for _, c := range list {
		if err := os.Remove(c.partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// prepare looks whether a database is whole, and sees to it that its alarm is
// where objects look for it.
func (f *Folder) prepare(ctx context.Context, path string, alarm time.Time) (time.Time, error) {
	db, err := sqlitefile.OpenAlone(path)
	if err != nil {
		return alarm, err
	}
	err = func() error {
		if err := db.Check(ctx); err != nil {
			return err
		}
		if rows, err := db.Select("SELECT 1 FROM sqlite_schema LIMIT 1"); err != nil || len(rows) == 0 {
			return errors.Join(err, errEmpty)
		}
		own, err := db.Alarm()
		switch {
		case err != nil:
			return err
		case !own.IsZero():
			alarm = own
		case !alarm.IsZero():
			return db.SetAlarm(alarm)
		}
		return nil
	}()
	return alarm, errors.Join(err, db.Close())
}

// setWake notes when an object has to be woken; zero: not at all.
func (f *Folder) setWake(k dormouse.Key, at time.Time) error {
	return f.engine.SetWake(k, storage.Wake{At: at})
}

// Replace puts a database in the place of an object's, or gives it one.
func (f *Folder) Replace(ctx context.Context, o Adopted) error {
	path := DatabasePath(f.Data, o.Key)
	if _, err := os.Stat(path + "-wal"); err == nil { // would count for the new file
		db, err := sqlitefile.OpenAlone(path)
		if err == nil {
			err = db.Close()
		}
		if err != nil {
			return fmt.Errorf("object %s has a log that cannot be read: move its files away first: %w", o.Key, err)
		}
	}
	c, err := f.copy(ctx, o)
	if err == nil {
		if err = f.place(c); err != nil {
			err = errors.Join(err, drop([]copiedObject{c}))
		}
	}
	if err != nil {
		return fmt.Errorf("replace object %s: %w", o.Key, err)
	}
	return disk.OS{}.SyncAll(f.Data)
}
