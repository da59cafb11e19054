package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

var alarm = time.UnixMilli(1_900_000_000_000).UTC()

// world is a data folder with some objects.
type world struct {
	t    testing.TB
	dir  string
	keys []dormouse.Key
}

func newWorld(t testing.TB, n int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for i := range n {
		ns := dormouse.Namespace([]string{"chat-Room", "ünï/codé-Class"}[i%2])
		k := dormouse.Key{Namespace: ns, ID: ns.IDFromName(fmt.Sprint(i))}
		w.keys = append(w.keys, k)
		path := storage.Path(w.dir, k)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		db, err := sqlitefile.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Put("who", []byte(k.String()))
		if i == 0 {
			err = errors.Join(err, db.SetAlarm(alarm))
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) source() Source {
	return Source{
		Temp: w.t.TempDir(), Version: "test", Classes: []byte(`{"format":1}`),
		Walk: func(f func(dormouse.Key, snapshot.Source) error) error {
			for _, k := range w.keys {
				if err := f(k, snapshot.Source{Path: storage.Path(w.dir, k)}); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (w *world) save(path string) Summary {
	w.t.Helper()
	s, err := Save(path, func(to io.Writer) error {
		_, err := Write(w.t.Context(), to, w.source())
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func layout(finish func(string, []Entry) error) Layout {
	return Layout{
		Path:    storage.Path,
		Classes: func(folder string) string { return filepath.Join(folder, ClassesName) },
		Finish:  finish,
	}
}

func TestBackupComesBack(t *testing.T) {
	for _, name := range []string{"folder", "b.tar", "b.tar.gz", "b.tgz", "b.tar.zst"} {
		w := newWorld(t, 6)
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if s := w.save(path); s.Objects != 6 || len(s.Damaged) != 0 {
			t.Fatalf("%s: saved %+v, want 6 objects", name, s)
		}
		if s, err := Verify(path, t.TempDir()); err != nil || s.Objects != 6 || len(s.Damaged) != 0 {
			t.Fatalf("%s: verified %+v (%v)", name, s, err)
		}
		var alarms []Entry
		restored := filepath.Join(dir, "restored")
		s, err := Restore(path, restored, layout(func(_ string, list []Entry) error { alarms = list; return nil }))
		if err != nil || s.Objects != 6 {
			t.Fatalf("%s: restored %+v (%v)", name, s, err)
		}
		if len(alarms) != 1 || !alarms[0].Alarm.Equal(alarm) {
			t.Errorf("%s: alarms %+v, want one", name, alarms)
		}
		for _, k := range w.keys {
			db, err := sqlitefile.OpenCopy(storage.Path(restored, k))
			if err != nil {
				t.Fatal(err)
			}
			if v, _, err := db.Get("who"); err != nil || string(v) != k.String() {
				t.Errorf("%s: %s is %q (%v)", name, k, v, err)
			}
			db.Close()
		}
		if b, err := os.ReadFile(filepath.Join(restored, ClassesName)); string(b) != `{"format":1}` {
			t.Errorf("%s: classes.json is %q (%v)", name, b, err)
		}
		// A second time there is something.
		if _, err := Restore(path, restored, layout(nil)); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%s: restored over data: %v", name, err)
		}
		if _, err := Save(path, func(io.Writer) error { return nil }); err == nil || !strings.Contains(err.Error(), "exists") {
			t.Errorf("%s: saved over a backup: %v", name, err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*.partial"))
		if len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

func TestFailureLeavesNothing(t *testing.T) {
	w := newWorld(t, 3)
	broken := errors.New("the connection is gone")
	for _, name := range []string{"folder", "b.tar.zst"} {
		path := filepath.Join(t.TempDir(), name)
		_, err := Save(path, func(to io.Writer) error {
			src := w.source()
			walk := src.Walk
			src.Walk = func(f func(dormouse.Key, snapshot.Source) error) error { return errors.Join(walk(f), broken) }
			_, err := Write(t.Context(), to, src)
			return err
		})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v, want the cause", name, err)
		}
		if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

func TestDamageIsFound(t *testing.T) {
	w := newWorld(t, 4)
	whole := filepath.Join(t.TempDir(), "b.tar")
	w.save(whole)
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	var at []int // where each file's content begins
	in := bytes.NewReader(good)
	for tr := tar.NewReader(in); ; {
		if _, err := tr.Next(); err != nil {
			break
		}
		at = append(at, len(good)-in.Len())
	}
	flip := func(i int) func([]byte) []byte {
		return func(b []byte) []byte { b[i] ^= 1; return b }
	}
	rest := func(list ...error) []error { return list }
	for name, test := range map[string]struct {
		change func([]byte) []byte
		want   []error
	}{
		"a bit of a database":     {flip(at[0] + 5000), rest(ErrDamaged)},
		"a bit of the manifest":   {flip(at[len(at)-1] + 300), rest(ErrDamaged, ErrNoBackup, ErrIncomplete)},
		"a bit of a name":         {flip(at[1] - 512 + 20), rest(ErrDamaged, ErrNoBackup, ErrIncomplete)},
		"cut off in a database":   {func(b []byte) []byte { return b[:at[2]+100] }, rest(ErrIncomplete)},
		"cut off between two":     {func(b []byte) []byte { return b[:at[2]-512] }, rest(ErrIncomplete)},
		"cut off in the manifest": {func(b []byte) []byte { return b[:at[len(at)-1]+100] }, rest(ErrIncomplete)},
		"nothing":                 {func(b []byte) []byte { return nil }, rest(ErrNoBackup)},
		"something else":          {func(b []byte) []byte { return []byte("PK\x03\x04 something else") }, rest(ErrNoBackup)},
		"a file more":             {func(b []byte) []byte { return withFile(b, at, "evil.txt") }, rest(ErrNoBackup)},
		"a file that climbs":      {func(b []byte) []byte { return withFile(b, at, "objects/../../evil.sqlite") }, rest(ErrNoBackup)},
		"an object more":          {func(b []byte) []byte { return withFile(b, at, "objects/x/"+w.keys[0].ID.String()+".sqlite") }, rest(ErrDamaged)},
		"an absolute name":        {func(b []byte) []byte { return withFile(b, at, "/objects/x/"+w.keys[0].ID.String()+".sqlite") }, rest(ErrNoBackup)},
		"an object's capital name": {func(b []byte) []byte {
			return withFile(b, at, "objects/x/"+strings.ToUpper(w.keys[0].ID.String())+".sqlite")
		}, rest(ErrNoBackup)},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "b.tar")
		if err := os.WriteFile(path, test.change(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		restored := filepath.Join(dir, "restored")
		_, err := Restore(path, restored, layout(func(string, []Entry) error { return nil }))
		if !slices.ContainsFunc(test.want, func(want error) bool { return errors.Is(err, want) }) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if left, _ := filepath.Glob(restored + "*"); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
		if _, err := os.Stat(filepath.Join(dir, "evil.sqlite")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: wrote outside of its folder", name)
		}
	}
}

// withFile is a tar that begins with another file.
func withFile(b []byte, _ []int, name string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	w.WriteHeader(&tar.Header{Name: name, Size: 4, Mode: 0o600, Typeflag: tar.TypeReg})
	w.Write([]byte("evil"))
	w.Flush()
	return append(out.Bytes(), b...)
}

func TestNewerFormatIsRefused(t *testing.T) {
	text, _, err := encodeManifest(header{Format: Format + 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, manifestName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(dir, nil); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("%v, want ErrNewerFormat", err)
	}
}

func TestDamagedDatabaseIsKeptAndNamed(t *testing.T) {
	w := newWorld(t, 3)
	if err := os.WriteFile(storage.Path(w.dir, w.keys[1]), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.tar.zst")
	s := w.save(path)
	if s.Objects != 3 || len(s.Damaged) != 1 || s.Damaged[0].ID != w.keys[1].ID.String() {
		t.Errorf("saved %+v, want three objects of which one is damaged", s)
	}
	s, err := Verify(path, t.TempDir())
	if err != nil || len(s.Damaged) != 1 || s.Damaged[0].ID != w.keys[1].ID.String() {
		t.Errorf("verified %+v (%v), want the damaged one named", s, err)
	}
}
