package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/project"
)

// limit bounds every wait for something that should happen at once. It is long
// because the machine may be busy with other tests.
const limit = 20 * time.Second

// need ends a test whose tool is not on this machine. Where everything has to
// be there (CI=true) that is a failure.
func need[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err == nil {
			return v
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true, so this test must run: %v", err)
		}
		t.Skipf("NOT TESTED: %v", err)
		return v
	}
}

// root is the top folder of the repository.
func root(t testing.TB) string {
	t.Helper()
	dir, err := runtimes.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Example is the folder of one of the examples.
func Example(t testing.TB, name string) string {
	return filepath.Join(root(t), "examples", name)
}

// findBrowser returns $CHROMIUM, or a Chromium or Chrome on the path.
func findBrowser() (string, error) {
	if p := os.Getenv("CHROMIUM"); p != "" {
		return exec.LookPath(p)
	}
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("no browser: looked for %v on the path; install chromium or set CHROMIUM", names)
}

// findNode returns the Node that guests run on, which runs the drivers too.
func findNode(ctx context.Context) (string, error) {
	dir, err := runtimes.Root()
	if err != nil {
		return "", err
	}
	node, err := project.FindNode(ctx, project.NodeSearch{Named: os.Getenv("DORMOUSE_NODE"), NamedBy: "DORMOUSE_NODE", Dir: dir, Path: os.Getenv("PATH")})
	return node.Path, err
}

// findTools says whether `make tools` has run.
func findTools() (string, error) {
	dir, err := runtimes.Root()
	if err != nil {
		return "", err
	}
	modules := filepath.Join(dir, "tools", "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "ws")); errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s is not installed: run make tools", modules)
	}
	return modules, nil
}

// Node is the Node that guests run on.
func Node(t testing.TB) string { return need[string](t)(findNode(t.Context())) }

// Chromium is a browser.
func Chromium(t testing.TB) string { return need[string](t)(findBrowser()) }
