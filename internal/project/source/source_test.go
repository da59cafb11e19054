package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dump writes a tree with the place of every key and value.
func dump(b *strings.Builder, n *Node, indent string) {
	switch n.Kind {
	case Table:
		for _, m := range n.Members {
			fmt.Fprintf(b, "%s%s @%d:%d", indent, m.Key, m.Pos.Line, m.Pos.Column)
			dumpValue(b, m.Value, indent)
		}
	case List:
		for i, item := range n.Items {
			fmt.Fprintf(b, "%s#%d", indent, i)
			dumpValue(b, item, indent)
		}
	}
}

func dumpValue(b *strings.Builder, n *Node, indent string) {
	switch n.Kind {
	case Table, List:
		fmt.Fprintf(b, " %s @%d:%d\n", n.Kind, n.Pos.Line, n.Pos.Column)
		dump(b, n, indent+"  ")
	case Bool:
		fmt.Fprintf(b, " = %v @%d:%d\n", n.Bool, n.Pos.Line, n.Pos.Column)
	default:
		fmt.Fprintf(b, " = %s %q @%d:%d\n", n.Kind, n.Text, n.Pos.Line, n.Pos.Column)
	}
}

// TestTreeKnowsPlaces reads each testdata/trees/NAME.json(c) or .toml and
// compares the tree with NAME.*.want.
func TestTreeKnowsPlaces(t *testing.T) {
	inputs, _ := filepath.Glob("testdata/trees/*.*")
	ran := 0
	for _, path := range inputs {
		if filepath.Ext(path) == ".want" {
			continue
		}
		ran++
		t.Run(filepath.Base(path), func(t *testing.T) {
			var b strings.Builder
			f, err := Read(path)
			if err != nil {
				b.WriteString(err.Error() + "\n")
			} else {
				for _, p := range f.Odd {
					b.WriteString(p.Error() + "\n")
				}
				dump(&b, f.Root, "")
			}
			golden(t, path+".want", b.String())
		})
	}
	if ran == 0 {
		t.Fatal("no testdata")
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestCursorComplaints(t *testing.T) {
	text := `{"s": 1, "n": "x", "neg": -1, "b": "yes", "l": [1, "a"], "t": [{}, 2], "mode": "flul", "o": {"nmae": 1}, "m": {"a": 1}, "e": ""}`
	f, err := Parse("a.jsonc", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	c := f.Cursor(&r)
	c.Get("s").Text()
	c.Get("n").Int()
	c.Get("neg").Int()
	c.Get("b").Bool()
	c.Get("l").Strings()
	c.Get("t").Tables()
	c.Get("mode").OneOf("full", "relaxed")
	c.Get("o").Only("name")
	c.Get("m").StringMap()
	c.Get("e").Required()
	c.Get("absent").Required()
	want := `a.jsonc:1:2: "s" must be a string, not a number
a.jsonc:1:10: "n" must be a number, not a string
a.jsonc:1:20: "neg" must be a whole number of at least 0, not -1
a.jsonc:1:31: "b" must be a boolean, not a string
a.jsonc:1:49: "l[0]" must be a string, not a number
a.jsonc:1:68: "t[1]" must be an object, not a number
a.jsonc:1:72: "mode" must be "full" or "relaxed", not "flul"
    Did you mean "full"?
a.jsonc:1:94: "o.nmae" is not known
    Did you mean "name"?
a.jsonc:1:112: "m.a" must be a string, not a number
a.jsonc:1:121: "e" is empty
a.jsonc:1:1: "absent" is missing`
	if got := r.Err().Error(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if p, ok := errors.AsType[*Problem](r.Err()); !ok || p.Key != "s" {
		t.Errorf("the first problem is not found in the error: %v", p)
	}
}

func TestNodeJSON(t *testing.T) {
	f, err := Parse("a.json", []byte(`{"v": {"z": [1, 2.50, true, null], "a": "<\u0001\"é>"}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Root.Lookup("v").Value.JSON()
	if want := `{"z":[1,2.50,true,null],"a":"<\u0001\"é>"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	f, err = Parse("a.toml", []byte("v = [inf]\nd = 2024-01-01"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"v", "d"} {
		if got, err := f.Root.Lookup(key).Value.JSON(); err == nil {
			t.Errorf("%s: got %s, want an error", key, got)
		}
	}
}

func TestParseBounds(t *testing.T) {
	for _, c := range []struct{ name, path, text, want string }{
		{"deep JSON", "a.json", strings.Repeat("[", 5000), "a.json:1:1001: nested more than 1000 deep"},
		{"deep TOML", "a.toml", "a = " + strings.Repeat("[", 5000), "a.toml:1:1005: nested more than 1000 deep"},
		{"long", "a.json", strings.Repeat(" ", maxBytes+1), "a.json: longer than 4 MiB"},
		{"not text", "a.json", "{\n\"a\": \"\xff\"}", "a.json:2:7: this is not UTF-8 text"},
	} {
		if _, err := Parse(c.path, []byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	words := []string{"durable_objects", "migrations", "vars", "main", "name"}
	for name, want := range map[string]string{
		"durable_object": "durable_objects", "migration": "migrations", "var": "vars",
		"mian": "main", "nmae": "name", "kv_namespaces": "", "x": "", "": "",
	} {
		if got := Suggest(name, words); got != want {
			t.Errorf("Suggest(%q): got %q, want %q", name, got, want)
		}
	}
}

func TestManyProblemsAreCut(t *testing.T) {
	var ps Problems
	for range 25 {
		ps = append(ps, &Problem{Message: "wrong"})
	}
	if got := ps.Error(); !strings.HasSuffix(got, "\nand 5 more") || strings.Count(got, "wrong") != 20 {
		t.Errorf("got %q", got)
	}
}

// FuzzParse asks whether any text makes the readers panic, or gives a tree
// whose places are outside the text.
func FuzzParse(f *testing.F) {
	inputs, _ := filepath.Glob("testdata/trees/*.*")
	for _, path := range inputs {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(filepath.Ext(path) == ".toml", text)
		}
	}
	f.Fuzz(func(t *testing.T, isTOML bool, text []byte) {
		path := "a.jsonc"
		if isTOML {
			path = "a.toml"
		}
		file, err := Parse(path, text)
		if err != nil {
			return
		}
		last := strings.Count(string(text), "\n") + 1
		var walk func(n *Node)
		walk = func(n *Node) {
			if n.Pos.Line < 1 || n.Pos.Line > last || n.Pos.Column < 1 {
				t.Fatalf("place %v is outside the text", n.Pos)
			}
			for _, item := range n.Items {
				walk(item)
			}
			for _, m := range n.Members {
				walk(m.Value)
			}
		}
		walk(file.Root)
	})
}
