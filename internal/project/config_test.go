package project

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project/source"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when all tests take place.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// TestLoad runs the scripts of testdata/load. A script is a txtar: its comment
// has lines "dir", "env", "secrets", "environ", "allow" and "exports"; its files
// are the project; its last file, "want", is what a person is told and, when
// the project loads, what the Config holds.
func TestLoad(t *testing.T) {
	scripts, _ := filepath.Glob("testdata/load/*.txtar")
	if len(scripts) == 0 {
		t.Fatal("no testdata")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			path := filepath.Join(here, script)
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := runLoad(t, archive)
			i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
			if *update {
				if i < 0 {
					i = len(archive.Files)
					archive.Files = append(archive.Files, txtar.File{Name: "want"})
				}
				archive.Files[i].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if i < 0 {
				t.Fatal("no file want in the script")
			}
			if want := string(archive.Files[i].Data); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func runLoad(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for _, f := range archive.Files {
		if f.Name == "want" {
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	o := Options{Dir: ".", Now: now}
	var exports []string
	environ := make(map[string]string)
	for line := range strings.Lines(string(archive.Comment)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		switch words[0] {
		case "dir":
			o.Dir = words[1]
		case "env":
			o.Env = words[1]
		case "secrets":
			o.SecretFiles = words[1:]
		case "environ":
			environ[words[1]] = words[2]
			o.LookupEnv = func(name string) (string, bool) { v, ok := environ[name]; return v, ok }
		case "allow":
			o.AllowMissing = true
		case "exports":
			exports = append([]string{}, words[1:]...)
		default:
			t.Fatalf("unknown word %q in the script", words[0])
		}
	}
	var b strings.Builder
	config, err := Load(o)
	if err == nil && exports != nil {
		err = config.CheckExports(exports)
	}
	if config != nil {
		for _, w := range config.Warnings {
			fmt.Fprintf(&b, "warning: %v\n", w)
		}
	}
	if err != nil {
		_, single := errors.AsType[*source.Problem](err)
		if !single {
			t.Errorf("the error %T is no Problem", err)
		}
		fmt.Fprintf(&b, "%v\n", err)
	} else {
		dumpConfig(&b, config)
	}
	return strings.ReplaceAll(b.String(), dir, "$DIR")
}

// dumpConfig writes what is set, a line each.
func dumpConfig(b *strings.Builder, c *Config) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	line("name %s", c.Name)
	line("main %s", c.Main)
	line("date %s", c.Compat.Date)
	for _, o := range c.Objects {
		line("object %s = %s in %s", o.Name, o.Class, c.Namespace(o.Class))
	}
	for _, o := range c.FarObjects {
		line("object %s = %s of %s", o.Name, o.Class, o.Worker)
	}
	for _, class := range c.Classes {
		line("class %s sqlite=%v former=%v", class.Name, class.SQLite, class.Former)
	}
	for _, m := range c.Migrations {
		line("migration %+v", m)
	}
	for _, v := range c.Vars {
		line("var %s = %s secret=%v", v.Name, v.Value, v.Secret)
	}
	for _, m := range c.Missing {
		line("missing %+v", m)
	}
	parts := []struct {
		name  string
		value any
		empty any
	}{
		{"assets", c.Assets, (*Assets)(nil)},
		{"kv", c.KV, []KVNamespace(nil)},
		{"r2", c.R2, []R2Bucket(nil)},
		{"services", c.Services, []Service(nil)},
		{"bundle", c.Bundle, Bundling{Define: map[string]string{}, Alias: map[string]string{}, KeepNames: true}},
		{"build", c.Build, Build{}},
		{"limits", c.Limits, Limits{}},
	}
	for _, p := range parts {
		got, _ := json.Marshal(p.value)
		empty, _ := json.Marshal(p.empty)
		if string(got) != string(empty) {
			line("%s %s", p.name, got)
		}
	}
	line("files %v", c.Files)
}

func TestKeysAgreeWithThemselves(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range keys {
		if seen[k.name] {
			t.Errorf("%s stands twice", k.name)
		}
		seen[k.name] = true
		if (k.standing == refused || k.standing == idle) == (k.what == "") {
			t.Errorf("%s: what goes with refused and idle", k.name)
		}
	}
}

// TestParseDotenv holds the format against what the npm package dotenv reads.
func TestParseDotenv(t *testing.T) {
	text := "# comment\nA=1\nexport B = two words  # comment\nC='single # not comment'\nD=\"line\\nbreak\"\n" +
		"E=`back'\"tick`\nF=\nG: colon\nH=\"many\nlines\"\nno equals\nI=a#b\n  J=x\nK.k-1=y\r\nL='open\n=3\nM=\"a\" trailing\n"
	values, odd := parseDotenv(text)
	want := map[string]string{
		"A": "1", "B": "two words", "C": "single # not comment", "D": "line\nbreak", "E": "back'\"tick",
		"F": "", "G": "colon", "H": "many\nlines", "I": "a", "J": "x", "K.k-1": "y", "L": "'open", "M": "\"a\" trailing",
	}
	for name, v := range want {
		if got, ok := values[name]; !ok || got != v {
			t.Errorf("%s: got %q, want %q", name, got, v)
		}
	}
	if len(values) != len(want) {
		t.Errorf("got %d values, want %d: %q", len(values), len(want), values)
	}
	if !slices.Equal(odd, []int{11, 16}) {
		t.Errorf("odd lines: got %v, want [11 16]", odd)
	}
}

// FuzzLoad asks whether any wrangler file makes the loader panic, with an
// environment and without, strict and not.
func FuzzLoad(f *testing.F) {
	scripts, _ := filepath.Glob("testdata/load/*.txtar")
	for _, script := range scripts {
		archive, err := txtar.ParseFile(script)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasPrefix(file.Name, "wrangler.") {
				f.Add(filepath.Ext(file.Name) == ".toml", file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, isTOML bool, text []byte) {
		name := "wrangler.jsonc"
		if isTOML {
			name = "wrangler.toml"
		}
		file, err := source.Parse(name, text)
		if err != nil {
			return
		}
		for _, o := range []Options{{Now: now}, {Now: now, Env: "staging", AllowMissing: true}} {
			if c, err := load(file, filepath.Join("testdata", "nowhere", name), nil, o); err == nil {
				_ = c.CheckExports([]string{"default"})
			} else if err.Error() == "" {
				t.Error("an error without a text")
			}
		}
	})
}
