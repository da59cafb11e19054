// Package kv keeps KV namespaces: values under names, with metadata and a time
// at which they go. It answers what the binding asks over HTTP, in the words of
// Workers KV, and never sees JavaScript or a guest.
//
// Reads see every write that has been answered: there is no cache, so cacheTtl is
// checked and means nothing.
package kv

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/dormouse-dev/dormouse/internal/shelf"
)

// Limits, as on Cloudflare.
const (
	MaxKey      = 512 // bytes
	MaxMetadata = 1024
	MaxValue    = 25 << 20
	MaxList     = 1000 // names in one answer
	MaxBulk     = 100  // keys in one question
	MinTTL      = 60   // seconds
	MinCacheTTL = 30
)

// maxInline is the largest value that lies in the index; larger ones are files.
const maxInline = 64 << 10

const schema = `
CREATE TABLE IF NOT EXISTS entries (
	key TEXT PRIMARY KEY,
	value BLOB,         -- NULL: it is a file
	file TEXT,
	metadata TEXT,      -- JSON
	expiration INTEGER  -- seconds since 1970; NULL: never
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiring ON entries (expiration) WHERE expiration IS NOT NULL;
`

// Shelf says how a namespace lies in a folder.
func Shelf(folder string, relaxed bool) shelf.Config {
	return shelf.Config{
		Folder: folder, Relaxed: relaxed, Schema: schema,
		Names: "SELECT file FROM entries WHERE file IS NOT NULL",
	}
}

// Store is one namespace.
type Store struct {
	shelf *shelf.Shelf
	now   func() time.Time
}

// New makes a store of an open shelf.
func New(s *shelf.Shelf) *Store { return &Store{s, time.Now} }

// Entry is what stands under a key.
type Entry struct {
	Key        string
	Metadata   *string // JSON; nil: none
	Expiration int64   // seconds since 1970; 0: never

	inline []byte
	file   *shelf.File
	Size   int64
}

// Value is what Get has found; it is read once.
func (e *Entry) Value() io.Reader {
	if e.file != nil {
		return e.file
	}
	return strings.NewReader(string(e.inline))
}

// Close pairs with Get.
func (e *Entry) Close() error {
	if e.file != nil {
		return e.file.Close()
	}
	return nil
}

