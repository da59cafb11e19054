// Package journal makes the commits of all objects of a data folder durable
// with one wait for the disk: it copies what they appended to their WALs into
// one append-only log and syncs that. It knows segments, batches and records,
// and how to bring databases back after a power cut; it never sees SQL, a guest
// or an output.
//
// Goroutines: two collect and write in turns (see run), one keeps house (see
// upkeep), and sometimes one prepares the next segment and fills it. docs/storage.md has the
// format and the promises.
package journal

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// Options say how an Engine works. The zero value is what a server uses.
type Options struct {
	Durability storage.Durability

	// SegmentBytes is the size of a full segment; the first ones of a data
	// folder are smaller. Default 64 MiB, at least 512 KiB.
	SegmentBytes int64

	// Budget is the size of the journal past which the objects that hold its
	// oldest part are checkpointed. Default 512 MiB, at least three segments.
	Budget int64

	// CheckpointBytes is the size of a WAL past which its object is
	// checkpointed. Default 4 MiB.
	CheckpointBytes int64

	// OpenFiles bounds the WALs that are kept open between commits. Default
	// 512.
	OpenFiles int

	// RestDelay is how long a released object may be opened again before its
	// files are put in order. Default 5 s.
	RestDelay time.Duration

	// KeepFor and KeepBytes are the budgets of history: segments that recovery
	// needs no more are kept so long, and so many bytes of them. Default 30 days
	// and 2 GiB; KeepBytes may be NoHistory, and either may be KeepAll.
	KeepFor   time.Duration
	KeepBytes int64

	// CheckImage looks for damage in a database as it once was, before it takes
	// the place of the present one. May be nil.
	CheckImage func(path string) error

	// PastFailed is told when history could not be kept within its budgets. It
	// must not block. May be nil.
	PastFailed func(error)

	// NeedCheckpoint is told of objects whose keeper should checkpoint. It is
	// called on a goroutine of the engine, must not block, and is called again
	// after a while when nothing happens. May be nil.
	NeedCheckpoint func(dormouse.Key)

	// Observe is told of every write to the journal, on a goroutine of the
	// engine. It must not block. May be nil.
	Observe func(Write)

	Disk disk.FS // default: the real one
}

// Write is one write to the journal.
type Write struct {
	Answers int           // requests that it answered
	Bytes   int           // that were written
	Took    time.Duration // with the wait for the disk
	Err     error
}

const (
	// NoHistory as Options.KeepBytes: nothing is kept.
	NoHistory = -1
	// KeepAll as a budget: there is none.
	KeepAll = math.MaxInt64
)

const (
	smallestSegment = 512 << 10
	firstSegment    = 4 << 20
	maxChunk        = 1 << 20
	maxWaiting      = 1 << 20 // requests of all objects

	openRead   = os.O_RDONLY
	openWrite  = os.O_RDWR
	openCreate = os.O_RDWR | os.O_CREATE
)

func (o *Options) fill() {
	or := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	or(&o.SegmentBytes, 64<<20)
	o.SegmentBytes = max(blocks(o.SegmentBytes), smallestSegment)
	or(&o.Budget, 512<<20)
	o.Budget = max(o.Budget, 3*o.SegmentBytes)
	or(&o.CheckpointBytes, 4<<20)
	if o.KeepBytes != NoHistory {
		or(&o.KeepBytes, 2<<30)
	}
	if o.KeepFor <= 0 {
		o.KeepFor = 30 * 24 * time.Hour
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = 512
	}
	if o.RestDelay <= 0 {
		o.RestDelay = 5 * time.Second
	}
	if o.Disk == nil {
		o.Disk = disk.OS{}
	}
}

// Engine is a storage.Engine.
type Engine struct {
	// Set once.
	opts  Options
	fs    disk.FS
	data  string // the data folder
	dir   string // the journal's
	chunk int    // bytes of frames that are taken in one step
	lock  io.Closer

	workers sync.WaitGroup // the goroutines of run
	upkeep  upkeep
	log     segments
	wakes   wakes
	past    past

	// Owned by the collector, which is whoever has set collecting.
	wals wals
	buf  []byte

	answering sync.Mutex // held while answers are given: keeps their order

	mu         sync.Mutex // guards the following, and what object says
	work       *sync.Cond // for run: something may be done
	calm       *sync.Cond // for all others: something was done
	objects    map[dormouse.Key]*object
	pending    []*object // with requests
	waiting    int       // requests that have no answer yet
	notes      []note
	batch      *batch   // what the next write contains; the collector's while it collects
	spares     []*batch // to be filled again; with those in use never more than batches
	due        int      // of pending: that waited when the last write had ended
	collecting bool
	writing    bool
	failing    bool // nothing may be collected
	syncDue    bool // relaxed: something written is not on disk for long enough
	next       uint64
	durable    uint64 // batches up to this one are on disk
	oldest     uint64 // segments before this one are not needed
	extent     uint64 // the newest segment that the upkeep was told of
	mark       storage.Bookmark
	broken     error // relaxed: confirmed commits were lost by the disk
	looked     bool  // nothing can lie about that nobody knows of, see Looked
	closing    bool
	idle       bool // closing, and nothing is left to do
}

var _ storage.Engine = (*Engine)(nil)

// batch is what is written and synced together.
type batch struct {
	buf     []byte // room for the header, then records
	records int
	force   bool // must be on disk before it is confirmed
	stamp   bool // is written even without a record, for its header
	answers []answer
	taken   []taken
	wakes   []dormouse.Key
	notes   []note
}

// answer is a request that the batch answers.
type answer struct {
	object  *object
	kind    requestKind
	done    storage.Done
	err     error
	records int  // of the batch that belong to what was asked for
	tail    tail // for a checkpoint
}

