package browse

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Stored is an object that has a database.
type Stored struct {
	Namespace dormouse.Namespace `json:"namespace"`
	ID        string             `json:"id"`
	Bytes     int64              `json:"bytes"` // of its files
	Changed   time.Time          `json:"changed"`
}

// Page is a part of a list of objects.
type Page struct {
	Objects []Stored `json:"objects"`
	// Next leads to the next part; empty: there is none.
	Next string `json:"next,omitempty"`
}

// Query selects objects.
type Query struct {
	Namespace dormouse.Namespace // empty: all
	After     string             // Page.Next of the part before
	Limit     int                // 0: 1,000
}

// MaxPage is the largest part of a list.
const MaxPage = 100_000

// List lists the objects below the folder of databases, by namespace and id.
func List(root string, q Query) (*Page, error) {
	if q.Limit <= 0 || q.Limit > MaxPage {
		q.Limit = 1000
	}
	page := &Page{Objects: []Stored{}}
	err := Walk(root, q.Namespace, q.After, func(k dormouse.Key, path string) error {
		if len(page.Objects) == q.Limit {
			last := page.Objects[q.Limit-1]
			page.Next = string(last.Namespace) + "/" + last.ID
			return fs.SkipAll
		}
		s := Stored{Namespace: k.Namespace, ID: k.ID.String()}
		for _, name := range []string{path, path + "-wal"} {
			if info, err := os.Stat(name); err == nil {
				s.Bytes += info.Size()
				if info.ModTime().After(s.Changed) {
					s.Changed = info.ModTime()
				}
			}
		}
		page.Objects = append(page.Objects, s)
		return nil
	})
	return page, err
}

// Selection is some of the objects: all, those of a namespace, or one.
type Selection struct {
	Namespace dormouse.Namespace // empty: all
	ID        *dormouse.ID       // with a Namespace; nil: all
}

// Walk calls f for each selected object that has a database.
func (s Selection) Walk(root string, f func(k dormouse.Key, path string) error) error {
	if s.ID == nil {
		return Walk(root, s.Namespace, "", f)
	}
	k := dormouse.Key{Namespace: s.Namespace, ID: *s.ID}
	path := storage.Path(root, k)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return f(k, path)
}

// Walk calls f for each object that has a database, by namespace and id: those
// of one namespace or of all, and those after a "namespace/id". With
// fs.SkipAll f ends it.
func Walk(root string, only dormouse.Namespace, after string, f func(k dormouse.Key, path string) error) error {
	namespaces, err := Namespaces(root)
	if err != nil {
		return err
	}
	from, fromID := dormouse.Namespace(""), ""
	if after != "" {
		i := strings.LastIndexByte(after, '/')
		if i < 0 {
			return fmt.Errorf("%q is not where a part of the list ended", after)
		}
		from, fromID = dormouse.Namespace(after[:i]), after[i+1:]
	}
	for _, n := range namespaces {
		if only != "" && n != only || n < from {
			continue
		}
		first := ""
		if n == from {
			first = fromID
		}
		err := walkNamespace(root, n, first, f)
		if errors.Is(err, fs.SkipAll) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Namespaces lists the namespaces that have folders.
func Namespaces(root string) ([]dormouse.Namespace, error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []dormouse.Namespace
	for _, e := range entries {
		if n, ok := storage.ParseFolder(e.Name()); ok && e.IsDir() {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b dormouse.Namespace) int { return cmp.Compare(a, b) })
	return list, nil
}

func walkNamespace(root string, n dormouse.Namespace, after string, f func(dormouse.Key, string) error) error {
	dir := filepath.Join(root, storage.Folder(n))
	folders, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range folders {
		if len(e.Name()) != 2 || len(after) >= 2 && e.Name() < after[:2] {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, file := range files {
			id, is := strings.CutSuffix(file.Name(), ".sqlite")
			k := dormouse.Key{Namespace: n}
			if !is || id <= after || len(id) != 2*len(k.ID) || id[:2] != e.Name() {
				continue
			}
			if _, err := hex.Decode(k.ID[:], []byte(id)); err != nil {
				continue
			}
			if err := f(k, filepath.Join(dir, e.Name(), file.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
