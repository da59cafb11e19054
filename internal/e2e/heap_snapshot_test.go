package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/guest/nodeguest"
)

// TestHeapSnapshotOfAGuestThatTakesTooMuch: whoever notices first that the memory
// is full, of whatever it is full, somebody can look at what filled it. The
// object's socket stays, and no more than so many snapshots do.
func TestHeapSnapshotOfAGuestThatTakesTooMuch(t *testing.T) {
	if free := nodeguest.FreeMemory(); free > 0 && free < 2<<30 {
		t.Skipf("NOT TESTED: %d MiB of memory are free, and none is written without room", free>>20)
	}
	folder := filepath.Join(t.TempDir(), "snapshots")
	d := startRunaway(t, "--guest-memory", "96MiB", "--spare-guest", "off", "--heap-snapshots", folder, "--heap-snapshots-kept", "2", "--limits-guest-stall", "1m")
	var kept []string
	for _, test := range []struct {
		name  string
		class string // of what fills it; empty: not looked for
		eat   func(p *peer, born string)
	}{
		// Between messages: the process is well, but for what it holds on to.
		{"Leak", "Leaked", func(p *peer, born string) {
			for p.write("leak") == nil {
				text, err := p.read()
				if err != nil || !strings.Contains(text, born) {
					return // by the next instance, or not at all if it was in the middle
				}
			}
		}},
		// Within one turn, that does not end: of strings, V8's heap may be full first.
		{"Strings", "", func(p *peer, _ string) { p.say("eat strings") }},
		{"Buffers", "", func(p *peer, _ string) { p.say("eat buffers") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "Strings" && os.Getenv("DORMOUSE_SOAK") == "" {
				t.Skip("half a minute: DORMOUSE_SOAK=1 runs it")
			}
			bad := dial(t, d, t.Name())
			go test.eat(bad, bad.ask("before").Born)
			var files []string
			ctx, cancel := context.WithTimeout(t.Context(), 4*limit) // a slow machine writes for long
			defer cancel()
			err := Until(ctx, "a heap snapshot", func() (bool, error) {
				files, _ = filepath.Glob(filepath.Join(folder, "guest-*.heapsnapshot"))
				return len(files) > 0 && (len(kept) == 0 || files[len(files)-1] != kept[len(kept)-1]), nil
			})
			if err != nil {
				t.Fatalf("%v; the log:\n%s", err, d.server.Log())
			}
			if want := min(len(kept)+1, 2); len(files) != want {
				t.Errorf("%d are kept, want %d: %q", len(files), want, files)
			}
			kept = files
			path := files[len(files)-1]
			checkSnapshot(t, path, test.class)
			err = Until(ctx, "the log names it", func() (bool, error) {
				return strings.Contains(d.server.Log(), "heap snapshot: "+path), nil
			})
			if err != nil {
				t.Errorf("%v; the log:\n%s", err, d.server.Log())
			}
			err = Until(ctx, "the next guest serves", func() (bool, error) {
				resp, err := http.Get(d.URL + "/other/hello")
				if err != nil {
					return false, err
				}
				return resp.StatusCode == http.StatusOK, resp.Body.Close()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "Heap.*")); len(left) > 0 {
		t.Errorf("drafts are left: %q", left)
	}
}

// checkSnapshot looks at a snapshot as DevTools does: it is JSON with the nodes
// that it says it has. class is the name of one that it must have instances of.
func checkSnapshot(t *testing.T, path, class string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read it: %v", info.Mode())
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Snapshot struct {
			NodeCount int `json:"node_count"`
			Meta      struct {
				NodeFields []string `json:"node_fields"`
			} `json:"meta"`
		} `json:"snapshot"`
		Nodes   json.RawMessage `json:"nodes"`
		Strings []string        `json:"strings"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("%s is no snapshot: %v", path, err)
	}
	if got, want := bytes.Count(s.Nodes, []byte(","))+1, s.Snapshot.NodeCount*len(s.Snapshot.Meta.NodeFields); got != want || want == 0 {
		t.Errorf("%d numbers of nodes, want %d", got, want)
	}
	found := class == ""
	for _, name := range s.Strings {
		found = found || name == class
	}
	if !found {
		t.Errorf("%s has nothing of the class %s", path, class)
	}
	t.Logf("%s: %d MB, %d nodes", filepath.Base(path), info.Size()>>20, s.Snapshot.NodeCount)
}
