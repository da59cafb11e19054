package journal

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// CopyAt makes a copy of an object's database as it was at a bookmark. The
// object may be open.
func (e *Engine) CopyAt(key dormouse.Key, at storage.Bookmark, to string) error {
	if err := e.copyAt(key, at, to); err != nil {
		return fmt.Errorf("object %s as of a bookmark: %w", key, err)
	}
	if e.opts.CheckImage != nil {
		if err := e.opts.CheckImage(to); err != nil {
			removeAll(e.fs, to)
			return fmt.Errorf("object %s as of a bookmark: %w: %w", key, storage.ErrNotWhole, err)
		}
	}
	return nil
}

// Points returns the last moments of an object's history, the oldest first, and
// what is kept of history.
func (e *Engine) Points(key dormouse.Key, limit int) ([]storage.Point, storage.Span, error) {
	if e.past.off {
		return nil, storage.Span{}, storage.ErrNoPast
	}
	err := e.rlockPast()
	defer e.past.mu.RUnlock()
	if err != nil {
		return nil, storage.Span{}, err
	}
	r, err := e.openPast()
	if err != nil {
		return nil, storage.Span{}, err
	}
	v := &pointVisitor{id: key.ID, limit: limit}
	v.restart()
	if err := r.read(v); err != nil {
		return nil, storage.Span{}, err
	}
	return v.last[key.Namespace].list(limit), e.past.span(r), nil
}

// span says what r has found.
func (p *past) span(r *pastReader) storage.Span {
	s := storage.Span{Since: r.from, Segments: len(p.kept), Damage: r.damage}
	for _, k := range p.kept {
		s.Bytes += k.size
	}
	return s
}

type pointVisitor struct {
	id    dormouse.ID
	limit int
	last  map[dormouse.Namespace]*points
}

// points are the last of some.
type points struct {
	points []storage.Point
	pages  int // of a transaction that goes on
}

func (p *points) list(limit int) []storage.Point {
	if p == nil {
		return nil
	}
	return p.points[max(0, len(p.points)-limit):]
}

func (v *pointVisitor) restart() { v.last = make(map[dormouse.Namespace]*points) }

func (v *pointVisitor) take(r pastRecord) error {
	if r.kind == movedRecord {
		from, to := r.key.Namespace, dormouse.Namespace(r.body)
		if p := v.last[from]; p != nil {
			delete(v.last, from)
			v.last[to] = p
		}
		return nil
	}
	if r.key.ID != v.id {
		return nil
	}
	p := v.last[r.key.Namespace]
	if p == nil {
		p = new(points)
		v.last[r.key.Namespace] = p
	}
	point := storage.Point{At: r.at, Time: r.written}
	switch r.kind {
	case baseRecord:
		point.What = storage.Created
	case deletedRecord:
		point.What = storage.Removed
	case restoredRecord:
		point.What = storage.Restored
	case framesRecord:
		h, _, frames, err := r.frames()
		if err != nil {
			return err
		}
		committed := false
		for size := h.FrameSize(); len(frames) > 0; frames = frames[size:] {
			p.pages++
			committed = committed || wal.Raw(frames[:size]).Commit != 0
		}
		if !committed {
			return nil
		}
		point.What, point.Pages = storage.Committed, p.pages
		p.pages = 0
	default:
		return nil
	}
	if len(p.points) >= 2*v.limit {
		p.points = append(p.points[:0], p.points[len(p.points)-v.limit:]...)
	}
	p.points = append(p.points, point)
	return nil
}

// Mark returns the bookmark of all that has been confirmed.
func (e *Engine) Mark() storage.Bookmark {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mark
}

// BookmarkOf is BookmarkAt for who cannot wait.
func (e *Engine) BookmarkOf(t time.Time, done storage.Done) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobLocked(func() {
		mark, err := e.BookmarkAt(t)
		done(mark, err)
	}, func() {})
}

// BookmarkAt returns the bookmark of the state that everything had at a time, as
// clocks said it then.
func (e *Engine) BookmarkAt(t time.Time) (storage.Bookmark, error) {
	if e.past.off {
		return storage.Bookmark{}, storage.ErrNoPast
	}
	err := e.rlockPast()
	defer e.past.mu.RUnlock()
	if err != nil {
		return storage.Bookmark{}, err
	}
	r, err := e.openPast()
	if err != nil {
		return storage.Bookmark{}, err
	}
	e.mu.Lock()
	now := e.mark
	e.mu.Unlock()
	found := -1
	for i, s := range r.segments {
		if s.err == nil && !s.header.created.After(t) {
			found = i
		}
	}
	if found < 0 {
		for _, s := range r.segments {
			if s.err == nil {
				return storage.Bookmark{}, fmt.Errorf("%w: it begins %s", storage.ErrTooOld, s.header.created.UTC().Format(time.RFC3339))
			}
		}
		return storage.Bookmark{}, storage.ErrTooOld
	}
	s := r.segments[found]
	mark := storage.Bookmark{Batch: s.header.first - 1, Record: storage.EndOfBatch}
	f, err := e.fs.Open(s.path, openRead)
	if err != nil {
		return storage.Bookmark{}, err
	}
	defer f.Close()
	err = eachHeader(f, s.number, func(h batchHeader, _, _ int64) bool {
		if h.written.After(t) || h.number > now.Batch {
			return false
		}
		mark = storage.Bookmark{Batch: h.number, Record: uint32(h.records)}
		return true
	})
	if mark.Compare(now) > 0 {
		mark = now
	}
	return mark, err
}

// restoredVisitor finds the first restore of an object after a bookmark.
type restoredVisitor struct {
	id    dormouse.ID
	after storage.Bookmark
	found map[dormouse.Namespace]storage.Bookmark
}

func (v *restoredVisitor) restart() { v.found = make(map[dormouse.Namespace]storage.Bookmark) }

func (v *restoredVisitor) take(r pastRecord) error {
	switch {
	case r.kind == movedRecord:
		if at, ok := v.found[r.key.Namespace]; ok {
			delete(v.found, r.key.Namespace)
			v.found[dormouse.Namespace(r.body)] = at
		}
	case r.kind == restoredRecord && r.key.ID == v.id && r.at.Compare(v.after) > 0:
		if _, ok := v.found[r.key.Namespace]; !ok {
			v.found[r.key.Namespace] = r.at
		}
	}
	return nil
}

// resolve returns the point that a bookmark names.
func (e *Engine) resolve(r *pastReader, key dormouse.Key, at storage.Bookmark) (storage.Bookmark, error) {
	plain, next := at.NextRestore()
	if !next {
		return at, nil
	}
	v := &restoredVisitor{id: key.ID, after: plain}
	v.restart()
	again := *r
	if err := again.read(v); err != nil {
		return at, err
	}
	if err := again.reachable(plain); err != nil {
		return at, err
	}
	if found, ok := v.found[key.Namespace]; ok {
		return found, nil
	}
	return storage.Bookmark{Batch: r.upto, Record: storage.EndOfBatch}, nil // it has not been restored since
}
