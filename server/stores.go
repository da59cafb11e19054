package server

import (
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/r2"
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
	list, err := browse.Namespaces(filepath.Join(k.shelves.data, kind)) // their folders are named alike
	var all []string
	for _, name := range list {
		all = append(all, string(name))
	}
	return all, err
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

// Keep opens the KV namespaces and buckets of the folder for a tool. A name that
// there is not yet makes one. closed pairs with it, before Close.
func (f *Folder) Keep() (k stores.Keeper, closed func() error) {
	s := &shelves{data: f.Data}
	return keeper{s}, s.Close
}

// Stores answers what an operator asks of the KV namespaces and buckets of the
// folder: the paths below /api/kv and /api/r2 of the admin API. closed pairs with
// it, before Close.
func (f *Folder) Stores() (h http.Handler, closed func() error) {
	s := &shelves{data: f.Data}
	return stores.Handler(keeper{s}), s.Close
}