// Get finds an entry, or returns nil.
func (s *Store) Get(ctx context.Context, key string) (e *Entry, err error) {
	now := s.now().Unix()
	err = s.shelf.Read(ctx, func(conn *sqlite.Conn) error {
		return sqlitex.Execute(conn, `SELECT value, file, metadata, expiration FROM entries
			WHERE key = ? AND (expiration IS NULL OR expiration > ?)`, &sqlitex.ExecOptions{
			Args: []any{key, now},
			ResultFunc: func(st *sqlite.Stmt) (err error) {
				e = &Entry{Key: key}
				e.rest(st, 2)
				if !st.ColumnIsNull(1) {
					if e.file, err = s.shelf.OpenFile(st.ColumnText(1)); err != nil {
						return err
					}
					i, err := e.file.Stat()
					if err != nil {
						e.file.Close()
						return err
					}
					e.Size = i.Size()
					return nil
				}
				e.inline = make([]byte, st.ColumnLen(0))
				st.ColumnBytes(0, e.inline)
				e.Size = int64(len(e.inline))
				return nil
			},
		})
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// rest reads the columns metadata and expiration.
func (e *Entry) rest(st *sqlite.Stmt, i int) {
	if !st.ColumnIsNull(i) {
		text := st.ColumnText(i)
		e.Metadata = &text
	}
	e.Expiration = st.ColumnInt64(i + 1)
}

// errTooLong: the value is longer than MaxValue.
var errTooLong = errors.New("the value is too long")

// purged is how many entries whose time is over a write removes on its way, so
// that they do not pile up.
const purged = 8

// Put writes an entry. A value that breaks off, or is too long, changes nothing.
func (s *Store) Put(ctx context.Context, e Entry, value io.Reader) error {
	l, err := s.lay(value)
	if err != nil {
		return err
	}
	var gone []string
	err = s.shelf.Write(ctx, func(conn *sqlite.Conn) error {
		if err := remove(conn, &gone, `DELETE FROM entries WHERE key = ? RETURNING file`, e.Key); err != nil {
			return err
		}
		if err := s.purge(conn, &gone); err != nil {
			return err
		}
		return insert(conn, e, l)
	})
	if err != nil {
		if l.file != "" {
			s.shelf.Remove(l.file)
		}
		return err
	}
	s.shelf.Remove(gone...)
	return nil
}

// laid is a value as it lies: in the index, or if it is long in a file.
type laid struct {
	inline []byte
	file   string // empty: it is inline
}

// lay reads a value, and writes it to a file if it is long.
func (s *Store) lay(value io.Reader) (l laid, err error) {
	head := make([]byte, maxInline+1)
	n, err := io.ReadFull(value, head)
	switch {
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF) && n <= maxInline:
		return laid{inline: head[:n]}, nil
	case err != nil:
		return l, err
	}
	l.file, err = s.draft(head[:n], value)
	return l, err
}

// insert writes an entry whose key is not there.
func insert(conn *sqlite.Conn, e Entry, l laid) error {
	var inline, file, metadata, expiration any
	if l.file != "" {
		file = l.file
	} else {
		inline = l.inline
	}
	if e.Metadata != nil {
		metadata = *e.Metadata
	}
	if e.Expiration != 0 {
		expiration = e.Expiration
	}
	return sqlitex.Execute(conn, `INSERT INTO entries (key, value, file, metadata, expiration) VALUES (?, ?, ?, ?, ?)`,
		&sqlitex.ExecOptions{Args: []any{e.Key, inline, file, metadata, expiration}})
}

// draft writes a long value to a file.
func (s *Store) draft(head []byte, rest io.Reader) (name string, err error) {
	d, err := s.shelf.Create()
	if err != nil {
		return "", err
	}
	if _, err = d.Write(head); err == nil {
		var n int64
		n, err = io.Copy(d, io.LimitReader(rest, MaxValue+1-int64(len(head))))
		if err == nil && n+int64(len(head)) > MaxValue {
			err = errTooLong
		}
	}
	if err != nil {
		d.Drop()
		return "", err
	}
	return d.Keep()
}

func (s *Store) purge(conn *sqlite.Conn, gone *[]string) error {
	return remove(conn, gone, `DELETE FROM entries WHERE key IN
		(SELECT key FROM entries WHERE expiration <= ? ORDER BY expiration LIMIT ?) RETURNING file`, s.now().Unix(), purged)
}

// remove runs a statement that returns the files that are not needed any more.
func remove(conn *sqlite.Conn, gone *[]string, query string, args ...any) error {
	return sqlitex.Execute(conn, query, &sqlitex.ExecOptions{Args: args, ResultFunc: func(st *sqlite.Stmt) error {
		if !st.ColumnIsNull(0) {
			*gone = append(*gone, st.ColumnText(0))
		}
		return nil
	}})
}

// Delete removes an entry, if there is one.
func (s *Store) Delete(ctx context.Context, key string) error {
	var gone []string
	err := s.shelf.Write(ctx, func(conn *sqlite.Conn) error {
		if err := s.purge(conn, &gone); err != nil {
			return err
		}
		return remove(conn, &gone, `DELETE FROM entries WHERE key = ? RETURNING file`, key)
	})
	if err == nil {
		s.shelf.Remove(gone...)
	}
	return err
}

// errStop ends a list that has enough.
var errStop = errors.New("enough")

// List returns entries without values whose keys begin with prefix and come
// after a key, in the order of their bytes. more says that there are others.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (list []Entry, more bool, err error) {
	now := s.now().Unix()
	err = s.shelf.Read(ctx, func(conn *sqlite.Conn) error {
		err := sqlitex.Execute(conn, `SELECT key, metadata, expiration FROM entries
			WHERE key >= ? AND key > ? AND (expiration IS NULL OR expiration > ?) ORDER BY key LIMIT ?`, &sqlitex.ExecOptions{
			Args: []any{prefix, after, now, min(limit, math.MaxInt32) + 1},
			ResultFunc: func(st *sqlite.Stmt) error {
				e := Entry{Key: st.ColumnText(0)}
				if !strings.HasPrefix(e.Key, prefix) {
					return errStop
				}
				if len(list) == limit {
					more = true
					return errStop
				}
				e.rest(st, 1)
				list = append(list, e)
				return nil
			},
		})
		if errors.Is(err, errStop) {
			err = nil
		}
		return err
	})
	return list, more, err
}

// cursorOf and keyOf are how a key travels as a cursor.
func cursorOf(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

func keyOf(cursor string) (string, bool) {
	if len(cursor) > base64.StdEncoding.EncodedLen(MaxKey) {
		return "", false
	}
	key, err := base64.StdEncoding.DecodeString(cursor)
	return string(key), err == nil
}
