package classes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// World is what Apply needs to know of the data folder.
type World struct {
	Now time.Time
	// Stored says whether a namespace has objects. It is asked when a Worker is
	// seen for the first time: its data may be older than the record.
	Stored func(dormouse.Namespace) bool
}

// Stored is a World's, for a folder of databases: a namespace has objects if there
// is anything in its folder, or that cannot be looked into.
func Stored(databases string) func(dormouse.Namespace) bool {
	return func(n dormouse.Namespace) bool {
		entries, err := os.ReadDir(filepath.Join(databases, storage.Folder(n)))
		return len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
	}
}

// Outcome is what Apply has found.
type Outcome struct {
	Applied  []string // tags
	Warnings []string
}

// Apply changes the record as the migrations of a Worker say that were not
// applied yet, and tells each class of the Worker its namespace. After an error
// the record is of no use.
func (r *Record) Apply(c *project.Config, w World) (o Outcome, err error) {
	a := &applier{record: r, config: c, world: w, outcome: &o}
	a.worker = r.Workers[c.Name]
	if a.worker == nil {
		a.first = true
		a.worker = &Worker{Applied: []string{}, Classes: []Class{}}
		r.Workers[c.Name] = a.worker
	}
	if err := a.migrations(); err != nil {
		return o, err
	}
	if err := a.declared(); err != nil {
		return o, err
	}
	for i := range c.Classes {
		k := &c.Classes[i]
		have := a.worker.find(k.Name)
		if !a.says(k) {
			k.SQLite = have.SQLite
		}
		if have.SQLite != k.SQLite {
			return o, fmt.Errorf("class %q was made with %s, and %s is said now: a class keeps its kind of storage; make another one and copy what it needs", k.Name, kind(have.SQLite), kind(k.SQLite))
		}
		k.Namespace = have.Namespace
	}
	return o, nil
}

// says whether the configuration says what kind of storage a class has, rather
// than that it came from elsewhere.
func (a *applier) says(k *project.Class) bool {
	list := a.config.Migrations
	return len(list) == 0 || slices.ContainsFunc(list, func(m project.Migration) bool {
		of := func(name string) bool { return slices.Contains(m.New, name) || slices.Contains(m.NewSQLite, name) }
		return of(k.Name) || slices.ContainsFunc(k.Former, of)
	})
}

func kind(sqlite bool) string {
	if sqlite {
		return `SQLite storage ("new_sqlite_classes")`
	}
	return `the older key-value storage ("new_classes")`
}

type applier struct {
	record  *Record
	config  *project.Config
	world   World
	worker  *Worker
	first   bool // the Worker was not known before
	outcome *Outcome
}

// migrations applies those that are new, which have to be the last ones.
func (a *applier) migrations() error {
	list := a.config.Migrations
	begin := 0
	for i, m := range list {
		if slices.Contains(a.worker.Applied, m.Tag) {
			begin = i + 1
		}
	}
	applied := func(m project.Migration) bool { return slices.Contains(a.worker.Applied, m.Tag) }
	for i, m := range list[:begin] {
		if !applied(m) {
			next := i + slices.IndexFunc(list[i:], applied)
			return fmt.Errorf("migration %q stands before %q, which was applied already: add new migrations at the end", m.Tag, list[next].Tag)
		}
	}
	for _, m := range list[begin:] {
		if err := a.migration(m); err != nil {
			return fmt.Errorf("migration %q cannot be applied: %w", m.Tag, err)
		}
		a.worker.Applied = append(a.worker.Applied, m.Tag)
		a.outcome.Applied = append(a.outcome.Applied, m.Tag)
	}
	return nil
}

