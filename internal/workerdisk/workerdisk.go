// Package workerdisk reads and writes the folders in which workerd keeps objects
// on a local disk, which are also those of `wrangler dev` (.wrangler/state). It
// knows files, and never sees a data folder of ours.
//
// workerd 1.20261117.1: a folder for each namespace, named by its unique key; in
// it <id>.sqlite for each object, and metadata.sqlite with the alarms.
package workerdisk

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/backup"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
	"github.com/dormouse-dev/dormouse/internal/workerdisk/miniflare"
)

// metadata is the file of a namespace's alarms.
const metadata = "metadata.sqlite"

// The text stands in the file as workerd writes it.
const createAlarms = `CREATE TABLE _cf_ALARM (
      actor_id TEXT PRIMARY KEY,
      scheduled_time INTEGER,
      actor_name TEXT
    ) WITHOUT ROWID`

// Object is an object of a tree.
type Object struct {
	dormouse.Key
	Path string // of its database
	// Alarm is what the namespace's metadata says; zero: nothing. The object's
	// own database may know better.
	Alarm time.Time
}

// Export makes a tree of the backup that fill writes. The folder must not exist;
// it appears whole or not at all.
func Export(path string, fill func(io.Writer) error) (backup.Summary, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return backup.Summary{}, errors.Join(fmt.Errorf("%s exists: give a name that does not", path), err)
	}
	partial := path + ".partial"
	s, err := export(partial, fill)
	if err != nil {
		return s, errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Rename(partial, path); err != nil {
		return s, err
	}
	return s, disk.OS{}.SyncDir(filepath.Dir(path))
}

func export(dir string, fill func(io.Writer) error) (backup.Summary, error) {
	if err := os.RemoveAll(dir); err != nil { // of an attempt that was cut off
		return backup.Summary{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return backup.Summary{}, err
	}
	entries, s, err := backup.Through(fill, func(e backup.Entry, content io.Reader) error {
		if e.File != "" {
			return nil
		}
		folder, err := folderOf(dir, e.Namespace)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(folder, e.ID+".sqlite"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return s, err
	}
	if err := writeAlarms(dir, entries); err != nil {
		return s, err
	}
	return s, disk.OS{}.SyncAll(dir)
}

// folderOf makes the folder of a namespace: workerd uses the unique key as it is.
func folderOf(dir string, n dormouse.Namespace) (string, error) {
	name := string(n)
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("namespace %q cannot be a folder of workerd's: its name has a slash in it", n)
	}
	folder := filepath.Join(dir, name)
	return folder, os.MkdirAll(folder, 0o700)
}

// writeAlarms writes the metadata of each namespace.
func writeAlarms(dir string, entries []backup.Entry) error {
	of := make(map[dormouse.Namespace][]backup.Entry)
	for _, e := range entries {
		if e.File == "" {
			of[e.Namespace] = append(of[e.Namespace], e)
		}
	}
	for n, list := range of {
		folder, err := folderOf(dir, n)
		if err != nil {
			return err
		}
		db, err := sqlitefile.Create(filepath.Join(folder, metadata))
		if err != nil {
			return err
		}
		err = db.Fill(createAlarms, "INSERT INTO _cf_ALARM VALUES (?, ?, NULL)", func(row func(...any) error) error {
			for _, e := range list {
				if e.Alarm == nil {
					continue
				}
				if err := row(e.ID, e.Alarm.UnixNano()); err != nil {
					return err
				}
			}
			return nil
		})
		if err := errors.Join(err, db.Close()); err != nil {
			return fmt.Errorf("write the alarms of %s: %w", n, err)
		}
	}
	return nil
}

// ErrNone is returned for a folder that is no tree of objects.
var ErrNone = errors.New("has no objects: a folder was expected in which there are folders with <id>.sqlite in them, such as .wrangler/state")

// Find lists the objects of a tree: a folder of namespaces, one of them, or a
// folder of wrangler's that has one in it. Nobody may use the tree meanwhile.
// What miniflare keeps in objects of its own is passed over: see that package.
func Find(path string) ([]Object, error) {
	root, err := findRoot(path)
	if err != nil {
		return nil, err
	}
	if holdsObjects(root) && !miniflare.Is(filepath.Base(root)) { // a single namespace
		return objectsOf(root)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var all []Object
	for _, e := range entries {
		folder := filepath.Join(root, e.Name())
		if !e.IsDir() || miniflare.Is(e.Name()) || !holdsObjects(folder) {
			continue
		}
		list, err := objectsOf(folder)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s %w", path, ErrNone)
	}
	return all, nil
}

// findRoot finds the folder of namespaces.
func findRoot(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a file; name the folder of the tree", path)
	}
	for _, below := range []string{".wrangler/state/v3/do", "state/v3/do", "v3/do", "do"} {
		root := filepath.Join(path, filepath.FromSlash(below))
		if info, err := os.Stat(root); err == nil && info.IsDir() {
			return root, nil
		}
	}
	return filepath.Abs(path)
}

func holdsObjects(folder string) bool {
	entries, _ := os.ReadDir(folder)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, ok := idOf(e.Name())
		return ok
	})
}

// idOf reads an id from the name of a database.
func idOf(name string) (id dormouse.ID, ok bool) {
	text, is := strings.CutSuffix(name, ".sqlite")
	b, err := hex.DecodeString(text)
	if !is || err != nil || len(b) != len(id) {
		return id, false
	}
	return dormouse.ID(b), true
}

func objectsOf(folder string) ([]Object, error) {
	n := dormouse.Namespace(filepath.Base(folder))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	alarms, err := readAlarms(filepath.Join(folder, metadata))
	if err != nil {
		return nil, fmt.Errorf("read the alarms of %s: %w", folder, err)
	}
	var list []Object
	for _, e := range entries {
		id, ok := idOf(e.Name())
		if !ok {
			continue
		}
		if _, err := n.ParseID(id.String()); err != nil {
			return nil, fmt.Errorf("%s is no object of the namespace %q: the folder must have the unique key as its name that the ids were made with", filepath.Join(folder, e.Name()), n)
		}
		list = append(list, Object{dormouse.Key{Namespace: n, ID: id}, filepath.Join(folder, e.Name()), alarms[id]})
	}
	return list, nil
}
