package miniflare

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// Bounds of what is read from a database at once: a file from elsewhere may have
// anything in it. They are far beyond what miniflare writes.
const (
	pageRows  = 100
	maxColumn = 64 << 10 // bytes
	maxParts  = 10_000   // of an object
)

// ErrNothing: nothing was ever stored.
var ErrNothing = errors.New("nothing was ever stored in it")

// Index is an open store: a copy of its database, as of its last commit, and the
// values beside the database.
type Index struct {
	store *Store
	temp  string // folder of the copy
	db    *sqlitefile.DB
	root  *os.Root // of the values; nil: there are none
}

// Open opens a store. The tree is left as it is.
func (s *Store) Open() (_ *Index, err error) {
	x := &Index{store: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.Close())
		}
	}()
	if x.temp, err = os.MkdirTemp("", "dormouse-"+s.Kind.folder()+"-"); err != nil {
		return nil, err
	}
	copied := filepath.Join(x.temp, "index.sqlite")
	err = snapshot.Take(context.Background(), snapshot.Source{Path: s.database, Foreign: true}, copied)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNothing
	}
	if err != nil {
		return nil, err
	}
	if x.db, err = sqlitefile.OpenCopy(copied); err == nil {
		err = x.look()
	}
	if err != nil && !errors.Is(err, ErrNothing) {
		err = fmt.Errorf("read %s %s: %w", s.Kind, s.called(), x.named(err))
	}
	if err != nil {
		return nil, err
	}
	if x.root, err = os.OpenRoot(s.blobs); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return x, err
}

// called is how a store is told: one without a name by its database.
func (s *Store) called() string {
	if s.Name != "" {
		return s.Name
	}
	return s.database
}

// named says of a damaged database where it lies: not in a backup of ours.
func (x *Index) named(err error) error {
	if errors.Is(err, sqlitefile.ErrDamaged) {
		return fmt.Errorf("%s is damaged, or no database: mend it, or move it away to leave it behind", x.store.database)
	}
	return err
}

// look looks whether the database is whole, and one of a store.
func (x *Index) look() error {
	if err := x.db.Check(context.Background()); err != nil {
		return err
	}
	if rows, err := x.db.Select("SELECT 1 FROM sqlite_schema LIMIT 1"); err != nil || len(rows) == 0 {
		return cmp.Or(err, ErrNothing)
	}
	for _, table := range x.store.Kind.tables() {
		// Not a view, which could go on for ever.
		rows, err := x.db.Select("SELECT 1 FROM pragma_table_list(?) WHERE schema = 'main' AND type = 'table'", table)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("%s has no table %s: it is no %s of wrangler dev's", x.store.database, table, x.store.Kind)
		}
	}
	return nil
}

// tables are those of a store, first that of what is stored.
func (k Kind) tables() []string {
	if k == KV {
		return []string{"_mf_entries"}
	}
	return []string{"_mf_objects", "_mf_multipart_uploads", "_mf_multipart_parts"}
}

// Close ends it.
func (x *Index) Close() error {
	var err error
	if x.root != nil {
		err = x.root.Close()
	}
	if x.db != nil {
		err = errors.Join(err, x.db.Close())
	}
	if x.temp != "" {
		err = errors.Join(err, os.RemoveAll(x.temp))
	}
	return err
}

// anyBlob is a value that the database names; empty: it names none.
func (x *Index) anyBlob() (string, error) {
	for _, table := range x.store.Kind.tables() {
		if table == "_mf_multipart_uploads" {
			continue
		}
		rows, err := x.db.Select("SELECT blob_id FROM " + table + " WHERE typeof(blob_id) = 'text' LIMIT 1")
		if err != nil {
			return "", x.named(err)
		}
		if len(rows) > 0 {
			blob := rows[0][0].(string)
			return blob, checkBlob(blob)
		}
	}
	return "", nil
}

// checkBlob refuses what would lead out of the folder of values.
func checkBlob(id string) error {
	if _, err := hex.DecodeString(id); err != nil || id == "" || len(id) > 200 {
		return fmt.Errorf("%.200q is no name of a value", id)
	}
	return nil
}

// Value is an entry of a KV namespace.
type Value struct {
	Key      string
	Metadata *string   // JSON; nil: none
	Expires  time.Time // zero: never
	Body     Body
}

// Object is an object of a bucket.
type Object struct {
	Key, Version, ETag string
	Uploaded           time.Time
	Checksums          map[string]string // in hex, those that its writer has given
	HTTP, Custom       json.RawMessage   // metadata
	Body               Body
}

// Values calls visit with each entry of a KV namespace.
func (x *Index) Values(ctx context.Context, visit func(Value) error) error {
	columns := []string{"key", "blob_id", "expiration", "metadata"}
	return x.rows(ctx, columns, func(row []any) (func() error, error) {
		var v Value
		var ok bool
		if v.Key, ok = row[0].(string); !ok {
			return nil, fmt.Errorf("%v is no key", row[0])
		}
		if err := x.value(&v, row); err != nil {
			return nil, fmt.Errorf("key %q: %w", v.Key, err)
		}
		return func() error { return visit(v) }, nil
	})
}

