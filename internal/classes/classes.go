// Package classes remembers in the data folder which class of a Worker has which
// namespace, and changes that as the Worker's migrations say: each once, by its
// tag. A class that is renamed or given to another Worker keeps its namespace,
// and with it the ids and the data of its objects; that of a deleted class is
// kept aside. It knows the record and the migrations, and never sees an object.
package classes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// FileName is the record's, in the data folder.
const FileName = "classes.json"

// format is the version of the record.
const format = 1

// Record is what the data folder remembers.
type Record struct {
	Format  int                `json:"format"`
	Workers map[string]*Worker `json:"workers"` // by name

	read []byte // what stood in the file; nil: there was none
}

// Worker is what is remembered of a Worker.
type Worker struct {
	// Applied are the tags of the migrations that were applied, in order.
	Applied []string  `json:"applied"`
	Classes []Class   `json:"classes"`
	Deleted []Deleted `json:"deleted,omitempty"`
}

// Class is a class and where its objects are.
type Class struct {
	Name      string             `json:"class"`
	Namespace dormouse.Namespace `json:"namespace"`
	SQLite    bool               `json:"sqlite"`
	Since     string             `json:"since,omitempty"` // the tag that made it
}

// Deleted is a class whose objects are kept aside.
type Deleted struct {
	Name      string             `json:"class"`
	Namespace dormouse.Namespace `json:"namespace"`
	By        string             `json:"by,omitempty"` // the tag that deleted it
	At        time.Time          `json:"at"`
}

// Load reads the record of a data folder. Without one it is empty.
func Load(data string) (*Record, error) {
	b, err := os.ReadFile(filepath.Join(data, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return &Record{Format: format, Workers: make(map[string]*Worker)}, nil
	}
	if err != nil {
		return nil, err
	}
	r := &Record{read: b}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s of the data folder cannot be read (%w): restore it from a backup", FileName, err)
	}
	if r.Format != format {
		return nil, fmt.Errorf("%s of the data folder has format %d, this Dormouse reads %d; use the version that wrote it, or a newer one", FileName, r.Format, format)
	}
	if r.Workers == nil {
		r.Workers = make(map[string]*Worker)
	}
	return r, nil
}

// Save writes the record, if it has changed since Load. The caller holds the
// lock of the data folder; if somebody else has written it since, nothing is.
func (r *Record) Save(data string) error {
	path := filepath.Join(data, FileName)
	now, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(now) != string(r.read) {
		return fmt.Errorf("%s of the data folder has been changed by another Dormouse: start again", FileName)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if b = append(b, '\n'); string(b) == string(now) {
		return nil
	}
	if err := disk.Replace(disk.OS{}, path, b); err != nil {
		return err
	}
	r.read = b
	return nil
}

// Aside lists the deleted classes of all Workers.
func (r *Record) Aside() (list []Deleted) {
	for _, w := range r.Workers {
		list = append(list, w.Deleted...)
	}
	slices.SortFunc(list, func(a, b Deleted) int { return a.At.Compare(b.At) })
	return list
}

// Forget removes a deleted class from the record: its objects are gone.
func (r *Record) Forget(n dormouse.Namespace) {
	for _, w := range r.Workers {
		w.Deleted = slices.DeleteFunc(w.Deleted, func(d Deleted) bool { return d.Namespace == n })
	}
}

func (w *Worker) find(name string) *Class {
	for i := range w.Classes {
		if w.Classes[i].Name == name {
			return &w.Classes[i]
		}
	}
	return nil
}

// taken says whether a namespace belongs to any class, or to one that is gone.
func (r *Record) taken(n dormouse.Namespace) bool {
	for _, w := range r.Workers {
		if slices.ContainsFunc(w.Classes, func(c Class) bool { return c.Namespace == n }) ||
			slices.ContainsFunc(w.Deleted, func(d Deleted) bool { return d.Namespace == n }) {
			return true
		}
	}
	return false
}