// taken is how far the batch takes an object's WAL.
type taken struct {
	object *object
	tail   tail
}

// note is a record that the upkeep wants to have on disk.
type note struct {
	kind   recordKind
	key    dormouse.Key
	to     dormouse.Namespace // of a movedRecord
	body   []byte             // owned by the note
	object *object            // whom it is about, if known

	// durable is called when it is on disk, or when it could not be written.
	// Engine.mu is held.
	durable func(error)
}

// batches is how many there are at most: one is collected, one written, and of
// one the answers are given.
const batches = 3

func newBatch() *batch {
	return &batch{buf: make([]byte, batchHeaderSize, 64<<10)}
}

func (b *batch) empty() bool { return !b.written() && len(b.answers) == 0 }

// written says whether the batch has anything for the disk.
func (b *batch) written() bool { return b.records > 0 || b.stamp }

// reset prepares the batch for being filled again. Buffers that have grown far
// are left to the collector of garbage.
func (b *batch) reset() {
	if cap(b.buf) > 4<<20 {
		b.buf = make([]byte, batchHeaderSize, 64<<10)
	}
	clear(b.answers)
	clear(b.taken)
	clear(b.wakes)
	clear(b.notes)
	*b = batch{buf: b.buf[:batchHeaderSize], answers: b.answers[:0], taken: b.taken[:0], wakes: b.wakes[:0], notes: b.notes[:0]}
}

// full says that the next write should not grow further.
func (e *Engine) full(b *batch) bool { return len(b.buf) > 3*e.chunk }

// object returns what is known of an object that is open.
func (e *Engine) openObjectLocked(key dormouse.Key) (*object, error) {
	switch o := e.objects[key]; {
	case e.closing:
		return nil, storage.ErrClosed
	case e.broken != nil:
		return nil, e.broken
	case o == nil || !o.open:
		return nil, fmt.Errorf("object %s: %w", key, storage.ErrNotOpen)
	default:
		return o, nil
	}
}

// Open implements storage.Engine.
func (e *Engine) Open(key dormouse.Key, user storage.User, done storage.Done) error {
	if err := storage.CheckNamespace(key.Namespace); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return storage.ErrClosed
	}
	if e.broken != nil {
		return e.broken
	}
	o := e.objects[key]
	if o == nil {
		if e.upkeep.moving[key.Namespace] {
			return fmt.Errorf("object %s: its namespace is being moved: %w", key, storage.ErrBusy)
		}
		o = e.newObjectLocked(key)
	}
	for o.alone {
		e.calm.Wait()
	}
	switch {
	case o.removed:
		return fmt.Errorf("object %s: %w", key, storage.ErrBusy)
	case o.failed != nil:
		return o.failed
	}
	if !o.open {
		o.open = true
		o.opens++
	}
	o.users++
	o.local = o.local || user == storage.SameProcess
	return e.requestLocked(o, openRequest, done)
}

func (e *Engine) newObjectLocked(key dormouse.Key) *object {
	o := &object{key: key, path: storage.Path(e.data, key), opened: time.Now()}
	e.objects[key] = o
	return o
}

// Commit implements storage.Engine.
func (e *Engine) Commit(key dormouse.Key, done storage.Done) error {
	return e.request(key, commitRequest, done)
}

// Sync implements storage.Engine.
func (e *Engine) Sync(key dormouse.Key, done storage.Done) error {
	return e.request(key, syncRequest, done)
}

// Checkpoint implements storage.Engine.
func (e *Engine) Checkpoint(key dormouse.Key, ready storage.Done) error {
	return e.request(key, checkpointRequest, func(m storage.Bookmark, err error) {
		if err != nil {
			ready(m, err)
			return
		}
		e.captureFirst(key, m, ready)
	})
}

func (e *Engine) request(key dormouse.Key, kind requestKind, done storage.Done) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.openObjectLocked(key)
	if err != nil {
		return err
	}
	return e.requestLocked(o, kind, done)
}

func (e *Engine) requestLocked(o *object, kind requestKind, done storage.Done) error {
	if e.waiting >= maxWaiting {
		return storage.ErrOverloaded
	}
	e.waiting++
	o.waiting = append(o.waiting, request{kind: kind, done: done})
	e.queueLocked(o)
	return nil
}

func (e *Engine) queueLocked(o *object) {
	if !o.queued {
		o.queued = true
		e.pending = append(e.pending, o)
		e.work.Signal()
	}
}

// Checkpointed implements storage.Engine.
func (e *Engine) Checkpointed(key dormouse.Key, frames int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.objects[key]
	if o == nil || o.snapshot == nil {
		return // was reset in between
	}
	t := *o.snapshot
	o.snapshot = nil
	o.asked = 0
	if frames > 0 {
		m := moved{t.generation, min(frames, t.frames())}
		e.upkeep.checkpoints = append(e.upkeep.checkpoints, checkpoint{o, m})
		e.upkeep.wake()
	}
}

// Release implements storage.Engine.
func (e *Engine) Release(key dormouse.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.objects[key]
	if o == nil || !o.open {
		return
	}
	if o.users--; o.users == 0 {
		o.open = false
		o.snapshot = nil
		o.asked = 0
		e.restLocked(o)
	}
}

// SetWake implements storage.Engine.
func (e *Engine) SetWake(key dormouse.Key, w storage.Wake) error {
	if err := storage.CheckNamespace(key.Namespace); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return storage.ErrClosed
	}
	e.wakes.set(key, w)
	return nil
}

// Path returns where an object's database lies.
func (e *Engine) Path(key dormouse.Key) string { return storage.Path(e.data, key) }

func journalDir(data string) string { return filepath.Join(data, storage.JournalFolder) }
