package bundle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is when all tests take place.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// TestBuild runs the scripts of testdata/build. A script is a txtar with the
// files of a project. Its file check.mjs, if there is one, runs in Node beside
// the bundle. Its last file, "want", holds what a person is told, what the entry
// point exports, which files were read, and what check.mjs prints.
func TestBuild(t *testing.T) {
	scripts, _ := filepath.Glob("testdata/build/*.txtar")
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
			node := findNode(t, here)
			got := runBuild(t, archive, node)
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

// findNode finds a Node for the tests, or skips the test.
func findNode(t *testing.T, dir string) string {
	t.Helper()
	n, err := project.FindNode(t.Context(), project.NodeSearch{Named: os.Getenv("DORMOUSE_NODE"), NamedBy: "DORMOUSE_NODE", Dir: dir, Path: os.Getenv("PATH")})
	if err != nil {
		t.Skip(err)
	}
	return n.Path
}

// extract makes a project's folder and returns it, without symbolic links.
func extract(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name == "want" {
			continue
		}
		data := f.Data
		if strings.HasSuffix(f.Name, ".hex") { // bytes that a txtar cannot hold
			f.Name = strings.TrimSuffix(f.Name, ".hex")
			if _, err := fmt.Sscanf(string(f.Data), "%x", &data); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(dir, f.Name), string(data))
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, dir string) *project.Config {
	t.Helper()
	c, err := project.Load(project.Options{Dir: dir, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func runBuild(t *testing.T, archive *txtar.Archive, node string) string {
	t.Helper()
	dir := extract(t, archive)
	t.Chdir(dir)
	var out strings.Builder
	b, err := Build(load(t, dir), Options{NodeEnv: "development"})
	var inputs []string
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("got a %T, want an *Error", err)
		}
		inputs = e.Inputs
		fmt.Fprintf(&out, "%v\n", err)
	} else {
		inputs = b.Inputs
		for _, w := range b.Warnings {
			fmt.Fprintln(&out, w)
		}
		fmt.Fprintf(&out, "exports %v\n", b.Exports)
	}
	for _, path := range inputs {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "input %s\n", name)
	}
	if check, err := os.ReadFile(filepath.Join(dir, "check.mjs")); err == nil && b != nil {
		if err := b.Write(filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "out", "check.mjs"), string(check))
		out.WriteString(runNode(t, node, filepath.Join(dir, "out", "check.mjs")))
	}
	return strings.ReplaceAll(out.String(), dir, "$DIR")
}

func runNode(t *testing.T, node, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, node, "--enable-source-maps", "--no-warnings", script).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%snode: %v\n", out, err)
	}
	return string(out)
}

// TestHashNamesTheContents: the same project has the same hash wherever it
// lies, and a changed one, even in a comment, has another.
func TestHashNamesTheContents(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/build/files.txtar")
	if err != nil {
		t.Fatal(err)
	}
	hashOf := func(dir string) string {
		b, err := Build(load(t, dir), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return b.Hash
	}
	one, two := extract(t, archive), extract(t, archive)
	first := hashOf(one)
	for range 3 {
		if got := hashOf(two); got != first {
			t.Fatalf("got %s for the same project elsewhere, want %s", got, first)
		}
	}
	if len(first) != 64 {
		t.Errorf("got a hash of %d letters, want 64", len(first))
	}
	text, err := os.ReadFile(filepath.Join(two, "src/index.ts"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(two, "src/index.ts"), string(text)+"// changed\n")
	if got := hashOf(two); got == first {
		t.Error("the hash is the same after a change of a comment, and stacks would show the old lines")
	}
}

func TestSplitRules(t *testing.T) {
	yes, no := true, false
	rule := func(glob string, through *bool) project.Rule {
		return project.Rule{Type: project.RuleText, Globs: []string{glob}, Fallthrough: through}
	}
	for _, c := range []struct {
		own           []project.Rule
		used, removed string
	}{
		{nil, "txt bin wasm", ""},
		{[]project.Rule{rule("a", &yes)}, "a txt bin wasm", ""},
		{[]project.Rule{rule("a", nil)}, "a bin wasm", "txt"},
		{[]project.Rule{rule("a", &no), rule("b", &yes)}, "a bin wasm", "b txt"},
		{[]project.Rule{rule("a", &yes), rule("b", nil)}, "a b bin wasm", "txt"},
	} {
		names := func(rules []project.Rule) string {
			var list []string
			for _, r := range rules {
				list = append(list, strings.TrimPrefix(r.Globs[0], "**/*."))
			}
			return strings.Join(list, " ")
		}
		used, removed := splitRules(c.own)
		if names(used) != c.used || names(removed) != c.removed {
			t.Errorf("%v: got %q and %q, want %q and %q", c.own, names(used), names(removed), c.used, c.removed)
		}
	}
}

func TestGlobFilter(t *testing.T) {
	for glob, want := range map[string]string{
		"**/*.txt":         `^.*/.*\.txt$`,
		"**/*.wasm?module": `^.*/.*\.wasm\?module$`,
		"*.{a,b}[1]":       `^.*\.\{a,b\}\[1\]$`,
		"":                 `^$`,
	} {
		if got := globFilter(glob); got != want {
			t.Errorf("%s: got %s, want %s", glob, got, want)
		}
	}
}

func TestWriteStaysInTheFolder(t *testing.T) {
	b := &Bundle{Files: map[string][]byte{"../out": nil}}
	if err := b.Write(t.TempDir()); err == nil {
		t.Error("a file was written outside the folder")
	}
}
