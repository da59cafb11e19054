// Package layers keeps the walls of the house: layers.txt says who may import
// whom, and which packages are pure.
package layers

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/dormouse-dev/dormouse"

// rule is a line of layers.txt.
type rule struct {
	pure    bool
	imports []string
	used    bool
}

// impure is what a pure package does not import: each brings a clock, a
// goroutine or I/O. Package time is allowed for its types; now tells more.
var impure = []string{"os", "net", "net/http", "io/fs", "os/exec", "sync", "sync/atomic", "syscall", "log", "log/slog", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"}

// now are functions of package time that read a clock or start a timer.
var now = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func TestImportsFollowTheRules(t *testing.T) {
	rules := readRules(t)
	for dir, files := range packages(t, "../..") {
		r := find(rules, dir)
		if r == nil {
			t.Errorf("package %s has no line in layers.txt", dir)
			continue
		}
		r.used = true
		for _, f := range files {
			check(t, dir, r, f)
		}
	}
	for dir, r := range rules {
		if !r.used {
			t.Errorf("layers.txt has a line for %s, where there is no Go code", dir)
		}
	}
}

// find returns the rule of a folder: its own, or that of a folder above it that
// ends in "/...".
func find(rules map[string]*rule, dir string) *rule {
	if r := rules[dir]; r != nil {
		return r
	}
	for up := dir; up != "."; up = path.Dir(up) {
		if r := rules[up+"/..."]; r != nil {
			return r
		}
	}
	return nil
}

func readRules(t *testing.T) map[string]*rule {
	t.Helper()
	f, err := os.Open("layers.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rules := make(map[string]*rule)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		if !ok || rules[name] != nil {
			t.Fatalf("layers.txt: bad or second line %q", line)
		}
		r := new(rule)
		for _, word := range strings.Fields(rest) {
			if word == "pure" {
				r.pure = true
			} else {
				r.imports = append(r.imports, word)
			}
		}
		rules[name] = r
	}
	return rules
}

// file is a parsed file that is no test.
type file struct {
	path string
	*ast.File
}

// packages parses every package below root.
func packages(t *testing.T, root string) map[string][]file {
	t.Helper()
	found := make(map[string][]file)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != root && (name[0] == '.' || name == "node_modules" || name == "testdata" || name == "examples" || name == "bin" || name == "dist") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, filepath.Dir(p))
		found[rel] = append(found[rel], file{p, f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func check(t *testing.T, dir string, r *rule, f file) {
	t.Helper()
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if r.pure && slices.Contains(impure, p) && !allowed(dir, p) {
			t.Errorf("%s: %s is pure and imports %s", f.path, dir, p)
		}
		if p != module && !strings.HasPrefix(p, module+"/") {
			continue
		}
		rel := "."
		if p != module {
			rel = strings.TrimPrefix(p, module+"/")
		}
		if !slices.Contains(r.imports, rel) && !slices.Contains(r.imports, "*") {
			t.Errorf("%s: %s may not import %s; see layers.txt", f.path, dir, rel)
		}
	}
	if r.pure {
		checkPure(t, f)
	}
}

// allowed are the exceptions, each with its reason.
func allowed(dir, imported string) bool {
	switch dir + " " + imported {
	case "internal/ws net": // the net.Conn of the contract
		return true
	case "internal/ws net/http": // the header of a handshake
		return true
	case ". net/http", "internal/author net/http": // the requests of objects
		return true
	case "internal/ws sync": // pools of what a message needs while it is there
		return true
	}
	return false
}

// checkPure looks for goroutines and clocks.
func checkPure(t *testing.T, f file) {
	t.Helper()
	ast.Inspect(f.File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s starts a goroutine in a pure package", f.path)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(now, n.Sel.Name) {
				t.Errorf("%s uses time.%s in a pure package", f.path, n.Sel.Name)
			}
		}
		return true
	})
}

// TestEachPackageHasOneComment: it says what the package knows, and what it
// never sees.
func TestEachPackageHasOneComment(t *testing.T) {
	for dir, files := range packages(t, "../..") {
		n := 0
		for _, f := range files {
			if f.Doc != nil {
				n++
			}
		}
		if n != 1 {
			t.Errorf("package %s has %d package comments, want 1", dir, n)
		}
	}
}
