package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program writes a shell script that answers --version.
func program(t *testing.T, path, version string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --version ] && echo %s\n", version)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindNodeOrder(t *testing.T) {
	if nodePackage() == "" {
		t.Skip("no package carries Node for this system")
	}
	dir := t.TempDir()
	project := filepath.Join(dir, "mono", "app")
	flag := program(t, filepath.Join(dir, "flag"), "v26.0.0")
	own := program(t, filepath.Join(project, "node_modules", nodePackage(), "bin", "node"), "v26.1.0")
	bin := program(t, filepath.Join(project, "node_modules", ".bin", "node"), "v26.2.0")
	above := program(t, filepath.Join(dir, "mono", "node_modules", nodePackage(), "bin", "node"), "v26.3.0")
	beside := program(t, filepath.Join(dir, "dormouse", "node_modules", ".bin", "node"), "v26.4.0")
	executable := program(t, filepath.Join(dir, "dormouse", "bin", "dormouse"), "")
	inPath := program(t, filepath.Join(dir, "bin", "node"), "v28.0.0-nightly1")
	full := NodeSearch{Named: flag, NamedBy: "--node", Dir: project, Executable: executable, Path: "bin::" + filepath.Join(dir, "bin")}
	for _, step := range []struct {
		want, version string
		next          func()
	}{
		{flag, "26.0.0", func() { full.Named = "" }},
		{own, "26.1.0", func() { program(t, own, "v20.0.0") }},
		{bin, "26.2.0", func() { os.Remove(bin) }},
		{above, "26.3.0", func() { os.Remove(above) }},
		{beside, "26.4.0", func() { os.Remove(beside) }},
		{inPath, "28.0.0-nightly1", func() {}},
	} {
		n, err := FindNode(t.Context(), full)
		if err != nil || n.Path != step.want || n.Version != step.version {
			t.Fatalf("got %+v, %v, want %s", n, err, step.want)
		}
		step.next()
	}
}

func TestFindNodeSaysWhereItLooked(t *testing.T) {
	pkg := nodePackage()
	if pkg == "" {
		t.Skip("no package carries Node for this system")
	}
	dir := t.TempDir()
	old := program(t, filepath.Join(dir, "bin", "node"), "v20.19.2")
	os.MkdirAll(filepath.Join(dir, "two"), 0o755)
	os.Symlink(old, filepath.Join(dir, "two", "node"))
	mute := program(t, filepath.Join(dir, "mute", "node"), "hello")
	plain := filepath.Join(dir, "plain", "node")
	os.MkdirAll(filepath.Dir(plain), 0o755)
	os.WriteFile(plain, []byte("x"), 0o644)
	search := NodeSearch{
		Dir: filepath.Join(dir, "my app"), Executable: filepath.Join(dir, "nowhere"),
		Path: strings.Join([]string{filepath.Dir(old), filepath.Join(dir, "two"), filepath.Dir(mute), filepath.Dir(plain), filepath.Join(dir, "empty")}, ":"),
	}
	got := findError(t, search)
	want := `no Node 26 or newer was found; looked at
    $DIR/my app/node_modules/` + pkg + `/bin/node (the project's node_modules): not there
    $DIR/bin/node (PATH): v20.19.2, too old
    $DIR/two/node (PATH): v20.19.2, too old
    $DIR/mute/node (PATH): not Node: --version says something else
    $DIR/plain/node (PATH): not executable
Get one for this project, without touching any other on this machine:
    npm install --prefix '$DIR/my app' --save-dev --save-exact ` + pkg + `@26.10.0
or name one: --node PATH, or DORMOUSE_NODE=PATH.`
	if got = strings.ReplaceAll(got, dir, "$DIR"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestNamedNodeIsMeant(t *testing.T) {
	dir := t.TempDir()
	good := program(t, filepath.Join(dir, "bin", "node"), "v26.10.0")
	for _, s := range []NodeSearch{
		{Named: filepath.Join(dir, "absent"), NamedBy: "--node"},
		{Named: dir, NamedBy: "DORMOUSE_NODE"},
	} {
		s.Dir, s.Path, s.Executable = dir, filepath.Dir(good), dir
		if got := findError(t, s); strings.Contains(got, good) || !strings.Contains(got, "("+s.NamedBy+"): ") {
			t.Errorf("%+v: looked further than the one that was named:\n%s", s, got)
		}
	}
}

func findError(t *testing.T, s NodeSearch) string {
	t.Helper()
	n, err := FindNode(t.Context(), s)
	if err == nil {
		t.Fatalf("%+v: found %+v", s, n)
	}
	if _, ok := errors.AsType[*NodeError](err); !ok {
		t.Errorf("got a %T, want a *NodeError", err)
	}
	return err.Error()
}

func TestFindNodeHearsItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := program(t, filepath.Join(t.TempDir(), "node"), "v26.10.0")
	if _, err := FindNode(ctx, NodeSearch{Named: path}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
