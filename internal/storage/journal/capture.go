package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// Before pages of a database are written over, what they were goes into the
// journal: by a keeper's checkpoint, by the upkeep's, by recovery, by mending
// and by a restore. Then a database and the journal, together, say what the
// database was at any moment since the journal's first segment.

// before is the body of a beforeRecord: pages of a database file as they are
// before frames of its log are moved into it.
type before struct {
	pageSize int
	size     uint32 // of the file, in pages
	since    uint64 // no frame that is about to be moved lies in a batch before this one
	pages    []byte // each with its number before it
}

const (
	beforeHeaderSize = 16

	// captureBytes is how much one record takes: little, because commits wait
	// behind it.
	captureBytes = 256 << 10
)

func (b *before) header() []byte {
	h := make([]byte, 0, beforeHeaderSize+captureBytes+wal.MaxPageSize)
	h = binary.LittleEndian.AppendUint32(h, uint32(b.pageSize))
	h = binary.LittleEndian.AppendUint32(h, b.size)
	return binary.LittleEndian.AppendUint64(h, b.since)
}

func parseBefore(body []byte) (b before, err error) {
	if len(body) < beforeHeaderSize {
		return b, errRecord
	}
	b = before{
		pageSize: int(binary.LittleEndian.Uint32(body)),
		size:     binary.LittleEndian.Uint32(body[4:]),
		since:    binary.LittleEndian.Uint64(body[8:]),
		pages:    body[beforeHeaderSize:],
	}
	if b.pageSize < 512 || b.pageSize > wal.MaxPageSize || len(b.pages)%(4+b.pageSize) != 0 {
		return b, errRecord
	}
	return b, nil
}

// each calls f with the number of each page and where in the body it lies.
func (b *before) each(f func(number uint32, offset int64)) {
	for at := 0; at < len(b.pages); at += 4 + b.pageSize {
		f(binary.LittleEndian.Uint32(b.pages[at:]), int64(beforeHeaderSize+at+4))
	}
}

// capture reads pages of a database file and calls put with the bodies of
// records: those of numbers that the file has, and all from the given size on,
// which is what will be left of it. same, if not nil, says of a page that it
// will not change.
func (b before) capture(db disk.File, numbers []uint32, left uint32, same func(number uint32, page []byte) (bool, error), put func(body []byte) error) error {
	info, err := db.Stat()
	if err != nil {
		return err
	}
	b.size = uint32(info.Size / int64(b.pageSize))
	if b.size == 0 {
		return nil
	}
	body := b.header()
	page := make([]byte, b.pageSize)
	wrote := false
	flush := func() error {
		wrote = true
		err := put(body)
		body = b.header() // the note may hold the other one still
		return err
	}
	add := func(number uint32) error {
		n, err := db.ReadAt(page, int64(number-1)*int64(b.pageSize))
		if err != nil && err != io.EOF {
			return err
		}
		clear(page[n:])
		if same != nil {
			if equal, err := same(number, page); err != nil || equal {
				return err
			}
		}
		body = binary.LittleEndian.AppendUint32(body, number)
		body = append(body, page...)
		if len(body) >= captureBytes {
			return flush()
		}
		return nil
	}
	for _, number := range numbers {
		if number <= b.size && (left == 0 || number <= left) {
			if err := add(number); err != nil {
				return err
			}
		}
	}
	if left > 0 {
		same = nil
		for number := left + 1; number <= b.size; number++ {
			if err := add(number); err != nil {
				return err
			}
		}
	}
	if len(body) > beforeHeaderSize || !wrote {
		return flush() // also without a page: the size is news
	}
	return nil
}

// captures are checkpoints that wait for what was before to be written down. One
// goroutine does it, as long as there are some.
type captures struct {
	wait sync.WaitGroup

	// Guarded by Engine.mu.
	queue   []capture
	running bool
}

type capture struct {
	key   dormouse.Key
	mark  storage.Bookmark
	ready storage.Done
}

