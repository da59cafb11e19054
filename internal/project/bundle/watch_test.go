package bundle

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project"
)

// watched starts a watcher that ends with the test.
func watched(t *testing.T, files, trees []string) *Watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w, err := Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-w.Done()
	})
	if err := w.Set(files, trees, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return w
}

// wait waits for the burst that has path, and returns every path told until then.
func wait(t *testing.T, w *Watcher, path string) []string {
	t.Helper()
	limit := time.After(30 * time.Second)
	var all []string
	for {
		select {
		case paths := <-w.Changes():
			all = append(all, paths...)
			if slices.Contains(paths, path) {
				return all
			}
		case <-limit:
			t.Fatalf("%s was not told; got %v", path, all)
		}
	}
}

func TestWatchSeesEveryKindOfSave(t *testing.T) {
	dir := t.TempDir()
	index, config := filepath.Join(dir, "src", "index.ts"), filepath.Join(dir, "wrangler.jsonc")
	write(t, index, "1")
	write(t, config, "{}")
	w := watched(t, []string{index, config}, nil)

	write(t, index, "2")
	wait(t, w, index)

	write(t, index+".new", "3") // as editors do
	if err := os.Rename(index+".new", index); err != nil {
		t.Fatal(err)
	}
	wait(t, w, index)
	write(t, index, "4") // still watched, though the file is another
	wait(t, w, index)

	write(t, config, `{"name": "x"}`)
	wait(t, w, config)

	os.Remove(index)
	wait(t, w, index)
	write(t, index, "5")
	wait(t, w, index)
}

func TestWatchSeesWhatAnImportLookedFor(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "index.ts")
	missing := filepath.Join(dir, "lib", "deep", "missing.ts")
	write(t, index, "")
	w := watched(t, []string{index, missing}, nil)
	write(t, missing, "")
	wait(t, w, filepath.Join(dir, "lib"))
	if err := w.Set([]string{index, missing}, nil, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	write(t, missing, "2")
	wait(t, w, missing)
}

func TestWatchSurvivesALostFolder(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "src", "index.ts")
	write(t, index, "")
	w := watched(t, []string{index}, nil)
	if err := os.Rename(filepath.Join(dir, "src"), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	wait(t, w, filepath.Join(dir, "src"))
	write(t, index, "back")
	wait(t, w, filepath.Join(dir, "src"))
}

func TestWatchGrowsWithATree(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	write(t, filepath.Join(src, "a.css"), "")
	w := watched(t, nil, []string{src})
	write(t, filepath.Join(src, "new", "b.css"), "")
	wait(t, w, filepath.Join(src, "new"))
	write(t, filepath.Join(src, "new", "b.css"), "2")
	wait(t, w, filepath.Join(src, "new", "b.css"))
}

func TestWatchLeavesToolsAlone(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "index.ts")
	write(t, index, "")
	module := filepath.Join(dir, "node_modules", "pkg", "index.js")
	write(t, module, "")
	w := watched(t, []string{index, module}, nil)
	write(t, module, "2")
	write(t, filepath.Join(dir, ".dormouse", "x"), "")
	write(t, filepath.Join(dir, ".index.ts.swp"), "")
	write(t, filepath.Join(dir, "index.ts~"), "")
	if err := os.Chmod(index, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, index, "2")
	if got := wait(t, w, index); !slices.Equal(got, []string{index}) {
		t.Errorf("got %v, want only %s", got, index)
	}
}

func TestSetTellsWhatWasMissed(t *testing.T) {
	dir := t.TempDir()
	old, changed := filepath.Join(dir, "old.ts"), filepath.Join(dir, "changed.ts")
	write(t, old, "")
	write(t, changed, "")
	build := time.Now()
	if err := os.Chtimes(old, build.Add(-time.Minute), build.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(changed, build.Add(time.Second), build.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	w := watched(t, nil, nil)
	if err := w.Set([]string{old, changed}, nil, build); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, w, changed); !slices.Equal(got, []string{changed}) {
		t.Errorf("got %v, want only %s", got, changed)
	}
}

// A reader that is slow gets all that happened, in one burst.
func TestChangesAreJoined(t *testing.T) {
	w := &Watcher{changes: make(chan []string, 1)}
	w.tell([]string{"b"})
	w.tell([]string{"a", "b"})
	w.tell([]string{"c"})
	if got := <-w.Changes(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %v, want [a b c]", got)
	}
}

func TestWatchedKnowsBuildCommands(t *testing.T) {
	c := &project.Config{Files: []string{"/p/wrangler.toml"}}
	if files, trees := Watched(c, []string{"/p/a.ts"}); len(files) != 2 || len(trees) != 0 {
		t.Errorf("got %v and %v, want both files", files, trees)
	}
	c.Build = project.Build{Command: "make", Watch: []string{"/p/src"}}
	files, trees := Watched(c, []string{"/p/dist/index.js"})
	if !slices.Equal(files, c.Files) || !slices.Equal(trees, c.Build.Watch) {
		t.Errorf("got %v and %v, want what the command reads", files, trees)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-w.Done()
	if _, open := <-w.Changes(); open {
		t.Error("the channel is open though the watcher has ended")
	}
}
