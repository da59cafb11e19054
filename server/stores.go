package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/r2"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/stores"
)

// storesPatterns are the paths of stores.Handler.
var storesPatterns = [...]string{
	"GET /api/kv", "GET /api/kv/", "PUT /api/kv/", "DELETE /api/kv/",
	"GET /api/r2", "GET /api/r2/", "PUT /api/r2/", "DELETE /api/r2/",
}

// keeper is the KV namespaces and buckets as an operator sees them: those that
// have been used.
type keeper struct{ shelves *shelves }

// KVNames implements stores.Keeper.
func (k keeper) KVNames() ([]string, error) { return k.names(kvFolder) }

// R2Names implements stores.Keeper.
func (k keeper) R2Names() ([]string, error) { return k.names(r2Folder) }

func (k keeper) names(kind string) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(k.shelves.data, kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []string
	for _, e := range list {
		if name, ok := storage.ParseFolder(e.Name()); ok && e.IsDir() {
			all = append(all, string(name))
		}
	}
	slices.Sort(all)
	return all, nil
}

// KV implements stores.Keeper.
func (k keeper) KV(name string) (*kv.Store, error) {
	o, err := k.shelves.find(kvFolder, name)
	if err != nil {
		return nil, fmt.Errorf("KV namespace %s: %w", name, err)
	}
	return kv.New(o.shelf), nil
}

// R2 implements stores.Keeper.
func (k keeper) R2(name string) (*r2.Bucket, error) {
	o, err := k.shelves.find(r2Folder, name)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	return r2.New(o.shelf), nil
}

// Stores answers what an operator asks of the KV namespaces and buckets of the
// folder: the paths below /api/kv and /api/r2 of the admin API. closed pairs with
// it, before Close.
func (f *Folder) Stores() (h http.Handler, closed func() error) {
	s := &shelves{data: f.Data}
	return stores.Handler(keeper{s}), s.Close
}
