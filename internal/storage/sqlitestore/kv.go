package sqlitestore

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse/internal/author"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// maxPair bounds a key and its value together.
const maxPair = 2 << 20

const createKV = `CREATE TABLE IF NOT EXISTS _cf_KV (
        key TEXT PRIMARY KEY,
        value BLOB
      ) WITHOUT ROWID`

func checkKey(key string) error {
	if !utf8.ValidString(key) {
		return fmt.Errorf("the key %.40q is not valid UTF-8", key)
	}
	return nil
}

// kv returns the database if it has keys; nil: it has none.
func (s *Store) kv() (*handle, error) {
	h, err := s.reading()
	if err != nil {
		return nil, err
	}
	if there, err := s.table(h, &s.hasKV, "_cf_KV"); err != nil || !there {
		return nil, err
	}
	return h, nil
}

// Get implements author.Storage.
func (s *Store) Get(key string, into any) (bool, error) {
	value, ok, err := s.get(key)
	if err != nil || !ok {
		return false, err
	}
	if err := structuredclone.Unmarshal(value, into); err != nil {
		return false, fmt.Errorf("get %.80q: %w", key, err)
	}
	return true, nil
}

func (s *Store) get(key string) (value []byte, ok bool, err error) {
	if err := checkKey(key); err != nil {
		return nil, false, err
	}
	if err := s.enter(); err != nil {
		return nil, false, err
	}
	defer s.leave()
	h, err := s.kv()
	if err != nil || h == nil {
		return nil, false, err
	}
	rows, err := h.ask("SELECT value FROM _cf_KV WHERE key = ?", key)
	if err != nil || len(rows) == 0 {
		return nil, false, s.check(err)
	}
	value, _ = rows[0][0].([]byte)
	return value, true, nil
}

// Put implements author.Storage.
func (s *Store) Put(key string, value any) error {
	if err := checkKey(key); err != nil {
		return err
	}
	data, err := structuredclone.Marshal(value)
	if err != nil {
		return fmt.Errorf("put %.80q: %w", key, err)
	}
	if n := len(key) + len(data); n > maxPair {
		return fmt.Errorf("put %.80q: key and value may have %d bytes together, and have %d", key, maxPair, n)
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	h, err := s.writing()
	if err != nil {
		return err
	}
	there, err := s.table(h, &s.hasKV, "_cf_KV")
	if err != nil {
		return err
	}
	if !there {
		if _, err := h.ask(createKV); err != nil {
			return s.check(err)
		}
		s.hasKV = present
	}
	_, err = h.ask("INSERT INTO _cf_KV VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, data)
	return s.check(err)
}

// Delete implements author.Storage.
func (s *Store) Delete(keys []string) (int, error) {
	for _, k := range keys {
		if err := checkKey(k); err != nil {
			return 0, err
		}
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	if h, err := s.kv(); err != nil || h == nil || len(keys) == 0 {
		return 0, err
	}
	h, err := s.writing()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, k := range keys {
		if _, err := h.ask("DELETE FROM _cf_KV WHERE key = ?", k); err != nil {
			return n, s.check(err)
		}
		n += h.conn.Changes()
	}
	return n, nil
}

// List implements author.Storage.
func (s *Store) List(r author.Range, yield func(string, func(any) error) bool) error {
	text, args, err := listing(r)
	if err != nil || text == "" {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	h, err := s.kv()
	if err != nil || h == nil {
		s.leave()
		return err
	}
	q, err := s.begin(h, text, args)
	s.leave()
	if err != nil {
		return err
	}
	defer q.Close()
	for {
		more, err := q.Next()
		if err != nil || !more {
			return err
		}
		key, _ := q.Value(0).(string)
		value, _ := q.Value(1).([]byte)
		ok := yield(key, func(into any) error {
			if err := structuredclone.Unmarshal(value, into); err != nil {
				return fmt.Errorf("list %.80q: %w", key, err)
			}
			return nil
		})
		if !ok {
			return nil
		}
	}
}

// begin starts a query of our own. The lock is held.
func (s *Store) begin(h *handle, text string, args []any) (*rows, error) {
	q, _, err := h.compile(text, true)
	if err != nil {
		return nil, s.check(err)
	}
	if err := bind(q.Stmt, args); err != nil {
		h.put(q)
		return nil, err
	}
	return s.open(h, q), nil
}

// listing is the query for a range; empty: no key can be in it.
func listing(r author.Range) (text string, args []any, err error) {
	switch {
	case r.Start != "" && r.StartAfter != "":
		return "", nil, errors.New("list: Start and StartAfter cannot be given together")
	case r.Limit < 0:
		return "", nil, errors.New("list: Limit must not be negative")
	}
	low := r.Start
	if r.StartAfter != "" {
		low = r.StartAfter + "\x00" // the next key
	}
	high := r.End
	if r.Prefix != "" {
		low = max(low, r.Prefix)
		if behind := afterPrefix(r.Prefix); high == "" || high > behind {
			high = behind
		}
	}
	if high != "" && high <= low {
		return "", nil, nil
	}
	// Bounds may be bytes that are no text: as TEXT they compare by bytes.
	b := strings.Builder{}
	b.WriteString("SELECT key, value FROM _cf_KV WHERE key >= CAST(? AS TEXT)")
	args = []any{append([]byte{}, low...)}
	if high != "" {
		b.WriteString(" AND key < CAST(? AS TEXT)")
		args = append(args, []byte(high))
	}
	b.WriteString(" ORDER BY key")
	if r.Reverse {
		b.WriteString(" DESC")
	}
	if r.Limit > 0 {
		b.WriteString(" LIMIT ?")
		args = append(args, r.Limit)
	}
	return b.String(), args, nil
}

// afterPrefix is the first key behind all that begin with prefix. No byte of a
// text is 0xff, so the last one can be raised.
func afterPrefix(prefix string) string {
	b := []byte(prefix)
	b[len(b)-1]++
	return string(b)
}
