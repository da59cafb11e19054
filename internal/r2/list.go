package r2

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// listing is a question for a list.
type listing struct {
	Limit      *float64 `json:"limit"`
	Prefix     string   `json:"prefix"`
	Cursor     string   `json:"cursor"`
	Delimiter  string   `json:"delimiter"`
	StartAfter *string  `json:"startAfter"`
	HTTP       bool     `json:"http"` // with this metadata
	Custom     bool     `json:"custom"`
}

// listed is the answer.
type listed struct {
	Objects   []*Object `json:"objects"`
	Truncated bool      `json:"truncated"`
	Cursor    string    `json:"cursor,omitempty"`
	Prefixes  []string  `json:"delimitedPrefixes"`
}

// A cursor names the smallest key, or more than that, with which the list goes
// on: no key begins with a byte above 0xf4, so what follows a group of keys can
// be named too.
const maxCursor = MaxKey + 8

func cursorOf(from string) string { return base64.RawURLEncoding.EncodeToString([]byte(from)) }

func (q *listing) from() (string, error) {
	from := q.Prefix
	if q.StartAfter != nil {
		from = max(from, *q.StartAfter+"\x00")
	}
	if q.Cursor != "" {
		b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
		if err != nil || len(b) > maxCursor {
			return "", errCursor
		}
		from = max(from, string(b))
	}
	return from, nil
}

// after is the smallest text that comes after all that begin with a prefix.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return "\xff"
}

// errStop ends a query that has enough.
var errStop = errors.New("enough")

// List returns objects in the order of their keys' bytes. With a delimiter, keys
// that go on after it are told as one prefix.
func (b *Bucket) List(ctx context.Context, q listing) (*listed, error) {
	limit := MaxList
	if q.Limit != nil {
		if limit = int(bounded(*q.Limit)); limit < 1 || limit > MaxList {
			return nil, errMaxKeys
		}
	}
	if q.HTTP || q.Custom {
		limit = min(limit, maxIncluded)
	}
	if len(q.Prefix) > MaxKey || len(q.Delimiter) > MaxKey || q.StartAfter != nil && len(*q.StartAfter) > MaxKey {
		return nil, errName
	}
	from, err := q.from()
	if err != nil {
		return nil, err
	}
	answer := &listed{Objects: []*Object{}, Prefixes: []string{}}
	err = b.shelf.Read(ctx, func(conn *sqlite.Conn) error {
		for again := true; again; {
			if again, err = q.step(conn, &from, limit, answer); err != nil {
				return err
			}
		}
		return nil
	})
	if answer.Truncated {
		answer.Cursor = cursorOf(from)
	}
	return answer, err
}

// step lists from a key on: to the end, or to the first key of a group, behind
// which the next one begins.
func (q *listing) step(conn *sqlite.Conn, from *string, limit int, answer *listed) (again bool, err error) {
	err = sqlitex.Execute(conn, `SELECT `+columns+` FROM objects WHERE key >= ? ORDER BY key LIMIT ?`, &sqlitex.ExecOptions{
		Args: []any{*from, limit + 1},
		ResultFunc: func(st *sqlite.Stmt) error {
			o, _ := read(st)
			rest, ok := strings.CutPrefix(o.Key, q.Prefix)
			if !ok {
				return errStop
			}
			if len(answer.Objects)+len(answer.Prefixes) == limit {
				answer.Truncated = true
				return errStop
			}
			if head, _, found := strings.Cut(rest, q.Delimiter); found && q.Delimiter != "" {
				group := q.Prefix + head + q.Delimiter
				answer.Prefixes = append(answer.Prefixes, group)
				*from, again = after(group), true
				return errStop
			}
			if !q.HTTP {
				o.HTTP = json.RawMessage("{}")
			}
			if !q.Custom {
				o.Custom = json.RawMessage("{}")
			}
			answer.Objects = append(answer.Objects, o)
			*from = o.Key + "\x00"
			return nil
		},
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return again, err
}
