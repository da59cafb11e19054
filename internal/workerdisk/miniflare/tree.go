// Package miniflare reads what KV namespaces and R2 buckets hold under
// `wrangler dev`: .wrangler/state/v3/kv and r2. It knows files, and never sees a
// data folder of ours, or changes what it reads.
//
// miniflare 4.20260730.0 and 5.20261117.0-beta: in the folder of a kind, miniflare-<class>/<id>.sqlite
// for each store, an object of workerd's whose id is made of the store's name,
// and <name>/blobs/ with the values, under ids that the database names.
package miniflare

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse"
)

// Kind is what a store is.
type Kind int

const (
	KV Kind = iota // a namespace
	R2             // a bucket
)

// String is what a person calls it.
func (k Kind) String() string { return [...]string{"KV namespace", "bucket"}[k] }

// folder is where stores of the kind lie, below those of wrangler's state.
func (k Kind) folder() string { return [...]string{"kv", "r2"}[k] }

// class is the folder of their databases: the namespace of workerd's objects.
func (k Kind) class() dormouse.Namespace {
	return [...]dormouse.Namespace{"miniflare-KVNamespaceObject", "miniflare-R2BucketObject"}[k]
}

// Is says whether a folder of objects is one of miniflare's own: they are no
// objects of a Worker's.
func Is(folder string) bool { return slices.Contains(classes, dormouse.Namespace(folder)) }

var classes = []dormouse.Namespace{KV.class(), R2.class(), "miniflare-D1DatabaseObject", "miniflare-CacheObject"}

// Store is a KV namespace or a bucket.
type Store struct {
	Kind Kind
	Name string // the namespace's id, or the bucket's name

	database string
	blobs    string // folder
}

// Tree is the stores of one folder of wrangler's.
type Tree struct {
	roots map[Kind]string // those that there are
}

// Look finds the folders of stores: path is a project's, or one below it, down
// to kv or r2. Without any, Empty is true.
func Look(path string) (*Tree, error) {
	t := &Tree{roots: make(map[Kind]string)}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if Is(filepath.Base(absolute)) {
		return nil, fmt.Errorf("%s has the databases without what they name: name the folder above it", path)
	}
	for _, kind := range []Kind{KV, R2} {
		for _, below := range []string{".wrangler/state/v3/", "state/v3/", "v3/", ""} {
			root := filepath.Join(absolute, filepath.FromSlash(below), kind.folder())
			if isFolder(filepath.Join(root, string(kind.class()))) {
				t.roots[kind] = root
				break
			}
		}
		if isFolder(filepath.Join(absolute, string(kind.class()))) {
			t.roots[kind] = absolute
		}
	}
	return t, nil
}

func isFolder(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.IsDir()
}

// Empty says that there are no stores.
func (t *Tree) Empty() bool { return len(t.roots) == 0 }

// Names are those that stores may have. The tree does not say how they are
// called, only what their names become.
type Names map[Kind][]string

// Stores lists what there is, by kind and name. Nobody may use the tree
// meanwhile. A store whose name is not among those that are known, nor the name
// of its folder, is an error if it holds anything.
func (t *Tree) Stores(known Names) ([]Store, error) {
	var all []Store
	for _, kind := range []Kind{KV, R2} {
		root, ok := t.roots[kind]
		if !ok {
			continue
		}
		list, err := storesOf(kind, root, known[kind])
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func storesOf(kind Kind, root string, known []string) ([]Store, error) {
	names, err := namesOf(kind, root)
	if err != nil {
		return nil, err
	}
	byID := make(map[dormouse.ID]string)
	for _, name := range append(names, known...) {
		byID[kind.class().IDFromName(name)] = name
	}
	folder := filepath.Join(root, string(kind.class()))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var list []Store
	for _, e := range entries {
		text, is := strings.CutSuffix(e.Name(), ".sqlite")
		id, err := hex.DecodeString(text)
		if !is || err != nil || len(id) != len(dormouse.ID{}) {
			continue // its log, or the alarms, which stores do not have
		}
		s := Store{Kind: kind, Name: byID[dormouse.ID(id)], database: filepath.Join(folder, e.Name())}
		s.blobs = filepath.Join(root, folderName(s.Name), "blobs")
		if s.Name == "" {
			if err := s.refuseNameless(root, names); err != nil {
				return nil, err
			}
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Store) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// namesOf are the names of folders with values, which most stores have for
// theirs.
func namesOf(kind Kind, root string) (names []string, err error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || Is(e.Name()) {
			continue
		}
		old := filepath.Join(root, e.Name(), "db.sqlite")
		if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("%s is of an old wrangler: start `wrangler dev` of today once, which brings the %s in order", old, kind), err)
		}
		names = append(names, e.Name())
	}
	return names, nil
}

// refuseNameless returns an error about a store without a name, if it holds
// anything.
func (s *Store) refuseNameless(root string, names []string) error {
	x, err := s.Open()
	if errors.Is(err, ErrNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	defer x.Close()
	blob, err := x.anyBlob()
	if err != nil || blob == "" {
		return err
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(root, name, "blobs", blob)); err == nil {
			return fmt.Errorf("the %s with values in %s is called something else, which its files do not tell: name the project whose wrangler file binds it with --dir", s.Kind, filepath.Join(root, name))
		}
	}
	return fmt.Errorf("the files do not tell what the %s of %s is called, and its values are not there: move it and what begins with its name away to leave it behind", s.Kind, s.database)
}

// What no folder is called, in the order in which it is replaced.
var (
	dots     = regexp.MustCompile(`(^|/|\\)(\.+)(/|\\|$)`)
	illegal  = regexp.MustCompile(`[?<>*"'^/\\:|\x00-\x1f\x{80}-\x{9f}]`)
	reserved = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$`)
	leading  = regexp.MustCompile(`^[ /\\]+`)
	trailing = regexp.MustCompile(`[ /\\]+$`)
)

// folderName is the folder of a store's values.
func folderName(store string) string {
	underscores := func(s string) string { return strings.Repeat("_", len(s)) }
	dot := func(s string) string {
		m := dots.FindStringSubmatch(s)
		return m[1] + underscores(m[2]) + m[3]
	}
	s := dots.ReplaceAllStringFunc(store, dot)
	s = dots.ReplaceAllStringFunc(s, dot)
	s = illegal.ReplaceAllString(s, "_")
	s = reserved.ReplaceAllString(s, "_")
	s = leading.ReplaceAllStringFunc(s, underscores)
	s = trailing.ReplaceAllStringFunc(s, underscores)
	return s[:min(len(s), 255)] // names of ours are shorter
}
