package sqlitestore

import "github.com/dormouse-dev/dormouse/internal/author"

// Query implements author.Storage. It runs up to the first row; what writes runs
// to its end, so that no commit finds it half-way.
func (s *Store) Query(query string, args []any) (author.Rows, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	r, err := s.query(query, args)
	if err != nil {
		return nil, s.check(err)
	}
	return r, nil
}

func (s *Store) query(text string, args []any) (*rows, error) {
	for {
		h, q, rest, err := s.compile(text)
		switch {
		case err != nil:
			return nil, err
		case q == nil:
			return nil, errNoStatement
		case nothing(rest):
			return s.last(h, q, args)
		case q.BindParamCount() > 0:
			h.put(q)
			return nil, errParameters
		}
		_, err = h.rest(q)
		h.put(q)
		if err != nil {
			return nil, err
		}
		text = rest
	}
}

// Prepare implements author.Storage. What it is about must be there already.
func (s *Store) Prepare(query string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	h, err := s.reading()
	if err != nil {
		return s.check(err)
	}
	q, rest, err := h.compile(query, false)
	switch {
	case err != nil:
		return s.check(err)
	case q == nil:
		return errNoStatement
	}
	h.put(q)
	if !nothing(rest) {
		return errSeveral
	}
	return nil
}

// compile compiles the first statement of a text for the database that it is
// about: one that writes makes the database, and is within the transaction.
func (s *Store) compile(text string) (*handle, *stmt, string, error) {
	h, err := s.reading()
	if err != nil {
		return nil, nil, "", err
	}
	q, rest, err := h.compile(text, false)
	if err != nil || q == nil || !q.effects.writes {
		return h, q, rest, err
	}
	if h == s.empty {
		h.put(q)
		if h, err = s.writing(); err != nil {
			return nil, nil, "", err
		}
		q, rest, err = h.compile(text, false)
		return h, q, rest, err
	}
	if _, err := s.writing(); err != nil {
		h.put(q)
		return nil, nil, "", err
	}
	return h, q, rest, nil
}

// last runs the last statement of a query.
func (s *Store) last(h *handle, q *stmt, args []any) (*rows, error) {
	if err := bind(q.Stmt, args); err != nil {
		h.put(q)
		return nil, err
	}
	if !q.effects.writes {
		r := s.open(h, q)
		if r.ahead, r.err = h.step(q); r.err != nil {
			err := r.err
			r.endLocked(err)
			return nil, err
		}
		r.stepped = true
		r.names = names(q.Stmt)
		return r, nil
	}
	defer h.put(q)
	all, err := h.rest(q)
	if err != nil {
		return nil, err
	}
	r := &rows{store: s, names: names(q.Stmt), kept: all, all: true, last: h.conn.LastInsertRowID()}
	if q.effects.changes {
		r.changes = int64(h.conn.Changes())
	}
	return r, nil
}

// rows are what a query returns: read from the database one by one, or all kept.
type rows struct {
	store *Store
	names []string

	// Of a query that has run to its end.
	all     bool
	kept    [][]any
	changes int64
	last    int64

	// Of one that runs. Guarded by Store.mu.
	handle  *handle
	stmt    *stmt // nil: it has ended
	err     error
	stepped bool // the first step has been taken, and
	ahead   bool // there is a row

	now []any
}

// open makes the rows of a query that runs.
func (s *Store) open(h *handle, q *stmt) *rows {
	r := &rows{store: s, handle: h, stmt: q, names: names(q.Stmt)}
	if s.rows == nil {
		s.rows = make(map[*rows]struct{})
	}
	s.rows[r] = struct{}{}
	return r
}

// endLocked ends a query that runs.
func (r *rows) endLocked(err error) {
	if r.stmt == nil {
		return
	}
	r.handle.put(r.stmt)
	r.stmt, r.err = nil, err
	delete(r.store.rows, r)
}

// Columns implements author.Rows.
func (r *rows) Columns() []string { return r.names }

// Next implements author.Rows.
func (r *rows) Next() (bool, error) {
	if r.all {
		if len(r.kept) == 0 {
			r.now = nil
			return false, nil
		}
		r.now, r.kept = r.kept[0], r.kept[1:]
		return true, nil
	}
	if err := r.store.enter(); err != nil {
		return false, err
	}
	defer r.store.leave()
	if r.stmt == nil {
		return false, r.err
	}
	more, err := r.ahead, error(nil)
	if !r.stepped {
		more, err = r.handle.step(r.stmt)
	}
	r.stepped = false
	if err != nil {
		r.endLocked(err)
		return false, r.store.check(err)
	}
	if !more {
		r.now = nil
		r.endLocked(nil)
		return false, nil
	}
	r.now = row(r.stmt.Stmt)
	return true, nil
}

// Value implements author.Rows.
func (r *rows) Value(i int) any { return r.now[i] }

// Close implements author.Rows.
func (r *rows) Close() error {
	if r.all {
		r.kept = nil
		return nil
	}
	if r.store.enter() != nil {
		return nil // the query has ended with the storage
	}
	defer r.store.leave()
	r.endLocked(nil)
	return nil
}

// Changes implements author.Rows.
func (r *rows) Changes() int64 { return r.changes }

// Last implements author.Rows.
func (r *rows) Last() int64 { return r.last }