// migration applies one, in the order in which wrangler does.
func (a *applier) migration(m project.Migration) error {
	for _, name := range m.New {
		if err := a.add(name, false, m.Tag); err != nil {
			return err
		}
	}
	for _, name := range m.NewSQLite {
		if err := a.add(name, true, m.Tag); err != nil {
			return err
		}
	}
	for _, x := range m.Renamed {
		if err := a.rename(x.From, x.To, m.Tag); err != nil {
			return err
		}
	}
	for _, x := range m.Transferred {
		if err := a.transfer(x, m.Tag); err != nil {
			return err
		}
	}
	for _, name := range m.Deleted {
		if err := a.remove(name, m.Tag); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) add(name string, sqlite bool, tag string) error {
	if have := a.worker.find(name); have != nil {
		return fmt.Errorf("class %q exists%s", name, since(have))
	}
	a.worker.Classes = append(a.worker.Classes, Class{name, a.namespace(name), sqlite, tag})
	return nil
}

func since(c *Class) string {
	if c.Since == "" {
		return " already"
	}
	return fmt.Sprintf(" since migration %q", c.Since)
}

// namespace finds a free one for a new class: the one that it would always have,
// unless that belongs to a class that had the name before.
func (a *applier) namespace(class string) dormouse.Namespace {
	plain := dormouse.Namespace(a.config.Name + "-" + class)
	n := plain
	for i := 2; a.record.taken(n); i++ {
		n = dormouse.Namespace(fmt.Sprintf("%s-%d", plain, i))
	}
	return n
}

func (a *applier) rename(from, to, tag string) error {
	if have := a.worker.find(to); have != nil {
		return fmt.Errorf("class %q cannot be renamed to %q, which exists%s", from, to, since(have))
	}
	c := a.worker.find(from)
	switch {
	case c == nil && a.first: // migrations before this one were cut off the list
		if err := a.add(from, true, tag); err != nil {
			return err
		}
		c = a.worker.find(from)
	case c == nil:
		return a.unknown(from)
	}
	c.Name = to
	// Where there was no record, and in wrangler dev, the data lies under the
	// class's present name.
	if n := dormouse.Namespace(a.config.Name + "-" + to); a.first && !a.world.Stored(c.Namespace) && !a.record.taken(n) {
		c.Namespace = n
	}
	return nil
}

func (a *applier) unknown(name string) error {
	var names []string
	for _, c := range a.worker.Classes {
		names = append(names, fmt.Sprintf("%q", c.Name))
	}
	there := "there is none"
	if len(names) > 0 {
		there = "there are " + strings.Join(names, ", ")
	}
	for _, d := range a.worker.Deleted {
		if d.Name == name {
			return fmt.Errorf("class %q was deleted by migration %q", name, d.By)
		}
	}
	return fmt.Errorf("the data folder knows no class %q of the Worker %q; %s", name, a.config.Name, there)
}

// transfer takes a class from another Worker, if that is in the same data
// folder; its objects keep their ids.
func (a *applier) transfer(x project.Transferred, tag string) error {
	from := a.record.Workers[x.FromScript]
	if from == nil {
		a.outcome.Warnings = append(a.outcome.Warnings, fmt.Sprintf(
			"class %q begins empty: this data folder knows no Worker %q from which it could take the objects of %q", x.To, x.FromScript, x.From))
		return a.add(x.To, true, tag)
	}
	if have := a.worker.find(x.To); have != nil {
		return fmt.Errorf("class %q exists%s", x.To, since(have))
	}
	c := from.find(x.From)
	if c == nil {
		return fmt.Errorf("the Worker %q has no class %q in this data folder", x.FromScript, x.From)
	}
	moved := *c
	from.Classes = slices.DeleteFunc(from.Classes, func(c Class) bool { return c.Name == x.From })
	moved.Name, moved.Since = x.To, tag
	a.worker.Classes = append(a.worker.Classes, moved)
	return nil
}

// remove sets a class aside.
func (a *applier) remove(name, tag string) error {
	c := a.worker.find(name)
	switch {
	case c == nil && a.first:
		return nil // it came and went before Dormouse
	case c == nil:
		return a.unknown(name)
	}
	for _, b := range a.config.Objects {
		if b.Class == name && !a.config.HasClass(name) {
			return fmt.Errorf("class %q is still bound as %q: remove the binding first", name, b.Name)
		}
	}
	a.worker.Deleted = append(a.worker.Deleted, Deleted{name, c.Namespace, tag, a.world.Now.UTC()})
	a.worker.Classes = slices.DeleteFunc(a.worker.Classes, func(c Class) bool { return c.Name == name })
	return nil
}

// declared sees to it that every class of the configuration is known: those that
// no migration introduces, and those of "exports".
func (a *applier) declared() error {
	for _, k := range a.config.Classes {
		if a.worker.find(k.Name) != nil {
			continue
		}
		if introduced := a.introduced(k.Name); introduced != "" {
			return fmt.Errorf("migration %q introduces class %q, and was applied when it did not: add another migration for the class, with a new tag", introduced, k.Name)
		}
		if i := slices.IndexFunc(k.Former, func(name string) bool { return a.worker.find(name) != nil && !a.config.HasClass(name) }); i >= 0 {
			if err := a.rename(k.Former[i], k.Name, ""); err != nil {
				return err
			}
			continue
		}
		if err := a.add(k.Name, k.SQLite, ""); err != nil {
			return err
		}
	}
	for _, name := range a.config.Deleted {
		if a.worker.find(name) != nil {
			if err := a.remove(name, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// introduced is the tag of the migration that makes a class, or gives it its
// name.
func (a *applier) introduced(name string) string {
	for _, m := range a.config.Migrations {
		if slices.Contains(m.New, name) || slices.Contains(m.NewSQLite, name) ||
			slices.ContainsFunc(m.Renamed, func(r project.Renamed) bool { return r.To == name }) ||
			slices.ContainsFunc(m.Transferred, func(t project.Transferred) bool { return t.To == name }) {
			return m.Tag
		}
	}
	return ""
}
