package classes

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/project"
)

// step is one start of a Worker: what its wrangler file says, and what follows.
type step struct {
	worker  string // "chat" if empty
	bind    string // names of classes, with spaces between
	config  string // "migrations" or "exports", as JSON
	stored  string // namespaces that have objects
	want    string // class=namespace of the Worker's classes, then "-" and those set aside
	applied string // tags
	err     string // a part of it
	warns   string
}

func TestMigrations(t *testing.T) {
	const v1 = `{"tag": "v1", "new_sqlite_classes": ["A"]}`
	m := func(list ...string) string { return `"migrations": [` + strings.Join(list, ", ") + `]` }
	for name, steps := range map[string][]step{
		"once": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "A", config: m(v1), want: "A=chat-A"},
		},
		"renamed, with its data": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "B", config: m(v1, `{"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}`), want: "B=chat-A", applied: "v2"},
			{bind: "A B", config: m(v1, `{"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}`, `{"tag": "v3", "new_sqlite_classes": ["A"]}`), want: "B=chat-A A=chat-A-2", applied: "v3"},
		},
		"renamed before the first start": {
			{bind: "B", config: m(v1, `{"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}`), want: "B=chat-B", applied: "v1 v2"},
		},
		"renamed before the first start, with data under the new name": {
			{bind: "B", stored: "chat-B", config: m(v1, `{"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}`), want: "B=chat-B", applied: "v1 v2"},
		},
		"renamed before the first start, with data under the old name": {
			{bind: "B", stored: "chat-A", config: m(v1, `{"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]}`), want: "B=chat-A", applied: "v1 v2"},
		},
		"deleted, and made anew": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{config: m(v1, `{"tag": "v2", "deleted_classes": ["A"]}`), want: "- A=chat-A", applied: "v2"},
			{bind: "A", config: m(v1, `{"tag": "v2", "deleted_classes": ["A"]}`, `{"tag": "v3", "new_sqlite_classes": ["A"]}`), want: "A=chat-A-2 - A=chat-A", applied: "v3"},
		},
		"deleted and still bound": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "A", config: m(v1, `{"tag": "v2", "deleted_classes": ["A"]}`), err: `class "A" is bound, but gone since`},
		},
		"deleted and not known": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "A", config: m(v1, `{"tag": "v2", "deleted_classes": ["X"]}`), err: `migration "v2" cannot be applied: the data folder knows no class "X" of the Worker "chat"; there are "A"`},
		},
		"deleted twice": {
			{bind: "A", config: m(v1, `{"tag": "v2", "new_sqlite_classes": ["B"]}`), want: "A=chat-A B=chat-B", applied: "v1 v2"},
			{bind: "A", config: m(v1, `{"tag": "v2", "new_sqlite_classes": ["B"]}`, `{"tag": "v3", "deleted_classes": ["B"]}`), want: "A=chat-A - B=chat-B", applied: "v3"},
			{bind: "A", config: m(v1, `{"tag": "v4", "deleted_classes": ["B"]}`), err: `class "B" was deleted by migration "v3"`},
		},
		"renamed and not known": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "A B", config: m(v1, `{"tag": "v2", "renamed_classes": [{"from": "X", "to": "B"}]}`), err: `knows no class "X"`},
		},
		"cut off at the beginning": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "A B", config: m(`{"tag": "v2", "new_sqlite_classes": ["B"]}`), want: "A=chat-A B=chat-B", applied: "v2"},
			{bind: "A B", config: m(`{"tag": "v3"}`), want: "A=chat-A B=chat-B", applied: "v3"},
		},
		"put in before one that was applied": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "A B", config: m(`{"tag": "v0", "new_sqlite_classes": ["B"]}`, v1), err: `migration "v0" stands before "v1", which was applied already: add new migrations at the end`},
		},
		"changed after it was applied": {
			{bind: "A", config: m(v1), want: "A=chat-A", applied: "v1"},
			{bind: "A B", config: m(`{"tag": "v1", "new_sqlite_classes": ["A", "B"]}`), err: `migration "v1" introduces class "B", and was applied when it did not: add another migration`},
		},
		"another kind of storage": {
			{bind: "A", config: m(`{"tag": "v1", "new_classes": ["A"]}`), want: "A=chat-A", applied: "v1"},
			{bind: "A", config: m(v1), err: `class "A" was made with the older key-value storage ("new_classes"), and SQLite storage`},
		},
		"transferred, with its data": {
			{bind: "A", config: m(`{"tag": "v1", "new_classes": ["A"]}`), want: "A=chat-A", applied: "v1"},
			{worker: "other", bind: "B", config: m(`{"tag": "v1", "transferred_classes": [{"from": "A", "from_script": "chat", "to": "B"}]}`), want: "B=chat-A", applied: "v1"},
			{worker: "other", bind: "B", config: m(`{"tag": "v1", "transferred_classes": [{"from": "A", "from_script": "chat", "to": "B"}]}`), want: "B=chat-A"},
			{bind: "A", config: m(`{"tag": "v1", "new_classes": ["A"]}`), err: `migration "v1" introduces class "A"`},
			{config: m(`{"tag": "v1", "new_classes": ["A"]}`, `{"tag": "v2", "deleted_classes": ["A"]}`), err: `knows no class "A"`},
		},
		"transferred from elsewhere": {
			{bind: "B", config: m(`{"tag": "v1", "transferred_classes": [{"from": "A", "from_script": "gone", "to": "B"}]}`), want: "B=chat-B", applied: "v1", warns: `class "B" begins empty`},
		},
		"bound and never introduced": {
			{bind: "A", want: "A=chat-A"},
			{bind: "A", config: m(v1), err: `class "A" exists already`},
			{bind: "A B", want: "A=chat-A B=chat-B"},
		},
		"exports": {
			{bind: "A", config: `"exports": {"A": {"type": "durable-object", "storage": "sqlite"}}`, want: "A=chat-A"},
			{bind: "B", config: `"exports": {"A": {"type": "durable-object", "state": "renamed", "renamed_to": "B"}, "B": {"type": "durable-object", "storage": "sqlite"}}`, want: "B=chat-A"},
			{config: `"exports": {"B": {"type": "durable-object", "state": "deleted"}}`, want: "- B=chat-A"},
			{config: `"exports": {"B": {"type": "durable-object", "state": "deleted"}}`, want: "- B=chat-A"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			for i, s := range steps {
				if !s.run(t, data) {
					t.Fatalf("at start %d", i+1)
				}
			}
		})
	}
}

