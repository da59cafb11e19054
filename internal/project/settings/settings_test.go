package settings

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project/source"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestResolve runs the scripts of testdata/resolve. A script is a txtar: its
// comment has lines "flag NAME VALUE", "env NAME=VALUE", "config PATH",
// "classes NAME..." and "all" (show defaults too); its last file, "want", is what
// a person is told and which values are in force.
func TestResolve(t *testing.T) {
	scripts, _ := filepath.Glob("testdata/resolve/*.txtar")
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
			got := runResolve(t, archive)
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

// runResolve resolves with the project in DIR/project, started from DIR.
func runResolve(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "project"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name == "want" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	in := Inputs{Dir: "project", Flags: make(map[string]string)}
	all := false
	for line := range strings.Lines(string(archive.Comment)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		switch words[0] {
		case "flag":
			in.Flags[words[1]] = strings.Join(words[2:], " ")
		case "env":
			in.Environ = append(in.Environ, words[1])
		case "config":
			in.File = words[1]
		case "classes":
			in.Classes = append([]string{}, words[1:]...)
		case "all":
			all = true
		default:
			t.Fatalf("unknown word %q in the script", words[0])
		}
	}
	var b strings.Builder
	r, err := Resolve(in)
	if err != nil {
		if _, ok := errors.AsType[*source.Problem](err); !ok {
			t.Errorf("the error %T is no Problem", err)
		}
		fmt.Fprintf(&b, "%v\n", err)
	} else {
		for _, w := range r.Warnings {
			fmt.Fprintf(&b, "warning: %v\n", w)
		}
		for _, v := range r.Values {
			if all || v.Source != "default" {
				fmt.Fprintf(&b, "%s = %s (%s)\n", v.Name, v.Text, v.Source)
			}
		}
	}
	return strings.ReplaceAll(b.String(), dir, "$DIR")
}

func TestTableAgreesWithItself(t *testing.T) {
	names := make(map[string]string)
	var s Settings
	var c Class
	fields := make(map[any]string)
	for _, row := range table {
		for _, name := range []string{row.Name, "--" + row.Flag(), row.Env()} {
			if other, taken := names[name]; taken {
				t.Errorf("%s: %s is taken by %s", row.Name, name, other)
			}
			names[name] = row.Name
		}
		if other, taken := fields[row.field(&s)]; taken {
			t.Errorf("%s and %s have the same field", row.Name, other)
		}
		fields[row.field(&s)] = row.Name
		value, err := row.parseDefault("/project")
		if err != nil {
			t.Errorf("%s: its default: %v", row.Name, err)
			continue
		}
		assign(row.field(&s), value)
		if row.PerClass() {
			assign(row.class(&c), value)
		}
		if row.Default != "" && row.Type != Path && row.write(value) != row.Default {
			t.Errorf("%s: the default %s would be written %s", row.Name, row.Default, row.write(value))
		}
		if row.Doc == "" || !strings.HasSuffix(row.Doc, ".") {
			t.Errorf("%s: its doc is no sentence", row.Name)
		}
		if (row.Type == Choice) != (len(row.Choices) > 0) {
			t.Errorf("%s: choices and type do not agree", row.Name)
		}
		if (row.Min > 0 || row.Max > 0) && (row.Type != Int && row.Type != Bytes && row.Type != Duration) {
			t.Errorf("%s: bounds of what is no number", row.Name)
		}
	}
	if !reflect.DeepEqual(c.Sockets, s.Sockets) {
		t.Errorf("a class's fields %+v are not those of all %+v", c.Sockets, s.Sockets)
	}
}

// TestEveryFieldHasASetting finds a field of Settings that no row fills.
func TestEveryFieldHasASetting(t *testing.T) {
	var s Settings
	pointers := make(map[uintptr]bool)
	for _, row := range table {
		pointers[reflect.ValueOf(row.field(&s)).Pointer()] = true
	}
	var walk func(name string, v reflect.Value)
	walk = func(name string, v reflect.Value) {
		for i := range v.NumField() {
			f, at := v.Field(i), name+v.Type().Field(i).Name
			switch {
			case f.Kind() == reflect.Struct:
				walk(at+".", f)
			case at != "Classes" && !pointers[f.Addr().Pointer()]:
				t.Errorf("no setting fills %s", at)
			}
		}
	}
	walk("", reflect.ValueOf(&s).Elem())
}

func TestClassesAreWhole(t *testing.T) {
	dir := t.TempDir()
	text := `{ "sockets": { "on_update": "close" }, "classes": { "Room": { "sockets": { "on_reset": "keep" } } } }`
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Resolve(Inputs{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Settings.SocketsOf("Room"), (Sockets{ResetKeep, UpdateClose}); got != want {
		t.Errorf("Room: got %v, want %v", got, want)
	}
	if got, want := r.Settings.SocketsOf("Lobby"), (Sockets{ResetDrop, UpdateClose}); got != want {
		t.Errorf("Lobby: got %v, want %v", got, want)
	}
	if want := []string{filepath.Join(dir, FileName)}; !slices.Equal(r.Files, want) {
		t.Errorf("files: got %v, want %v", r.Files, want)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "16MiB": 16 << 20, "16 MiB": 16 << 20, "1.5KiB": 1536, "2MB": 2e6, "3kB": 3000, "1GiB": 1 << 30, "7B": 7,
		"": -1, "x": -1, "-1": -1, "1.2": -1, "inf": -1, "NaN": -1, "9e99": -1, "MiB": -1, "9999999999GiB": -1,
	} {
		got, err := parseBytes(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestWriteDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 10 * time.Second: "10s", 15 * time.Minute: "15m", 24 * time.Hour: "24h", 90 * time.Minute: "1h30m",
		90 * time.Second: "1m30s", 1500 * time.Millisecond: "1.5s", time.Hour + time.Second: "1h0m1s",
	} {
		if got := writeDuration(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestReference(t *testing.T) {
	var b strings.Builder
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	const path = "../../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

// FuzzResolve asks whether any file makes Resolve panic, or gives a value that
// is not written back as it was read.
func FuzzResolve(f *testing.F) {
	scripts, _ := filepath.Glob("testdata/resolve/*.txtar")
	for _, script := range scripts {
		archive, err := txtar.ParseFile(script)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Resolve(Inputs{Dir: dir})
		if err != nil {
			return
		}
		for _, v := range r.Values {
			s := find(v.Name)
			if s == nil || v.Text == "" {
				continue // of a single class, or not set
			}
			value, err := s.parse(v.Text, dir)
			if err != nil || s.write(value) != v.Text {
				t.Errorf("%s: %q is read back as %v, %v", v.Name, v.Text, value, err)
			}
		}
	})
}
