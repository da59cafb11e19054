package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/shelf"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// Layout is a data folder that a backup is restored into.
type Layout struct {
	// Path says where an object's database lies in the folder.
	Path func(folder string, k dormouse.Key) string
	// Classes is where classes.json lies.
	Classes func(folder string) string
	// Finish makes a data folder of what has been written: it is told the alarms.
	Finish func(folder string, alarms []Entry) error
}

// Restore makes a data folder of a backup. The folder must not exist or be
// empty; it appears whole or not at all.
func Restore(path, folder string, l Layout) (s Summary, err error) {
	if err := checkUnused(folder); err != nil {
		return s, err
	}
	partial := folder + ".partial"
	if err := os.RemoveAll(partial); err != nil { // of an attempt that was cut off
		return s, err
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return s, err
	}
	if s, err = restore(path, partial, l); err != nil {
		return s, errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) { // it is empty
		return s, err
	}
	return s, os.Rename(partial, folder)
}

func checkUnused(folder string) error {
	entries, err := os.ReadDir(folder)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: restore into a folder that does not exist, and name it with --data when it is right", folder)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func restore(path, partial string, l Layout) (Summary, error) {
	entries, s, err := Read(path, func(e Entry, content io.Reader) error {
		switch {
		case e.File == ClassesName:
			return writeFile(l.Classes(partial), content)
		case e.File != "": // of KV or R2: its name has been checked
			return writeFile(filepath.Join(partial, filepath.FromSlash(e.File)), content)
		}
		k, err := e.Key()
		if err != nil {
			return err
		}
		return writeFile(l.Path(partial, k), content)
	})
	if err != nil {
		return s, err
	}
	var alarms []Entry
	for _, e := range entries {
		if e.Alarm != nil {
			alarms = append(alarms, e)
		}
	}
	if err := l.Finish(partial, alarms); err != nil {
		return s, err
	}
	return s, disk.OS{}.SyncAll(partial)
}

// Verify reads a backup and looks into each database. temp is a folder for one
// of them at a time.
func Verify(path, temp string) (s Summary, err error) {
	dir, err := os.MkdirTemp(temp, "dormouse-verify-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	wrong := make(map[string]string)
	entries, s, err := Read(path, func(e Entry, content io.Reader) error {
		if e.File != "" && !strings.HasSuffix(e.File, "/"+shelf.IndexName) {
			return nil
		}
		err := checkDatabase(dir+"/look.sqlite", content)
		if err != nil && !errors.Is(err, sqlitefile.ErrDamaged) {
			return fmt.Errorf("%s: %w", e.name(), err)
		}
		if err != nil {
			wrong[e.name()] = err.Error()
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	s.Damaged = nil
	for _, e := range entries { // the backup is what it was: its databases may not have been
		if why, is := wrong[e.name()]; is {
			e.Damaged = why
			s.Damaged = append(s.Damaged, e)
		}
	}
	return s, nil
}

func checkDatabase(path string, content io.Reader) error {
	if err := writeFile(path, content); err != nil {
		return err
	}
	defer os.Remove(path)
	db, err := sqlitefile.OpenCopy(path)
	if err != nil {
		return err
	}
	return errors.Join(db.Check(context.Background()), db.Close())
}

// ErrNotThere: the backup does not have the object.
var ErrNotThere = errors.New("the backup does not have the object")

// Extract copies the database of one object out of a backup, all of which is
// verified, to a path that must not exist.
func Extract(path string, k dormouse.Key, to string) (err error) {
	there := false
	_, _, err = Read(path, func(e Entry, content io.Reader) error {
		if e.File != "" || e.Namespace != k.Namespace || e.ID != k.ID.String() {
			return nil
		}
		there = true
		return writeFile(to, content)
	})
	if err == nil && !there {
		err = fmt.Errorf("%w: %s", ErrNotThere, k)
	}
	if err != nil && there {
		err = errors.Join(err, os.Remove(to))
	}
	return err
}
