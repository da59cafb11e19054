package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The library is what a Go program imports, and the programs that are made of
// it alone.
var library = []string{".", "./server", "./dormousetest", "./examples/go-chat", "./examples/go-counter"}

// platforms are the other systems that Dormouse is for, and what is built for
// each. Guests are Node processes on Unix sockets: the command is for Unix.
var platforms = []struct {
	system, machine string
	packages        []string
}{
	{"darwin", "arm64", append([]string{"./cmd/dormouse"}, library...)},
	{"windows", "amd64", library},
}

// Every package compiles for every platform, without cgo. It is checked from
// source, and bodies of functions only in this module: that takes seconds
// where builds take minutes. `make cross` builds.
func TestPlatforms(t *testing.T) {
	for _, p := range platforms {
		t.Run(p.system+"-"+p.machine, func(t *testing.T) {
			t.Parallel()
			typeCheck(t, p.system, p.machine, p.packages)
		})
	}
}

// opaque are the packages of SQLite in Go: ten times the source of everything
// else, and only other people's packages use them.
const opaque = "modernc.org/"

// listed is a package as `go list` knows it.
type listed struct {
	ImportPath, Dir string
	Name            string
	GoFiles         []string
	ImportMap       map[string]string
	Standard        bool
	Module          *struct{ Path string }
	Error           *struct{ Err string }
}

// list asks for packages and everything that they import, imported first.
func list(t *testing.T, system, machine string, packages []string) (found []listed) {
	t.Helper()
	c := exec.Command("go", append([]string{"list", "-e", "-deps", "-json=ImportPath,Dir,Name,GoFiles,ImportMap,Standard,Module,Error"}, packages...)...)
	c.Dir = "../.."
	c.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+machine, "CGO_ENABLED=0")
	var told bytes.Buffer
	c.Stderr = &told
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &told)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		found = append(found, p)
	}
}

func typeCheck(t *testing.T, system, machine string, packages []string) {
	done := map[string]*types.Package{"unsafe": types.Unsafe}
	for _, p := range list(t, system, machine, packages) {
		if p.ImportPath == "unsafe" {
			continue
		}
		if strings.HasPrefix(p.ImportPath, opaque) {
			done[p.ImportPath] = types.NewPackage(p.ImportPath, p.Name)
			done[p.ImportPath].MarkComplete()
			continue
		}
		ours := p.Module != nil && p.Module.Path == module
		files, fset := parse(t, p)
		c := types.Config{
			Importer:         imported{done, p.ImportMap},
			Sizes:            types.SizesFor("gc", machine),
			IgnoreFuncBodies: !ours,
			FakeImportC:      true,
			Error: func(err error) {
				if ours && !strings.Contains(err.Error(), "duplicate key unknown") { // constants of what is opaque
					t.Error(err)
				}
			},
		}
		done[p.ImportPath], _ = c.Check(p.ImportPath, fset, files, nil)
	}
}

func parse(t *testing.T, p listed) (files []*ast.File, fset *token.FileSet) {
	fset = token.NewFileSet()
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files, fset
}

// imported are the packages that were checked before.
type imported struct {
	done  map[string]*types.Package
	names map[string]string
}

// Import implements types.Importer.
func (i imported) Import(path string) (*types.Package, error) {
	if real, ok := i.names[path]; ok {
		path = real
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s is not there", path)
}

// What a program of Go objects is made of: no bundler, no Node, no command line.
func TestTheLibraryIsSmall(t *testing.T) {
	unwanted := []string{
		"github.com/evanw/esbuild", module + "/internal/guest/nodeguest", module + "/internal/guest/guestwire",
		module + "/internal/project", module + "/internal/deploy", module + "/sdk", "github.com/spf13/",
		"github.com/fsnotify/", "github.com/pelletier/", "github.com/tailscale/",
	}
	for _, p := range list(t, runtime.GOOS, runtime.GOARCH, []string{"./examples/go-chat"}) {
		for _, u := range unwanted {
			if strings.HasPrefix(p.ImportPath, u) {
				t.Errorf("examples/go-chat imports %s", p.ImportPath)
			}
		}
	}
}
