package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"path/filepath"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// wakes is when objects have to be woken, as the journal and the file beside it
// say. Guarded by Engine.mu.
type wakes struct {
	// Divided by a byte of the id, so that writing them all down never holds
	// the lock for long.
	shards [64]map[dormouse.Key]wake

	changed []dormouse.Key // since they were last put into a batch; some more than once
	since   uint64         // the first segment that may say more than the file; 0: none
	latest  uint64         // the last one
}

type wake struct {
	storage.Wake
	changed bool // is in wakes.changed
}

func (w *wakes) shard(key dormouse.Key) *map[dormouse.Key]wake {
	s := &w.shards[int(key.ID[0])%len(w.shards)]
	if *s == nil {
		*s = make(map[dormouse.Key]wake)
	}
	return s
}

// set notes a new time, which the next batch will contain.
func (w *wakes) set(key dormouse.Key, to storage.Wake) {
	s := *w.shard(key)
	old, known := s[key]
	if !known && to.At.IsZero() || known && old.At.Equal(to.At) && old.Retry == to.Retry {
		return
	}
	if !old.changed {
		w.changed = append(w.changed, key)
	}
	s[key] = wake{to, true}
}

// again says that the batch with the key's time was refused.
func (w *wakes) again(key dormouse.Key) {
	s := *w.shard(key)
	if x := s[key]; !x.changed {
		x.changed = true
		s[key] = x
		w.changed = append(w.changed, key)
	}
}

// take returns the time that is to be put into a batch, if there is one.
func (w *wakes) take(key dormouse.Key) (storage.Wake, bool) {
	s := *w.shard(key)
	x := s[key]
	if !x.changed {
		return storage.Wake{}, false
	}
	if x.At.IsZero() {
		delete(s, key)
	} else {
		s[key] = wake{Wake: x.Wake}
	}
	return x.Wake, true
}

// load takes what the journal says at the start.
func (w *wakes) load(key dormouse.Key, to storage.Wake) {
	if to.At.IsZero() {
		delete(*w.shard(key), key)
	} else {
		(*w.shard(key))[key] = wake{Wake: to}
	}
}

// move gives the times of a namespace to another one.
func (w *wakes) move(from, to dormouse.Namespace) {
	for i := range w.shards {
		for key, x := range w.shards[i] {
			if key.Namespace == from {
				delete(w.shards[i], key)
				w.shards[i][dormouse.Key{Namespace: to, ID: key.ID}] = x
			}
		}
	}
	for i := range w.changed {
		if w.changed[i].Namespace == from {
			w.changed[i].Namespace = to
		}
	}
}

// Wakes yields when objects have to be woken.
func (e *Engine) Wakes() iter.Seq2[dormouse.Key, storage.Wake] {
	return func(yield func(dormouse.Key, storage.Wake) bool) {
		type pair struct {
			key  dormouse.Key
			wake storage.Wake
		}
		var pairs []pair
		for i := range e.wakes.shards {
			e.mu.Lock()
			pairs = pairs[:0]
			for key, x := range e.wakes.shards[i] {
				if !x.At.IsZero() {
					pairs = append(pairs, pair{key, x.Wake})
				}
			}
			e.mu.Unlock()
			for _, p := range pairs {
				if !yield(p.key, p.wake) {
					return
				}
			}
		}
	}
}

// The file of wakes: a header, then records as in a batch, then a checksum over
// everything.
const (
	wakesName       = "wakes"
	wakesMagic      = "DORMWAKE"
	wakesHeaderSize = 32
	maxWakesFile    = 8 << 30
)

// writeWakes writes all times down, so that the segments before the given one,
// which is the newest, are not needed for them.
func (e *Engine) writeWakes(from uint64) error {
	b := make([]byte, wakesHeaderSize, 64<<10)
	count := 0
	for key, w := range e.Wakes() {
		b = appendWake(b, key, w)
		count++
	}
	copy(b, wakesMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint64(b[16:], from)
	binary.LittleEndian.PutUint64(b[24:], uint64(count))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))

	if err := disk.Replace(e.fs, filepath.Join(e.dir, wakesName), b); err != nil {
		return fmt.Errorf("write the alarms: %w", err)
	}
	e.mu.Lock()
	e.wakes.since = 0
	if e.wakes.latest >= from {
		e.wakes.since = from
	}
	e.mu.Unlock()
	return nil
}

// readWakes reads the file of wakes. What segments from the given one on say
// comes on top.
func readWakes(fsys disk.FS, dir string, load func(dormouse.Key, storage.Wake)) (from uint64, err error) {
	name := filepath.Join(dir, wakesName)
	f, err := fsys.Open(name, openRead)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size > maxWakesFile {
		return 0, fmt.Errorf("%s: %w", name, errWakes)
	}
	b := make([]byte, info.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size), b); err != nil {
		return 0, err
	}
	from, err = parseWakes(b, load)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return from, nil
}

var errWakes = errors.New("file of alarms is damaged; remove it if there is no backup: an alarm is then found when its object next wakes")

func parseWakes(b []byte, load func(dormouse.Key, storage.Wake)) (from uint64, err error) {
	if len(b) < wakesHeaderSize+4 || string(b[:8]) != wakesMagic {
		return 0, errWakes
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > formatVersion {
		return 0, fmt.Errorf("format %d: %w", v, storage.ErrNewerFormat)
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return 0, errWakes
	}
	from = binary.LittleEndian.Uint64(b[16:])
	for rest := b[wakesHeaderSize:end]; len(rest) > 0; {
		r, after, err := parseRecord(rest)
		if err != nil {
			return 0, errWakes
		}
		w, err := parseWake(r.body)
		if err != nil || r.kind != wakeRecord {
			return 0, errWakes
		}
		load(r.key, w)
		rest = after
	}
	return from, nil
}
