package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// history follows the classes through migrations or exports.
type history struct {
	l       *loader
	classes []Class
	said    map[string]source.Cursor // where each class was introduced
	gone    map[string]source.Cursor // where each was deleted or renamed away
}

// classes works out which classes live in this Worker, from "migrations" or,
// in their place, from "exports".
func (l *loader) classes() {
	h := &history{l: l, said: make(map[string]source.Cursor), gone: make(map[string]source.Cursor)}
	migrations, exports := l.get("migrations"), l.get("exports")
	h.migrations(migrations)
	lives := h.exports(exports)
	if lives && len(l.config.Migrations) > 0 {
		exports.Errorf("Keep one of the two.", "%q and %q both tell the history of the classes", "migrations", "exports")
	}
	h.undeclared(exports.Exists() && len(l.config.Migrations) == 0)
	l.config.Classes = h.classes
}

func (h *history) find(name string) int {
	return slices.IndexFunc(h.classes, func(c Class) bool { return c.Name == name })
}

func (h *history) add(name string, sqlite bool, at source.Cursor) {
	if h.find(name) >= 0 {
		at.Errorf("Name it once. The first: "+h.said[name].Place()+".", "class %q is introduced twice", name)
		return
	}
	h.classes = append(h.classes, Class{Name: name, SQLite: sqlite})
	h.said[name] = at
	delete(h.gone, name)
}

func (h *history) migrations(c source.Cursor) {
	tags := make(map[string]source.Cursor)
	for _, m := range c.Tables() {
		m.Only("tag", "new_classes", "new_sqlite_classes", "renamed_classes", "deleted_classes", "transferred_classes")
		tag, ok := m.Get("tag").Required()
		if first, twice := tags[tag]; ok && twice {
			m.Get("tag").Errorf("Give each migration its own. The first: "+first.Place()+".", "tag %q stands twice", tag)
		}
		tags[tag] = m.Get("tag")
		step := Migration{Tag: tag}
		step.New = h.introduced(m.Get("new_classes"), false)
		step.NewSQLite = h.introduced(m.Get("new_sqlite_classes"), true)
		for _, r := range m.Get("renamed_classes").Tables() {
			r.Only("from", "to")
			from, ok := h.l.class(r.Get("from"))
			to, toOK := h.l.class(r.Get("to"))
			if ok && toOK {
				step.Renamed = append(step.Renamed, Renamed{from, to})
				h.rename(from, to, r)
			}
		}
		for _, t := range m.Get("transferred_classes").Tables() {
			h.transferred(&step, t)
		}
		for _, d := range m.Get("deleted_classes").Items() {
			if name, ok := h.l.class(d); ok {
				step.Deleted = append(step.Deleted, name)
				h.drop(name, d)
			}
		}
		h.l.config.Migrations = append(h.l.config.Migrations, step)
	}
}

func (h *history) introduced(list source.Cursor, sqlite bool) []string {
	var names []string
	for _, item := range list.Items() {
		if name, ok := h.l.class(item); ok {
			names = append(names, name)
			h.add(name, sqlite, item)
		}
	}
	return names
}

func (h *history) transferred(step *Migration, t source.Cursor) {
	t.Only("from", "from_script", "to")
	from, ok := h.l.class(t.Get("from"))
	script, scriptOK := t.Get("from_script").Required()
	to, toOK := h.l.class(t.Get("to"))
	if !ok || !scriptOK || !toOK {
		return
	}
	step.Transferred = append(step.Transferred, Transferred{from, script, to})
	h.add(to, true, t.Get("to"))
}

// rename gives a class another name. One that no migration introduced may come
// from migrations that were cut off the list.
func (h *history) rename(from, to string, at source.Cursor) {
	if h.find(to) >= 0 {
		at.Errorf("Choose another name. It is introduced here: "+h.said[to].Place()+".", "class %q cannot become %q, which exists", from, to)
		return
	}
	i := h.find(from)
	if i < 0 {
		at.Warnf("If migrations before this one were removed, nothing is wrong.", "no migration introduces class %q, which is renamed here", from)
		h.add(from, true, at.Get("from"))
		i = len(h.classes) - 1
	}
	h.classes[i].Former = append([]string{from}, h.classes[i].Former...)
	h.classes[i].Name = to
	h.said[to] = at.Get("to")
	delete(h.gone, to)
	h.gone[from] = at
}

// drop forgets a class. One that nobody introduced was introduced and forgotten
// before the list begins.
func (h *history) drop(name string, at source.Cursor) {
	if i := h.find(name); i >= 0 {
		h.classes = slices.Delete(h.classes, i, i+1)
	}
	h.gone[name] = at
}

