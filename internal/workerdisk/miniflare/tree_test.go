package miniflare

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// unpack lays out what miniflare has written; see testdata/make.mjs.
func unpack(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	below := filepath.Join(dir, ".wrangler")
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xzf", filepath.Join("testdata", "state.tar.gz"), "-C", below).CombinedOutput(); err != nil {
		t.Fatalf("unpack: %v, %s", err, out)
	}
	return dir
}

// odd is the name that no folder has of a store which holds something; every has
// the others too.
var (
	odd   = Names{KV: {"team: a/odd"}}
	every = Names{KV: {"team: a/odd", "void"}, R2: {"hollow"}}
)

func stores(t *testing.T, path string, known Names) []Store {
	t.Helper()
	list, err := tryStores(path, known)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func tryStores(path string, known Names) ([]Store, error) {
	tree, err := Look(path)
	if err != nil {
		return nil, err
	}
	return tree.Stores(known)
}

func TestStoresOfATree(t *testing.T) {
	dir := unpack(t)
	all := []string{
		"KV namespace 0f2ac74b498b48028cb68387c421e279", "KV namespace UNNAMED", "KV namespace flags-preview", "KV namespace team: a/odd",
		"bucket media", "bucket pictures-preview",
	}
	kvs, buckets := all[:4], all[4:]
	for below, want := range map[string][]string{
		".": all, ".wrangler/state": all, ".wrangler/state/v3": all, ".wrangler/state/v3/kv": kvs, ".wrangler/state/v3/r2": buckets, ".wrangler": all,
	} {
		var got []string
		for _, s := range stores(t, filepath.Join(dir, below), odd) {
			got = append(got, s.Kind.String()+" "+s.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", below, got, want)
		}
	}
	if tree, err := Look(filepath.Join(dir, ".wrangler/state/v3/kv/UNNAMED")); err != nil || !tree.Empty() {
		t.Errorf("a folder of values is a tree: %v", err)
	}
}

// Stores that nothing was put into are not told, if they have no name; those
// that hold something are an error then.
func TestStoresWithoutAName(t *testing.T) {
	dir := unpack(t)
	_, err := tryStores(dir, nil)
	refused(t, err, "team_ a_odd is called something else", "--dir")
	if err := os.RemoveAll(filepath.Join(dir, ".wrangler/state/v3/kv/team_ a_odd")); err != nil {
		t.Fatal(err)
	}
	_, err = tryStores(dir, nil)
	refused(t, err, "do not tell what the KV namespace", "move it")
	for _, s := range stores(t, dir, every) {
		if s.Name == "void" || s.Name == "hollow" {
			x, err := s.Open()
			if err != nil {
				t.Fatal(err)
			}
			if blob, err := x.anyBlob(); blob != "" || err != nil {
				t.Errorf("%s has %q, %v", s.Name, blob, err)
			}
			x.Close()
		}
	}
}

func TestTreesThatAreNone(t *testing.T) {
	dir := unpack(t)
	_, err := Look(filepath.Join(dir, ".wrangler/state/v3/kv/miniflare-KVNamespaceObject"))
	refused(t, err, "name the folder above")
	old := filepath.Join(dir, ".wrangler/state/v3/kv/old")
	if err := errors.Join(os.Mkdir(old, 0o700), os.WriteFile(filepath.Join(old, "db.sqlite"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err = tryStores(dir, odd)
	refused(t, err, "old wrangler")
}

// refused checks the text of an error.
func refused(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got the error %v, want %q in it", err, w)
		}
	}
}

// The names were made by miniflare's own sanitisePath.
func TestFolderNames(t *testing.T) {
	for name, want := range map[string]string{
		"plain": "plain", "team: a/odd": "team_ a_odd", "..": "__", "../../etc": "______etc", "a/./b": "a___b", "x.": "x.",
		"CON": "_", "com1.txt": "_", "console": "console", "  lead": "__lead", "trail  ": "trail__", "ü\u0085\x01": "ü__", `a\b"c`: "a_b_c",
		strings.Repeat("n", 300): strings.Repeat("n", 255),
	} {
		if got := folderName(name); got != want {
			t.Errorf("%q has the folder %q, want %q", name, got, want)
		}
	}
}

// change runs SQL on the database of a store.
func change(t *testing.T, s Store, sql string) {
	t.Helper()
	conn, err := sqlite.OpenConn(s.database, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteScript(conn, sql, nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
}
