package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Adopted is an entry that comes from elsewhere.
type Adopted struct {
	Key        string
	Metadata   *string // JSON; nil: none
	Expiration int64   // seconds since 1970; 0: never
	Size       int64
	Open       func() (io.ReadCloser, error) // its value
}

// Check says why there can be no such entry; nil: there can.
func (a *Adopted) Check() error {
	if err := checkKey(a.Key); err != nil {
		return err
	}
	switch {
	case a.Size > MaxValue:
		return fmt.Errorf("the value has %d bytes, and %d is the most", a.Size, MaxValue)
	case a.Metadata != nil && len(*a.Metadata) > MaxMetadata:
		return fmt.Errorf("the metadata has %d bytes, and %d is the most", len(*a.Metadata), MaxMetadata)
	case a.Metadata != nil && !json.Valid([]byte(*a.Metadata)):
		return errors.New("the metadata is not JSON")
	case a.Expiration < 0:
		return errors.New("it goes before 1970")
	}
	return nil
}

// Adopt writes the entries that all gives to take, which are none of those that
// are there: all of them, as one transaction, or none. Other writes wait
// meanwhile.
func (s *Store) Adopt(ctx context.Context, all func(take func(Adopted) error) error) error {
	var made, gone []string
	err := s.shelf.Write(ctx, func(conn *sqlite.Conn) error {
		return all(func(a Adopted) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.adopt(conn, a, &made, &gone); err != nil {
				return fmt.Errorf("take key %q: %w", a.Key, err)
			}
			return nil
		})
	})
	if err != nil {
		s.shelf.Remove(made...)
		return err
	}
	s.shelf.Remove(gone...)
	return nil
}

// adopt writes one entry. made and gone are files that are not needed if the
// transaction fails, and if it does not.
func (s *Store) adopt(conn *sqlite.Conn, a Adopted, made, gone *[]string) error {
	if err := a.Check(); err != nil {
		return err
	}
	switch there, err := s.holds(conn, a.Key); {
	case err != nil:
		return err
	case there:
		return errThere
	}
	// What stands under the key has expired.
	if err := remove(conn, gone, `DELETE FROM entries WHERE key = ? RETURNING file`, a.Key); err != nil {
		return err
	}
	value, err := a.Open()
	if err != nil {
		return err
	}
	defer value.Close()
	l, err := s.lay(value)
	if err != nil {
		return err
	}
	if l.file != "" {
		*made = append(*made, l.file)
	}
	return insert(conn, Entry{Key: a.Key, Metadata: a.Metadata, Expiration: a.Expiration}, l)
}

var errThere = errors.New("it is there already")

// Holds says whether there is an entry with this key.
func (s *Store) Holds(ctx context.Context, key string) (there bool, err error) {
	err = s.shelf.Read(ctx, func(conn *sqlite.Conn) error {
		there, err = s.holds(conn, key)
		return err
	})
	return there, err
}

func (s *Store) holds(conn *sqlite.Conn, key string) (there bool, err error) {
	err = sqlitex.Execute(conn, `SELECT 1 FROM entries WHERE key = ? AND (expiration IS NULL OR expiration > ?)`, &sqlitex.ExecOptions{
		Args:       []any{key, s.now().Unix()},
		ResultFunc: func(*sqlite.Stmt) error { there = true; return nil },
	})
	return there, err
}
