package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// past is the history of a data folder: segments that recovery needs no more,
// in a folder of their own, as long as the budgets allow. With the segments that
// are still needed they say how to go back from the databases as they are; see
// image. Nothing of it is needed for what is live: it may be removed or damaged
// at any time.
type past struct {
	// Set once.
	fs    disk.FS
	dir   string
	off   bool
	keep  time.Duration
	bytes int64

	// Held for reading while segments are read, live ones too: none of them is
	// moved, removed or used again meanwhile. Taken before segments.mu.
	mu     sync.RWMutex
	loaded bool
	kept   []keptSegment // the oldest first

	orders   orders
	captures captures
}

// keptSegment is a segment of the past.
type keptSegment struct {
	number  uint64
	size    int64
	first   uint64 // number of its first batch
	created time.Time
}

const (
	pastName = "history"

	// maxKept bounds the segments of the past: each start of a process makes one.
	maxKept = 4096

	pruneEvery = time.Hour
)

func (e *Engine) startPast() error {
	p := &e.past
	p.fs, p.dir = e.fs, filepath.Join(e.dir, pastName)
	p.keep, p.bytes = e.opts.KeepFor, e.opts.KeepBytes
	p.off = e.opts.KeepBytes == NoHistory
	if err := p.fs.MkdirAll(p.dir); err != nil {
		return err
	}
	if p.off { // what is there does not lead to what will be
		if err := p.removeAll(); err != nil {
			return err
		}
	}
	return p.orders.load(e.fs, e.dir)
}

func (p *past) name(number uint64) string {
	return filepath.Join(p.dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

// newest returns the highest number in the folder; 0: it is empty.
func (p *past) newest() (uint64, error) {
	names, err := p.fs.ReadDir(p.dir)
	highest := uint64(0)
	for _, name := range names {
		if n, ok := parseSegmentName(name); ok {
			highest = max(highest, n)
		}
	}
	return highest, err
}

// loadLocked finds out what there is, when it is first asked for: a start looks
// at none of it. A file that cannot be read is left to the budget of bytes.
func (p *past) loadLocked() error {
	if p.loaded {
		return nil
	}
	names, err := p.fs.ReadDir(p.dir)
	if err != nil {
		return err
	}
	known := make(map[uint64]bool)
	for _, k := range p.kept {
		known[k.number] = true
	}
	for _, name := range names {
		number, ok := parseSegmentName(name)
		if !ok || known[number] {
			continue
		}
		k, err := p.look(p.name(number), number)
		if err != nil && !errors.Is(err, errUnused) {
			return err
		}
		p.kept = append(p.kept, k)
	}
	slices.SortFunc(p.kept, func(a, b keptSegment) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	p.loaded = true
	return nil
}

// look reads the header of a segment.
func (p *past) look(name string, number uint64) (keptSegment, error) {
	k := keptSegment{number: number}
	f, err := p.fs.Open(name, openRead)
	if err != nil {
		return k, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return k, err
	}
	k.size = info.Size
	h, err := headerOf(f)
	if err == nil && h.number != number {
		err = errUnused
	}
	if err == nil && h.plain {
		err = errUnused
	}
	if err == nil {
		k.first, k.created = h.first, h.created
	}
	return k, err
}

// takeLocked makes a segment that recovery needs no more a part of the past.
// false: it is nobody's, and can be used again or removed.
func (p *past) takeLocked(name string, number uint64) bool {
	if p.off {
		return false
	}
	k, err := p.look(name, number)
	if err != nil {
		return false
	}
	end, err := p.end(name, number)
	if err != nil || end == blockSize {
		return false // it holds nothing
	}
	if k.size-end > k.size/8 {
		k.size = end
		f, err := p.fs.Open(name, openWrite)
		if err == nil {
			err = errors.Join(f.Truncate(end), f.Close())
		}
		if err != nil {
			return false
		}
	}
	if p.fs.Rename(name, p.name(number)) != nil {
		return false
	}
	p.kept = append(p.kept, k)
	return true
}

// end finds where the last batch of a segment ends. It only looks at headers.
func (p *past) end(name string, number uint64) (int64, error) {
	f, err := p.fs.Open(name, openRead)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	at := int64(blockSize)
	return at, eachHeader(f, number, func(_ batchHeader, offset, size int64) bool {
		at = offset + size
		return true
	})
}

// prune keeps the budgets, from the oldest segment on. spare is given what may
// be used again.
func (p *past) prune(now time.Time, spare func(name string)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return nil
	}
	if err := p.loadLocked(); err != nil {
		return fmt.Errorf("history of the journal: %w", err)
	}
	total := int64(0)
	for _, k := range p.kept {
		total += k.size
	}
	n := 0
	for n < len(p.kept) && (total > p.bytes || len(p.kept)-n > maxKept || p.pastKeep(n, now)) {
		total -= p.kept[n].size
		spare(p.name(p.kept[n].number))
		n++
	}
	p.kept = slices.Delete(p.kept, 0, n)
	return nil
}

// pastKeep says whether everything in the n-th segment is older than what is
// kept: the one behind it was begun long ago too.
func (p *past) pastKeep(n int, now time.Time) bool {
	return n+1 < len(p.kept) && !p.kept[n+1].created.IsZero() && now.Sub(p.kept[n+1].created) > p.keep
}

// prunePast keeps the budgets. It is called by the upkeep.
func (e *Engine) prunePast() {
	p := &e.past
	err := p.prune(time.Now(), e.log.reuse)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	// What cannot be listed or removed now is tried again with the next segment;
	// the live journal is not concerned.
	if e.opts.PastFailed != nil {
		e.opts.PastFailed(err)
	}
}

// cut removes segments from the live journal.
func (e *Engine) cut(oldest uint64) {
	e.past.mu.Lock()
	defer e.past.mu.Unlock()
	e.log.cut(oldest)
}
