package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/dormouse-dev/dormouse"
)

// miniflareData has a project, what miniflare has written for it, and what its
// Worker reads under miniflare; see make.mjs there.
const miniflareData = "../workerdisk/miniflare/testdata"

// wranglerDev is a project with the state of wrangler dev's.
func wranglerDev(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".wrangler"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tar", "-xzf", filepath.Join(miniflareData, "state.tar.gz"), "-C", filepath.Join(dir, ".wrangler")).CombinedOutput()
	if err != nil {
		t.Fatalf("unpack: %v, %s", err, out)
	}
	for _, name := range []string{"worker.js", "wrangler.jsonc"} {
		content, err := os.ReadFile(filepath.Join(miniflareData, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A Worker reads the same from KV and R2 as it did under miniflare, which wrote
// them: keys, values, metadata and times, versions, ETags and checksums.
func TestKVAndR2OfWranglerDev(t *testing.T) {
	t.Parallel()
	project := wranglerDev(t)
	data := filepath.Join(t.TempDir(), "data")
	out := Command(t, "storage", "import", project, "--data", data)
	want := "KV namespace 0f2ac74b498b48028cb68387c421e279 (SESSIONS): 12 keys; 1 had expired\n" +
		"KV namespace UNNAMED (UNNAMED): 1 key\n" +
		"KV namespace flags-preview, here flags (FLAGS): 1 key\n" +
		"KV namespace team: a/odd (ODD): 1 key\n" +
		"bucket media (MEDIA): 14 keys; 2 unfinished uploads left behind\n" +
		"bucket pictures-preview, here pictures (PREVIEWED): 1 key\n"
	if out != want {
		t.Errorf("import said %q, want %q", out, want)
	}
	_, err := TryCommand(t, "storage", "import", filepath.Join(project, ".wrangler/state/v3/r2"), "--data", data, "--dir", project)
	complains(t, err, `has the key`, "already; nothing was taken")

	d := StartDormouse(t, Options{Dir: project, Data: data})
	res, err := http.Get(d.URL + "/read")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got, read any
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(miniflareData, "read.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	compareJSON(t, "", got, read)
	_, err = TryCommand(t, "storage", "import", project, "--data", data)
	complains(t, err, "stop the server first")
}

// compareJSON names each place in which two values differ.
func compareJSON(t *testing.T, at string, got, want any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			all := maps.Clone(w)
			maps.Copy(all, g)
			for _, key := range slices.Sorted(maps.Keys(all)) {
				compareJSON(t, at+"/"+key, g[key], w[key])
			}
			return
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			for i := range w {
				compareJSON(t, fmt.Sprintf("%s/%d", at, i), g[i], w[i])
			}
			return
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %v, want %v", at, got, want)
	}
}

// complains checks what a command complained of.
func complains(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want %q", err, w)
		}
	}
}

// addObject puts a Durable Object into the state of wrangler dev's.
func addObject(t *testing.T, project, name string) (path string) {
	t.Helper()
	n := dormouse.Namespace("stores-Room")
	folder := filepath.Join(project, ".wrangler/state/v3/do", string(n))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(folder, n.IDFromName(name).String()+".sqlite")
	conn, err := sqlite.OpenConn(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteTransient(conn, "CREATE TABLE t (x)", nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whatever of the state cannot be taken, nothing of it is.
func TestAllOfWranglerDevOrNothing(t *testing.T) {
	t.Parallel()
	project := wranglerDev(t)
	addObject(t, project, "one")
	data := filepath.Join(t.TempDir(), "data")
	empty := func(after string) {
		t.Helper()
		err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
			if err == nil && (strings.HasSuffix(path, ".sqlite") || strings.Contains(path, "/files/") && !e.IsDir()) {
				t.Errorf("after %s there is %s", after, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	change := func(name, old, new string) {
		t.Helper()
		path := filepath.Join(project, name)
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	take := func() (string, error) { return TryCommand(t, "storage", "import", project, "--data", data) }

	change("wrangler.jsonc", `"team: a/odd"`, `"odd"`)
	_, err := take()
	complains(t, err, "team_ a_odd is called something else")
	empty("a name that is not known")
	change("wrangler.jsonc", `"odd"`, `"team: a/odd"`)

	change("wrangler.jsonc", `"id": "void"`, `"id": "flags", "preview_id": "UNNAMED"`)
	_, err = take()
	complains(t, err, "two KV namespaces, UNNAMED and flags-preview", "one, flags")
	empty("two that would be one")
	change("wrangler.jsonc", `"id": "flags", "preview_id": "UNNAMED"`, `"id": "void"`)

	bodies := filepath.Join(project, ".wrangler/state/v3/r2/media/blobs")
	if err := os.Rename(bodies, bodies+"-away"); err != nil {
		t.Fatal(err)
	}
	_, err = take()
	complains(t, err, `bucket media: key`, "its value is not there")
	empty("bodies that are not there")
	if err := os.Rename(bodies+"-away", bodies); err != nil {
		t.Fatal(err)
	}

	last := max(addObject(t, project, "two"), addObject(t, project, "three"), addObject(t, project, "four"))
	whole, err := os.ReadFile(last)
	if err == nil {
		err = os.WriteFile(last, make([]byte, 8192), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = take()
	complains(t, err, "the database is damaged")
	empty("a damaged object")
	if err := os.WriteFile(last, whole, 0o600); err != nil {
		t.Fatal(err)
	}

	other := t.TempDir()
	addObject(t, other, "other")
	Command(t, "storage", "import", other, "--data", data)
	Command(t, "r2", "put", "pictures", "of a preview", filepath.Join(project, "worker.js"), "--create", "--data", data)
	_, err = take()
	complains(t, err, `bucket pictures has the key "of a preview" already; nothing was taken`)
	objects := strings.Fields(Command(t, "objects", "list", "--data", data, "--json"))
	if namespaces := Command(t, "kv", "namespaces", "--data", data); namespaces != "" || len(objects) != 1 {
		t.Errorf("after a key that was there, there are %q and %q", namespaces, objects)
	}
	Command(t, "r2", "delete", "pictures", "of a preview", "--data", data)

	out, err := take()
	if err != nil || !strings.Contains(out, "has taken 4 objects; 0 had stored nothing\nKV namespace") {
		t.Errorf("import said %q, %v", out, err)
	}
	if got := Command(t, "r2", "get", "pictures", "of a preview", "--data", data); got != "3" {
		t.Errorf("the bucket has %q", got)
	}
}

// The namespace that wrangler dev has not shown to a Worker stays behind, and
// one that no binding has is taken under its name.
func TestNamesOfWranglerDev(t *testing.T) {
	t.Parallel()
	project := wranglerDev(t)
	config := `{ "name": "stores", "main": "worker.js", "compatibility_date": "2026-07-01", "kv_namespaces": [
		{ "binding": "FLAGS", "id": "UNNAMED", "preview_id": "flags-preview" }, { "binding": "SAME", "id": "copy", "preview_id": "flags-preview" },
		{ "binding": "ODD", "id": "team: a/odd" }
	] }`
	if err := os.WriteFile(filepath.Join(project, "wrangler.jsonc"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	out := Command(t, "storage", "import", filepath.Join(project, ".wrangler/state/v3/kv"), "--data", data, "--dir", project)
	want := "KV namespace 0f2ac74b498b48028cb68387c421e279: 12 keys; 1 had expired; no binding of the project has it\n" +
		"KV namespace UNNAMED was left behind: wrangler dev had flags-preview in its place\n" +
		"KV namespace flags-preview, here UNNAMED and copy (FLAGS, SAME): 1 key\n" +
		"KV namespace team: a/odd (ODD): 1 key\n"
	if out != want {
		t.Errorf("import said %q, want %q", out, want)
	}
	if got := Command(t, "kv", "list", "UNNAMED", "--data", data) + Command(t, "kv", "list", "copy", "--data", data); strings.Count(got, "dark") != 2 {
		t.Errorf("the keys are %q", got)
	}
	if got := Command(t, "r2", "buckets", "--data", data); got != "" {
		t.Errorf("of KV alone the buckets %q were taken", got)
	}
}