// captureFirst is called with the answer to a checkpoint's request, and answers
// when what the keeper will write over is in the journal.
func (e *Engine) captureFirst(key dormouse.Key, mark storage.Bookmark, ready storage.Done) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.past.captures
	c.queue = append(c.queue, capture{key, mark, ready})
	if !c.running {
		c.running = true
		c.wait.Go(e.captureAll)
	}
}

func (e *Engine) captureAll() {
	for {
		e.mu.Lock()
		c := &e.past.captures
		if len(c.queue) == 0 {
			c.running = false
			e.calm.Broadcast()
			e.mu.Unlock()
			return
		}
		next := c.queue[0]
		c.queue = c.queue[1:]
		o := e.objects[next.key]
		var t tail
		if o == nil || o.snapshot == nil {
			o = nil // its keeper is gone
		} else {
			t = *o.snapshot
		}
		e.mu.Unlock()
		if o == nil {
			next.ready(storage.Bookmark{}, fmt.Errorf("object %s: %w", next.key, storage.ErrNotOpen))
			continue
		}
		err := e.captureTail(o, t)
		if err != nil {
			next.mark = storage.Bookmark{}
		}
		next.ready(next.mark, err)
	}
}

// captureTail writes down what the frames of a log up to t will write over.
func (e *Engine) captureTail(o *object, t tail) error {
	q := puts{e: e}
	return errors.Join(e.captureInto(&q, o, t), q.wait())
}

// captureRest writes down what folding the logs of objects will write over. It
// returns the errors of those of which it could not.
func (e *Engine) captureRest(objects []*object) map[*object]error {
	failed := make(map[*object]error)
	q := puts{e: e}
	for _, o := range objects {
		e.mu.Lock()
		kept := o.kept
		e.mu.Unlock()
		if err := e.captureInto(&q, o, kept); err != nil {
			failed[o] = err
		}
	}
	if err := q.wait(); err != nil {
		for _, o := range objects {
			failed[o] = err
		}
	}
	return failed
}

// puts are notes that are waited for together, when there are many bytes of them
// or at the end.
type puts struct {
	e     *Engine
	waits []func() error
	bytes int
	err   error
}

const putsBytes = 4 << 20

func (q *puts) put(n note) error {
	q.e.mu.Lock()
	wait := q.e.putLocked([]note{n})
	q.e.mu.Unlock()
	q.waits = append(q.waits, wait)
	if q.bytes += len(n.body); q.bytes < putsBytes {
		return nil
	}
	return q.wait()
}

func (q *puts) wait() error {
	for _, wait := range q.waits {
		if err := wait(); err != nil {
			q.err = err
		}
	}
	q.waits, q.bytes = nil, 0
	return q.err
}

func (e *Engine) captureInto(q *puts, o *object, t tail) error {
	if e.past.off || t.frames() == 0 {
		return nil
	}
	e.mu.Lock()
	from := 0
	if o.synced.generation == t.generation {
		from = o.synced.frames
	}
	since := e.sinceLocked(o)
	e.mu.Unlock()
	if from >= t.frames() {
		return nil
	}
	pages, size, err := e.readPages(o, t, from)
	if err == nil && len(pages) > 0 {
		b := before{pageSize: t.header.PageSize(), since: since}
		err = e.capturePages(q, o, b, slices.Sorted(maps.Keys(pages)), size, nil)
	}
	if err != nil {
		err = fmt.Errorf("object %s: history: %w", o.key, err)
	}
	return err
}

// sinceLocked returns the first batch that may hold a frame of the object which
// is not in its database.
func (e *Engine) sinceLocked(o *object) uint64 {
	if len(o.needs) == 0 {
		return e.next
	}
	return e.log.firstOf(o.needs[0].segment)
}

// capturePages writes pages of a database file into the journal.
func (e *Engine) capturePages(q *puts, o *object, b before, numbers []uint32, left uint32, same func(uint32, []byte) (bool, error)) error {
	err := e.withDatabase(o, openRead, func(db disk.File) error {
		return b.capture(db, numbers, left, same, func(body []byte) error {
			return q.put(note{kind: beforeRecord, key: o.key, body: body})
		})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
