package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

const wrangler = `{
	"name": "shop", "main": "index.js", "compatibility_date": "2026-11-01",
	"assets": {"directory": "public"},
	"vars": {"GREETING": "hello"},
	"durable_objects": {"bindings": [{"name": "CART", "class_name": "Cart"}]},
	"migrations": [{"tag": "1", "new_sqlite_classes": ["Cart"]}]
}`

// packed makes the archive of a small project whose module holds text.
func packed(t *testing.T, text string) ([]byte, *Manifest) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"wrangler.jsonc": wrangler, "public/index.html": "<p>hello", "public/deep/er/style.css": "p {}",
		"index.js": "export class Cart {}\nexport default {};\n// " + text + "\nconsole.log(" + fmt.Sprintf("%q", text) + ");",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := project.Load(project.Options{Dir: dir, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Build(c, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Pack(c, b, map[string]ClassSettings{"Cart": {CloseOnUpdate: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	archive, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return archive, p.Manifest
}

func open(t *testing.T, data string, keep int) *Store {
	t.Helper()
	s, err := Open(data, keep)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// add keeps a version and makes it current.
func add(t *testing.T, s *Store, text string) int {
	t.Helper()
	archive, _ := packed(t, text)
	_, n, err := s.Add(bytes.NewReader(archive), 1<<20)
	if err == nil {
		err = s.Activate(n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVersionIsKeptWhole(t *testing.T) {
	data := t.TempDir()
	archive, m := packed(t, "one")
	s := open(t, data, 10)
	_, n, err := s.Add(bytes.NewReader(archive), 1<<20)
	if err != nil || n != 1 || s.Current() != 0 {
		t.Fatalf("version %d, current %d, %v; want 1 and none", n, s.Current(), err)
	}
	if err := s.Activate(n); err != nil {
		t.Fatal(err)
	}
	s = open(t, data, 10) // as after a restart
	got, dir, err := s.Load(s.Current())
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash != m.Hash || got.Config.Name != "shop" || got.Config.Compat.Date != "2026-11-01" || !got.Classes["Cart"].CloseOnUpdate {
		t.Errorf("got %+v, want what was packed", got)
	}
	if got, want := fmt.Sprint(got.Config.Compat.Enabled()), fmt.Sprint(m.Config.Compat.Enabled()); got != want {
		t.Errorf("compatibility is %s, want %s", got, want)
	}
	v, err := Kept(1, got, dir, Options{Data: data, Node: "node"})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(v.Config.Assets.Directory, "deep", "er", "style.css")); err != nil || string(b) != "p {}" {
		t.Errorf("asset is %q, %v", b, err)
	}
	if c := v.Command(); c.Code.Version != 1 || c.Code.Classes[0] != "shop-Cart" || c.Code.Bindings[0] != 0 || !strings.Contains(string(c.Config), "GREETING") {
		t.Errorf("guests are started with %+v", c)
	}
	info, err := os.Stat(filepath.Join(dir, manifestName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the manifest, which has secrets, has mode %v, %v", info.Mode(), err)
	}
}

func TestSameProjectHasTheSameHash(t *testing.T) {
	_, a := packed(t, "one")
	_, b := packed(t, "one") // in another folder
	_, c := packed(t, "two")
	if a.Hash != b.Hash || a.Hash == c.Hash {
		t.Errorf("hashes %s, %s, %s; want two alike and another", a.Hash, b.Hash, c.Hash)
	}
}

func TestOldVersionsGo(t *testing.T) {
	s := open(t, t.TempDir(), 3)
	for i := range 5 {
		add(t, s, fmt.Sprint(i))
	}
	numbers := func() (list []int) {
		for _, r := range s.List() {
			list = append(list, r.Number)
		}
		return list
	}
	if got := fmt.Sprint(numbers()); got != "[5 4 3]" {
		t.Errorf("kept %s, want [5 4 3]", got)
	}
	if err := s.Activate(3); err != nil { // back
		t.Fatal(err)
	}
	if got := add(t, s, "next"); got != 6 {
		t.Errorf("the next is %d, want 6: no number is given twice", got)
	}
	if got := fmt.Sprint(numbers()); got != "[6 5 3]" || s.Current() != 6 || s.Previous() != 3 {
		t.Errorf("kept %s, current %d, previous %d; want [6 5 3], 6, 3", got, s.Current(), s.Previous())
	}
	if err := s.Remove(3); err == nil {
		t.Error("the previous version was removed")
	}
}

// full is a disk that takes so many bytes and no more.
type full struct {
	disk.FS
	left *int
}

func (f full) Open(name string, flag int) (disk.File, error) {
	file, err := f.FS.Open(name, flag)
	return fullFile{file, f.left}, err
}

type fullFile struct {
	disk.File
	left *int
}

func (f fullFile) WriteAt(p []byte, at int64) (int, error) {
	if *f.left -= len(p); *f.left < 0 {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, at)
}

// TestFullDisk: wherever it ends, what was there stays as it was.
func TestFullDisk(t *testing.T) {
	archive, _ := packed(t, "two")
	for left := 0; ; left += 256 {
		data := t.TempDir()
		s := open(t, data, 10)
		add(t, s, "one")
		n := left
		s.fs = full{s.fs, &n}
		_, number, err := s.Add(bytes.NewReader(archive), 1<<20)
		if err == nil {
			err = s.Activate(number)
		}
		if err == nil {
			if left == 0 {
				t.Fatal("nothing was written")
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("with %d bytes: %v, want ENOSPC", left, err)
		}
		s = open(t, data, 10)
		if s.Current() != 1 {
			t.Fatalf("with %d bytes left the current version is %d, want 1", left, s.Current())
		}
		if _, _, err := s.Load(1); err != nil {
			t.Fatal(err)
		}
		if list := s.List(); number == 0 && len(list) != 1 {
			t.Fatalf("half a version is listed: %+v", list)
		}
	}
}

func TestDamagedPackagesAreRefused(t *testing.T) {
	archive, _ := packed(t, "one")
	at := bytes.Index(archive, []byte("<p>hello"))
	flipped := bytes.Clone(archive)
	flipped[at] ^= 1
	other := bytes.Replace(bytes.Clone(archive), []byte(`"format": 1`), []byte(`"format": 9`), 1)
	outside := bytes.ReplaceAll(bytes.Clone(archive), []byte("assets/index.html"), []byte("assets/../../evil"))
	for name, c := range map[string]struct {
		archive []byte
		limit   int64
		want    string
	}{
		"empty":        {nil, 1 << 20, "damaged"},
		"no archive":   {[]byte(strings.Repeat("GET / HTTP/1.1\r\n", 100)), 1 << 20, "damaged"},
		"cut short":    {archive[:len(archive)/2], 1 << 20, "damaged"},
		"a bit":        {flipped, 1 << 20, "sum"},
		"too large":    {archive, int64(len(archive) - 1), "limits.deploy_bytes"},
		"newer format": {other, 1 << 20, "format 9"},
		"outside":      {outside, 1 << 20, "has no place"},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			s := open(t, data, 10)
			_, _, err := s.Add(bytes.NewReader(c.archive), c.limit)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
			if TooLarge(err) != (name == "too large") || errors.Is(err, ErrPackage) == (name == "too large") {
				t.Errorf("%v is of the wrong kind", err)
			}
			left, _ := os.ReadDir(filepath.Join(data, storeDir))
			if len(left) != 0 {
				t.Errorf("%v was left", left)
			}
		})
	}
	if _, n, err := open(t, t.TempDir(), 10).Add(bytes.NewReader(archive), int64(len(archive))); err != nil || n != 1 {
		t.Errorf("exactly as large as it may be: %v", err)
	}
}

func TestInterruptedDeployIsSwept(t *testing.T) {
	data := t.TempDir()
	half := filepath.Join(data, storeDir, newPrefix+"123")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, data, 10)
	if list := s.List(); len(list) != 0 {
		t.Errorf("half a version is listed: %+v", list)
	}
	add(t, s, "one")
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", half, err)
	}
}

func TestNewerStoreIsRefused(t *testing.T) {
	data := t.TempDir()
	add(t, open(t, data, 10), "one")
	path := filepath.Join(data, storeDir, stateName)
	if err := os.WriteFile(path, []byte(`{"format": 2, "current": "one"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(data, 10); err == nil || !strings.Contains(err.Error(), "has format 2") {
		t.Error("a store of format 2 was opened")
	}
}

func TestAssetsStayInTheirFolder(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("x"), 0o600), os.Symlink(secret, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	p := &Package{Manifest: &Manifest{Files: make(map[string]File)}}
	defer p.Close()
	if err := p.readAssets(dir); err == nil {
		t.Error("a link out of the folder was followed")
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("manifest.json"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		unpack(bytes.NewReader(archive), 1<<20, func(*Manifest, []byte) error { return nil },
			func(name string, r io.Reader) error {
				if err := checkName(name); err != nil {
					t.Fatalf("put %q: %v", name, err)
				}
				_, err := io.Copy(io.Discard, r)
				return err
			})
	})
}