func (s step) run(t *testing.T, data string) (fine bool) {
	t.Helper()
	r, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	var o Outcome
	c, err := s.load(t)
	if err == nil {
		o, err = r.Apply(c, World{Now: time.Now(), Stored: func(n dormouse.Namespace) bool {
			return slices.Contains(strings.Fields(s.stored), string(n))
		}})
	}
	if s.err != "" {
		if err == nil || !strings.Contains(err.Error(), s.err) {
			t.Errorf("%v, want %q", err, s.err)
		}
		return !t.Failed()
	}
	if err != nil {
		t.Errorf("%v", err)
		return false
	}
	if err := r.Save(data); err != nil {
		t.Errorf("%v", err)
		return false
	}
	var got []string
	for _, k := range c.Classes {
		got = append(got, fmt.Sprintf("%s=%s", k.Name, k.Namespace))
		if c.Namespace(k.Name) != k.Namespace {
			t.Errorf("the configuration says %s is %s, want %s", k.Name, c.Namespace(k.Name), k.Namespace)
		}
	}
	slices.Sort(got)
	if aside := r.Aside(); len(aside) > 0 {
		got = append(got, "-")
		for _, d := range aside {
			got = append(got, fmt.Sprintf("%s=%s", d.Name, d.Namespace))
		}
	}
	want := strings.Fields(s.want)
	if i := slices.Index(want, "-"); i > 0 {
		slices.Sort(want[:i])
	} else if i < 0 {
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the classes are %q, want %q", got, want)
	}
	if applied := strings.Join(o.Applied, " "); applied != s.applied {
		t.Errorf("applied %q, want %q", applied, s.applied)
	}
	if warns := strings.Join(o.Warnings, "\n"); (s.warns == "") != (warns == "") || !strings.Contains(warns, s.warns) {
		t.Errorf("warned %q, want %q", warns, s.warns)
	}
	return !t.Failed()
}

func (s step) load(t *testing.T) (*project.Config, error) {
	t.Helper()
	if s.worker == "" {
		s.worker = "chat"
	}
	bindings := []map[string]string{}
	for _, class := range strings.Fields(s.bind) {
		bindings = append(bindings, map[string]string{"name": strings.ToUpper(class) + "S", "class_name": class})
	}
	b, err := json.Marshal(bindings)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := fmt.Sprintf(`{"name": %q, "main": "index.js", "compatibility_date": "2026-11-17", "durable_objects": {"bindings": %s}, %s}`, s.worker, b, s.config)
	for name, content := range map[string]string{"wrangler.jsonc": text, "index.js": "export default {}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return project.Load(project.Options{Dir: dir, Now: time.Now()})
}

func TestRecordOfAnotherVersion(t *testing.T) {
	data := t.TempDir()
	path := filepath.Join(data, FileName)
	for content, want := range map[string]string{`{"format": 2}`: "newer", `{"form`: "backup"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
}

func TestSaveNoticesOthers(t *testing.T) {
	data := t.TempDir()
	a, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	a.Workers["a"], b.Workers["b"] = &Worker{}, &Worker{}
	if err := a.Save(data); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(data); err == nil || !strings.Contains(err.Error(), "start again") {
		t.Errorf("wrote over another's: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStored(t *testing.T) {
	databases := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(databases, "chat-Room", "ab"), 0o700), os.Mkdir(filepath.Join(databases, "chat-Empty"), 0o700),
		os.WriteFile(filepath.Join(databases, "chat-File"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	stored := Stored(databases)
	for n, want := range map[dormouse.Namespace]bool{"chat-Room": true, "chat-Empty": false, "chat-None": false, "chat-File": true} {
		if got := stored(n); got != want {
			t.Errorf("%s: got %v, want %v", n, got, want)
		}
	}
}
