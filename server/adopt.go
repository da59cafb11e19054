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
// whether any of them is there already: then nothing is done.
func (f *Folder) Adopt(ctx context.Context, objects []Adopted) (n int, err error) {
	for _, o := range objects {
		path := DatabasePath(f.Data, o.Key)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return 0, errors.Join(fmt.Errorf("object %s is in the data folder already; nothing was taken", o.Key), err)
		}
	}
	for _, o := range objects {
		err := f.adopt(ctx, o)
		if errors.Is(err, errEmpty) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("take object %s: %w", o.Key, err)
		}
		n++
	}
	return n, disk.OS{}.SyncAll(f.Data)
}

// errEmpty: workerd makes a file for each object that was ever called.
var errEmpty = errors.New("nothing was ever stored in it")

func (f *Folder) adopt(ctx context.Context, o Adopted) error {
	path := DatabasePath(f.Data, o.Key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	partial := path + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := snapshot.Take(ctx, snapshot.Source{Path: o.Path, Foreign: true}, partial)
	if errors.Is(err, fs.ErrNotExist) {
		return errEmpty
	}
	if err != nil {
		return err
	}
	alarm, err := f.prepare(ctx, partial, o.Alarm)
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return f.setWake(o.Key, alarm)
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
	if err := f.adopt(ctx, o); err != nil {
		return fmt.Errorf("replace object %s: %w", o.Key, err)
	}
	return disk.OS{}.SyncAll(f.Data)
}