func (x *Index) value(v *Value, row []any) (err error) {
	switch ms := row[2].(type) {
	case nil:
	case int64:
		v.Expires = time.UnixMilli(ms)
	default:
		return fmt.Errorf("it expires at %v", ms)
	}
	switch text := row[3].(type) {
	case nil:
	case string:
		v.Metadata = &text
	default:
		return errors.New("its metadata are no text")
	}
	blob, _ := row[1].(string)
	v.Body, err = x.body(blob)
	return err
}

// Objects calls visit with each object of a bucket.
func (x *Index) Objects(ctx context.Context, visit func(Object) error) error {
	columns := []string{"key", "blob_id", "version", "size", "etag", "uploaded", "checksums", "http_metadata", "custom_metadata"}
	return x.rows(ctx, columns, func(row []any) (func() error, error) {
		var o Object
		var ok bool
		if o.Key, ok = row[0].(string); !ok {
			return nil, fmt.Errorf("%v is no key", row[0])
		}
		if err := x.object(&o, row); err != nil {
			return nil, fmt.Errorf("key %q: %w", o.Key, err)
		}
		return func() error { return visit(o) }, nil
	})
}

func (x *Index) object(o *Object, row []any) (err error) {
	var checksums, http, custom string
	for i, to := range map[int]*string{2: &o.Version, 4: &o.ETag, 6: &checksums, 7: &http, 8: &custom} {
		var ok bool
		if *to, ok = row[i].(string); !ok {
			return fmt.Errorf("%v is no text", row[i])
		}
	}
	uploaded, ok := row[5].(int64)
	if !ok {
		return fmt.Errorf("%v is no time", row[5])
	}
	o.Uploaded, o.HTTP, o.Custom = time.UnixMilli(uploaded), json.RawMessage(http), json.RawMessage(custom)
	if err := json.Unmarshal([]byte(checksums), &o.Checksums); err != nil {
		return fmt.Errorf("read its checksums: %w", err)
	}
	if row[1] == nil {
		o.Body, err = x.assembled(o.Key)
	} else {
		blob, _ := row[1].(string)
		o.Body, err = x.body(blob)
	}
	if err == nil && row[3] != o.Body.Size {
		err = fmt.Errorf("there are %d bytes of it, and it should have %v: what is there is damaged; delete it with `wrangler r2 object delete --local`", o.Body.Size, row[3])
	}
	return err
}

// Unfinished is how many uploads in parts were begun and not ended.
func (x *Index) Unfinished() (int, error) {
	rows, err := x.db.Select("SELECT count(*) FROM _mf_multipart_uploads WHERE state = 0")
	if err != nil {
		return 0, x.named(err)
	}
	return int(rows[0][0].(int64)), nil
}

// rows reads the table of a store. An error of visit is returned as it is.
func (x *Index) rows(ctx context.Context, columns []string, read func(row []any) (visit func() error, err error)) error {
	var visited error
	err := x.eachRow(ctx, columns, func(row []any) error {
		visit, err := read(row)
		if err == nil {
			visited = visit()
			err = visited
		}
		return err
	})
	if err != nil && visited == nil {
		err = fmt.Errorf("%s %s: %w", x.store.Kind, x.store.Name, x.named(err))
	}
	return err
}

func (x *Index) eachRow(ctx context.Context, columns []string, visit func(row []any) error) error {
	query := "SELECT " + strings.Join(columns, ", ") + ", rowid FROM " + x.store.Kind.tables()[0] + " WHERE rowid > ? ORDER BY rowid LIMIT ?"
	if err := x.refuseHuge(columns); err != nil {
		return err
	}
	after := int64(-1 << 63)
	for {
		list, err := x.db.Select(query, after, int64(pageRows))
		if err != nil || len(list) == 0 {
			return err
		}
		for _, row := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			next, ok := row[len(row)-1].(int64)
			if !ok {
				return fmt.Errorf("%s has a column rowid: it is no %s of wrangler dev's", x.store.database, x.store.Kind)
			}
			after = next
			if err := visit(row); err != nil {
				return err
			}
		}
	}
}

// refuseHuge refuses a table that would not fit into memory.
func (x *Index) refuseHuge(columns []string) error {
	lengths := slices.Clone(columns)
	for i, c := range columns {
		lengths[i] = "coalesce(length(CAST(" + c + " AS BLOB)), 0)"
	}
	rows, err := x.db.Select("SELECT 1 FROM "+x.store.Kind.tables()[0]+" WHERE max("+strings.Join(lengths, ", ")+") > ? LIMIT 1", int64(maxColumn))
	if err == nil && len(rows) > 0 {
		err = fmt.Errorf("%s has a text of more than %d bytes: it is damaged, or not of wrangler dev", x.store.database, maxColumn)
	}
	return err
}
