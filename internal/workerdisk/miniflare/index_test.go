package miniflare

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// find is a store of a fresh copy of the tree.
func find(t *testing.T, name string) Store {
	t.Helper()
	list := stores(t, unpack(t), every)
	i := slices.IndexFunc(list, func(s Store) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no store %s", name)
	}
	return list[i]
}

const sessions, media = "0f2ac74b498b48028cb68387c421e279", "media"

// readAll reads all that a store holds, and compares it with what it says.
func readAll(t *testing.T, s Store) (keys []string, err error) {
	t.Helper()
	x, err := s.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	body := func(key string, b Body) error {
		r, err := b.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		if content, err := io.ReadAll(r); err != nil || int64(len(content)) != b.Size {
			t.Errorf("%q has %d bytes, want %d: %v", key, len(content), b.Size, err)
		}
		keys = append(keys, key)
		return nil
	}
	if s.Kind == KV {
		return keys, x.Values(t.Context(), func(v Value) error { return body(v.Key, v.Body) })
	}
	if _, err := x.Unfinished(); err != nil {
		return nil, err
	}
	return keys, x.Objects(t.Context(), func(o Object) error { return errors.Join(o.Check(), body(o.Key, o.Body)) })
}

func TestContents(t *testing.T) {
	for name, n := range map[string]int{sessions: 13, media: 14} {
		keys, err := readAll(t, find(t, name))
		if err != nil || len(keys) != n || !slices.Contains(keys, "nul\x00in it") {
			t.Errorf("%s has %d keys, want %d: %q, %v", name, len(keys), n, keys, err)
		}
	}
	x, err := new(find(t, media)).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if n, err := x.Unfinished(); n != 2 || err != nil {
		t.Errorf("%d uploads are unfinished, want 2: %v", n, err)
	}
}

// Whatever is wrong with a file, it is an error that says what.
func TestDamage(t *testing.T) {
	sql := func(text string) func(*testing.T, Store) {
		return func(t *testing.T, s Store) { change(t, s, text) }
	}
	// blob changes the first file of values.
	blob := func(f func(path string) error) func(*testing.T, Store) {
		return func(t *testing.T, s Store) {
			entries, err := os.ReadDir(s.blobs)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if err := f(filepath.Join(s.blobs, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, c := range map[string]struct {
		store string
		do    func(*testing.T, Store)
		want  string
	}{
		"no database": {sessions, func(t *testing.T, s Store) {
			for _, more := range []string{"-wal", "-shm"} {
				if err := os.Remove(s.database + more); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(s.database, make([]byte, 8192), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is damaged, or no database"},
		"another table": {sessions, sql("ALTER TABLE _mf_entries RENAME TO entries"), "has no table _mf_entries"},
		"a view for ever": {media, sql(`ALTER TABLE _mf_multipart_uploads RENAME TO u;
			CREATE VIEW _mf_multipart_uploads AS WITH RECURSIVE f(state) AS (SELECT 0 UNION ALL SELECT state FROM f) SELECT state FROM f`), "has no table _mf_multipart_uploads"},
		"a column rowid":     {sessions, sql("ALTER TABLE _mf_entries ADD COLUMN rowid TEXT DEFAULT 'x'"), "has a column rowid"},
		"another column":     {media, sql("ALTER TABLE _mf_objects RENAME COLUMN etag TO tag"), "no such column"},
		"no value":           {sessions, blob(os.Remove), "its value is not there"},
		"no values at all":   {sessions, func(t *testing.T, s Store) { os.RemoveAll(s.blobs) }, "wrangler kv key delete"},
		"no body":            {media, blob(os.Remove), "wrangler r2 object delete"},
		"a short body":       {media, blob(func(p string) error { return os.Truncate(p, 0) }), "there are 0 bytes of it, and it should have"},
		"another body":       {media, sql("UPDATE _mf_objects SET etag = '5d41402abc4b2a76b9719d911017c593' WHERE key = 'plain.txt'"), "its MD5 is 5d41402abc4b2a76b9719d911017c592"},
		"a part too short":   {media, sql("UPDATE _mf_multipart_parts SET size = size + 1"), "a part of it has"},
		"a part is missing":  {media, sql("DELETE FROM _mf_multipart_parts WHERE part_number = 7"), "there are 12000 bytes of it"},
		"a way out":          {sessions, sql("UPDATE _mf_entries SET blob_id = '../../../../../secret'"), "is no name of a value"},
		"a way out of parts": {media, sql("UPDATE _mf_multipart_parts SET blob_id = '/etc/passwd'"), "is no name of a value"},
		"a folder":           {sessions, blob(func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }), "is no file"},
		"a huge text":        {sessions, sql("UPDATE _mf_entries SET metadata = zeroblob(10000000) WHERE key = 'plain'"), "more than 65536 bytes"},
		"a key of bytes":     {sessions, sql("UPDATE _mf_entries SET key = x'00ff' WHERE key = 'plain'"), "is no key"},
		"no expiration":      {sessions, sql("UPDATE _mf_entries SET expiration = 'soon' WHERE key = 'plain'"), "it expires at soon"},
		"no metadata":        {sessions, sql("UPDATE _mf_entries SET metadata = x'00' WHERE key = 'plain'"), "no text"},
		"no time":            {media, sql("UPDATE _mf_objects SET uploaded = 'then'"), "is no time"},
		"no checksums":       {media, sql("UPDATE _mf_objects SET checksums = '[1]'"), "read its checksums"},
	} {
		t.Run(name, func(t *testing.T) {
			s := find(t, c.store)
			c.do(t, s)
			_, err := readAll(t, s)
			refused(t, err, c.want)
		})
	}
}

// A link among the values leads nowhere.
func TestValuesAreNotFollowed(t *testing.T) {
	s := find(t, sessions)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.blobs)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(s.blobs, e.Name())
		if err := errors.Join(os.Remove(path), os.Symlink(secret, path)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = readAll(t, s)
	refused(t, err, "escapes")
}

// What stands only in the log counts, and nothing of the tree changes.
func TestTreeIsLeftAsItIs(t *testing.T) {
	s := find(t, media)
	before := content(t, s)
	if keys, err := readAll(t, s); err != nil || len(keys) == 0 {
		t.Fatalf("%d keys: %v", len(keys), err)
	}
	if got := content(t, s); !slices.Equal(got, before) {
		t.Errorf("the folder has %q, want %q", got, before)
	}
}

func content(t *testing.T, s Store) (all []string) {
	t.Helper()
	for _, pattern := range []string{s.database + "*", filepath.Join(s.blobs, "*")} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range list {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, path+string(b))
		}
	}
	return all
}