// exports reads the declarative form, and reports whether it says anything
// about classes of objects.
func (h *history) exports(c source.Cursor) (lives bool) {
	var renamed []source.Cursor
	for _, e := range c.Members() {
		kind, ok := e.Get("type").OneOf("durable-object", "worker", "workflow")
		switch {
		case !ok && !e.Get("type").Exists():
			e.Get("type").Required()
		case kind == "workflow":
			h.l.refuseKey(key{what: "Workflows"}, e)
		case kind == "durable-object":
			lives = true
			if state, _ := e.Get("state").Text(); state == "renamed" {
				renamed = append(renamed, e)
			} else {
				h.export(e)
			}
		}
	}
	for _, e := range renamed { // after the classes that they became
		h.exportRenamed(e)
	}
	return lives
}

func (h *history) export(e source.Cursor) {
	e.Only("type", "state", "storage", "container", "transferred_to", "transfer_from")
	name := e.Key()
	if !className.MatchString(name) || len(name) > maxName {
		e.Errorf("It is the name under which the entry point exports the class.", "%q cannot be the name of a class", name)
		return
	}
	state, ok := e.Get("state").OneOf("created", "deleted", "renamed", "transferred", "expecting-transfer")
	switch {
	case e.Get("state").Exists() && !ok:
	case state == "deleted", state == "transferred":
		h.gone[name] = e
		if state == "deleted" {
			h.l.config.Deleted = append(h.l.config.Deleted, name)
		}
	default:
		if !e.Get("storage").Exists() {
			e.Get("storage").Required()
			return
		}
		storage, _ := e.Get("storage").OneOf("sqlite", "legacy-kv")
		h.add(name, storage != "legacy-kv", e)
		if from, ok := e.Get("transfer_from").Text(); ok {
			e.Warnf("", "class %q begins empty: Dormouse does not fetch the objects of %q", name, from)
		}
		if c := e.Get("container"); c.Exists() {
			h.l.refuseKey(key{what: "containers"}, c)
		}
	}
}

func (h *history) exportRenamed(e source.Cursor) {
	e.Only("type", "state", "renamed_to")
	to, ok := h.l.class(e.Get("renamed_to"))
	if !ok {
		return
	}
	i := h.find(to)
	if i < 0 {
		e.Get("renamed_to").Errorf(fmt.Sprintf("Add %q to \"exports\" too.", to), "class %q is renamed to %q, which is not there", e.Key(), to)
		return
	}
	h.classes[i].Former = append(h.classes[i].Former, e.Key())
	h.gone[e.Key()] = e
}

// undeclared adds the classes that are bound but never introduced, and
// complains about bound ones that are gone.
func (h *history) undeclared(exports bool) {
	var missing []string
	var first source.Cursor
	for _, b := range h.l.config.Objects {
		if h.find(b.Class) >= 0 {
			continue
		}
		at := h.l.config.boundAt[b.Class]
		if gone, ok := h.gone[b.Class]; ok {
			at.Errorf("Remove the binding, or bind the class that took its place.", "class %q is bound, but gone since %s", b.Class, gone.Place())
			continue
		}
		if len(missing) == 0 {
			first = at
		}
		missing = append(missing, b.Class)
		h.classes = append(h.classes, Class{Name: b.Class, SQLite: true})
	}
	if len(missing) == 0 {
		return
	}
	list := `"` + strings.Join(missing, `", "`) + `"`
	hint := fmt.Sprintf("Add \"migrations\": [{ \"tag\": \"v%d\", \"new_sqlite_classes\": [%s] }].", len(h.l.config.Migrations)+1, list)
	if exports {
		hint = fmt.Sprintf("Add \"exports\": { %q: { \"type\": \"durable-object\", \"storage\": \"sqlite\" } }.", missing[0])
	}
	if len(h.l.config.Migrations) > 0 {
		hint = fmt.Sprintf("Add another migration: { \"tag\": \"v%d\", \"new_sqlite_classes\": [%s] }.", len(h.l.config.Migrations)+1, list)
	}
	first.Warnf(hint, "no migration introduces %s; SQLite storage is assumed", list)
}

// CheckExports compares the classes that are bound with the names that the
// entry point exports.
func (c *Config) CheckExports(exports []string) error {
	if len(exports) == 0 {
		return c.mainAt.Problem(fmt.Sprintf("the entry point %s exports nothing", source.Display(c.Main)),
			"A Worker is a module with a default export: export default { async fetch(request, env, ctx) { … } }.")
	}
	var problems source.Problems
	for _, b := range c.Objects {
		at, once := c.boundAt[b.Class]
		if slices.Contains(exports, b.Class) || !once {
			continue
		}
		hint := fmt.Sprintf("Export it there: export class %s extends DurableObject { … }.\nIt exports: %s.", b.Class, strings.Join(exports, ", "))
		if near := source.DidYouMean(b.Class, exports); near != "" {
			hint = near
		}
		p := at.Problem(fmt.Sprintf("class %q is bound, but %s does not export it", b.Class, source.Display(c.Main)), hint)
		if !slices.ContainsFunc(problems, func(q *source.Problem) bool { return q.Message == p.Message }) {
			problems = append(problems, p)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}
