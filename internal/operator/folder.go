package operator

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
	"github.com/dormouse-dev/dormouse/server"
)

// Folder is a Store of files, of which nobody else uses any: it holds the lock
// of the data folder.
type Folder struct{ folder *server.Folder }

// OpenFolder takes a data folder. If a server uses it, the error is a
// *server.InUse.
func OpenFolder(data string) (*Folder, error) {
	f, err := server.OpenFolder(data)
	if err != nil {
		return nil, err
	}
	return &Folder{f}, nil
}

// Of is the Store of a folder that is open.
func Of(f *server.Folder) *Folder { return &Folder{f} }

// Close gives the folder back.
func (f *Folder) Close() error { return f.folder.Close() }

func (f *Folder) root() string { return server.DatabaseFolder(f.folder.Data) }

func (f *Folder) path(o Object) string { return server.DatabasePath(f.folder.Data, o.Key) }

// Namespaces implements Store.
func (f *Folder) Namespaces(context.Context) ([]dormouse.Namespace, error) {
	return browse.Namespaces(f.root())
}

// Stored implements Store.
func (f *Folder) Stored(_ context.Context, q browse.Query) (*browse.Page, error) {
	return browse.List(f.root(), q)
}

// view opens a database to look at it, or to change it.
func (f *Folder) view(o Object, write bool) (*browse.View, error) {
	path := f.path(o)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, browse.ErrNoData
	}
	if err != nil {
		return nil, err
	}
	open := sqlitefile.OpenCopy
	if _, err := os.Stat(path + "-wal"); write || err == nil {
		open = sqlitefile.OpenAlone
	}
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	return browse.Of(db, info.Size()), nil
}

func look[T any](f *Folder, o Object, write bool, do func(*browse.View) (T, error)) (T, error) {
	v, err := f.view(o, write)
	if err != nil {
		var none T
		return none, err
	}
	x, err := do(v)
	return x, errors.Join(err, v.Close())
}

// Query implements Store.
func (f *Folder) Query(ctx context.Context, o Object, sql string, limit int) (*browse.Rows, error) {
	return look(f, o, false, func(v *browse.View) (*browse.Rows, error) { return v.Query(ctx, sql, limit) })
}

// Exec implements Store.
func (f *Folder) Exec(ctx context.Context, o Object, sql string, limit int) (*browse.Rows, error) {
	if err := f.create(o); err != nil {
		return nil, err
	}
	return look(f, o, true, func(v *browse.View) (*browse.Rows, error) { return v.Exec(ctx, sql, limit) })
}

// List implements Store.
func (f *Folder) List(_ context.Context, o Object, r browse.Range) (*browse.Values, error) {
	return look(f, o, false, func(v *browse.View) (*browse.Values, error) { return v.List(r) })
}

// Get implements Store.
func (f *Folder) Get(_ context.Context, o Object, key string) (*browse.Value, error) {
	return look(f, o, false, func(v *browse.View) (*browse.Value, error) { return v.Get(key) })
}

// Put implements Store.
func (f *Folder) Put(_ context.Context, o Object, key string, json []byte) error {
	value, err := browse.Serialize(json)
	if err != nil {
		return err
	}
	if err := f.create(o); err != nil {
		return err
	}
	_, err = look(f, o, true, func(v *browse.View) (struct{}, error) { return struct{}{}, v.Put(key, value) })
	return err
}

// Delete implements Store.
func (f *Folder) Delete(_ context.Context, o Object, key string) (bool, error) {
	return look(f, o, true, func(v *browse.View) (bool, error) { return v.Delete(key) })
}

// History implements Store.
func (f *Folder) History(_ context.Context, o Object, limit int) (*browse.History, error) {
	return f.folder.History(o.Key, limit)
}

// PutBack implements Store.
func (f *Folder) PutBack(_ context.Context, o Object, to browse.PastPoint) (*browse.PutBack, error) {
	return f.folder.PutBack(o.Key, to)
}

// Backup implements Store.
func (f *Folder) Backup(ctx context.Context, to io.Writer, which browse.Selection) error {
	return f.folder.Backup(ctx, to, which)
}

// create makes the object's database if it has none.
func (f *Folder) create(o Object) error {
	path := f.path(o)
	if info, err := os.Stat(path); err == nil && info.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	db, err := sqlitefile.Create(path)
	if err != nil {
		return err
	}
	return db.Close()
}
