package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// orders are restores that take effect when their objects next begin. They are
// in a file that is replaced as a whole with each of them.
type orders struct {
	pending map[dormouse.Key]storage.Bookmark // guarded by Engine.mu
}

const (
	ordersName   = "restores"
	ordersMagic  = "DORMREST"
	ordersHeader = 16
	markSize     = 12

	// maxOrders bounds the restores that wait.
	maxOrders = 1 << 16
)

func appendMark(b []byte, m storage.Bookmark) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.Batch)
	return binary.LittleEndian.AppendUint32(b, m.Record)
}

func parseMark(b []byte) (storage.Bookmark, error) {
	if len(b) != markSize {
		return storage.Bookmark{}, errRecord
	}
	return storage.Bookmark{Batch: binary.LittleEndian.Uint64(b), Record: binary.LittleEndian.Uint32(b[8:])}, nil
}

var errOrders = errors.New("file of restores that wait is damaged; remove it, and order them anew")

func (o *orders) load(fsys disk.FS, dir string) error {
	o.pending = make(map[dormouse.Key]storage.Bookmark)
	name := filepath.Join(dir, ordersName)
	f, err := fsys.Open(name, openRead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size < ordersHeader+4 || info.Size > maxOrders*(recordHeaderSize+storage.MaxNamespace+markSize)+64 {
		return fmt.Errorf("%s: %w", name, errOrders)
	}
	b := make([]byte, info.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size), b); err != nil {
		return err
	}
	if err := o.parse(b); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (o *orders) parse(b []byte) error {
	end := len(b) - 4
	if string(b[:8]) != ordersMagic || crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return errOrders
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > formatVersion {
		return fmt.Errorf("format %d: %w", v, storage.ErrNewerFormat)
	}
	for rest := b[ordersHeader:end]; len(rest) > 0; {
		r, after, err := parseRecord(rest)
		if err != nil || r.kind != restoredRecord {
			return errOrders
		}
		mark, err := parseMark(r.body)
		if err != nil {
			return errOrders
		}
		o.pending[r.key] = mark
		rest = after
	}
	return nil
}

// change changes the orders, durably. It is called on the upkeep's goroutine.
func (e *Engine) changeOrders(change func(map[dormouse.Key]storage.Bookmark)) error {
	e.mu.Lock()
	pending := make(map[dormouse.Key]storage.Bookmark, len(e.past.orders.pending)+1)
	for k, m := range e.past.orders.pending {
		pending[k] = m
	}
	e.mu.Unlock()
	change(pending)
	if len(pending) > maxOrders {
		return storage.ErrOverloaded
	}
	b := append(make([]byte, 0, 256), ordersMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	for k, m := range pending {
		b = appendMark(appendRecord(b, restoredRecord, k, markSize), m)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := disk.Replace(e.fs, filepath.Join(e.dir, ordersName), b); err != nil {
		return fmt.Errorf("write the restores that wait: %w", err)
	}
	e.mu.Lock()
	e.past.orders.pending = pending
	e.mu.Unlock()
	return nil
}

// OrderRestore has an object put back to what it was at a bookmark when it next
// begins: see Restore. The bookmark that done hears names the state that it will
// have just before.
func (e *Engine) OrderRestore(key dormouse.Key, at storage.Bookmark, done storage.Done) error {
	if err := storage.CheckNamespace(key.Namespace); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobLocked(func() {
		undo, err := e.order(key, at)
		done(undo, err)
	}, func() {})
}

func (e *Engine) order(key dormouse.Key, at storage.Bookmark) (storage.Bookmark, error) {
	if err := e.inSpan(at); err != nil {
		return storage.Bookmark{}, err
	}
	e.mu.Lock()
	now := e.mark
	e.mu.Unlock()
	err := e.changeOrders(func(p map[dormouse.Key]storage.Bookmark) { p[key] = at })
	if err != nil {
		return storage.Bookmark{}, err
	}
	return now.BeforeNextRestore(), nil
}

// inSpan says whether a bookmark may be reachable, without reading history.
func (e *Engine) inSpan(at storage.Bookmark) error {
	if e.past.off {
		return storage.ErrNoPast
	}
	err := e.rlockPast()
	defer e.past.mu.RUnlock()
	if err != nil {
		return err
	}
	r, err := e.openPast()
	if err != nil {
		return err
	}
	if plain, _ := at.NextRestore(); plain.Batch > r.upto {
		return storage.ErrNotYet
	}
	for _, s := range r.segments {
		if s.err == nil {
			r.first, r.from = s.header.first, s.header.created
			break
		}
	}
	return r.reachable(at)
}

// Ordered says whether an object is to be restored before it begins.
func (e *Engine) Ordered(key dormouse.Key) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.past.orders.pending[key]
	return ok
}

// moveOrders gives the orders of a namespace to another one.
func (e *Engine) moveOrders(from, to dormouse.Namespace) error {
	some := false
	e.mu.Lock()
	for k := range e.past.orders.pending {
		some = some || k.Namespace == from
	}
	e.mu.Unlock()
	if !some {
		return nil
	}
	return e.changeOrders(func(p map[dormouse.Key]storage.Bookmark) {
		for k, m := range p {
			if k.Namespace == from {
				delete(p, k)
				p[dormouse.Key{Namespace: to, ID: k.ID}] = m
			}
		}
	})
}
