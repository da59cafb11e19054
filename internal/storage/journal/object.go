package journal

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// object is what the engine knows of an object from its Open until its files
// are whole without the journal.
type object struct {
	// Set once.
	key  dormouse.Key
	path string // of the database

	// Guarded by Engine.mu.
	open     bool
	users    int  // Opens that were not released; open: there are some
	local    bool // SQLite runs in this process, see Engine.withDatabase
	removed  bool // is being deleted or moved: cannot be opened
	alone    bool // its files are being changed: Open waits
	gone     bool // it was deleted and not opened since: there need be no files
	opened   time.Time
	opens    int  // counts
	resting  int  // opens when it began to rest: differs if it was opened since
	restless bool // is in upkeep.resting
	released time.Time
	waiting  []request // not looked at yet, in order
	queued   bool      // in Engine.pending
	asked    uint64    // the segment in which a checkpoint was last asked for; 0: none
	failed   error     // why nothing of the object can be confirmed
	file     *keptFile // the database, while it is open and local

	kept     tail   // what is in the journal, as far as the engine promises
	needs    []need // in the order of the journal; empty: nothing
	last     uint64 // the segment of the last record; 0: none
	snapshot *tail  // what a keeper may move at the moment
	synced   moved  // what is in the database file, and on disk
	folded   moved  // what is in the database file since it was released

	// Owned by the collector.
	tail    tail
	seen    int       // opens when the WAL was last looked at
	serving []request // looked at, not answered
	log     disk.File // the WAL, or nil
	older   *object   // in the collector's list of open WALs
	newer   *object
}

// need says that the journal is needed for the object from this segment on,
// until a checkpoint of these frames is on disk.
type need struct {
	segment    uint64
	generation int
	frames     int
}

// moved is the outcome of a checkpoint.
type moved struct {
	generation int
	frames     int
}

// require notes that frames up to the end of t are in a segment.
func (o *object) require(segment uint64, t tail) {
	n := need{segment, t.generation, t.frames()}
	if k := len(o.needs); k > 0 && o.needs[k-1].segment == segment {
		o.needs[k-1] = n
	} else {
		o.needs = append(o.needs, n)
	}
	o.last = segment
}

// forget drops what a checkpoint that is on disk has made unnecessary.
func (o *object) forget(m moved) {
	n := 0
	for n < len(o.needs) && (o.needs[n].generation < m.generation || o.needs[n].generation == m.generation && o.needs[n].frames <= m.frames) {
		n++
	}
	o.needs = append(o.needs[:0:0], o.needs[n:]...)
}

// request is a request that waits for the object's WAL to be looked at.
type request struct {
	kind requestKind
	done storage.Done

	// late says that the search for the WAL's end that is going on began before
	// the request: another one is needed.
	late bool

	// How far the WAL has to be taken; 0 when that is not known.
	generation int
	limit      int64
}

type requestKind uint8

const (
	commitRequest     requestKind = iota
	syncRequest                   // a commit that has to be on disk
	openRequest                   // there may be no WAL
	checkpointRequest             // a sync, and what is there may be moved
	restRequest                   // a sync of an object that is not open
)

// served says whether everything the request asked for has been taken; end says
// that there is nothing more.
func (r *request) served(t *tail, end bool) bool {
	if end {
		return !r.late
	}
	return r.limit > 0 && (r.generation < t.generation || r.limit <= t.taken.Offset)
}

// wals is the collector's list of open WALs, the last used first.
type wals struct {
	first, last *object
	n           int
}

func (l *wals) remove(o *object) {
	if o.newer != nil {
		o.newer.older = o.older
	} else {
		l.first = o.older
	}
	if o.older != nil {
		o.older.newer = o.newer
	} else {
		l.last = o.newer
	}
	o.newer, o.older = nil, nil
	l.n--
}

func (l *wals) push(o *object) {
	o.older = l.first
	if l.first != nil {
		l.first.newer = o
	} else {
		l.last = o
	}
	l.first = o
	l.n++
}

// use returns o's WAL, which it opens if need be; the one that was used least
// recently is closed in exchange.
func (l *wals) use(fs disk.FS, o *object, max int) (disk.File, disk.Info, error) {
	if o.log != nil {
		info, err := o.log.Stat()
		if err == nil && info.Links > 0 {
			if l.first != o {
				l.remove(o)
				l.push(o)
			}
			return o.log, info, nil
		}
		l.close(o) // removed by the last close, or unreadable: look anew
	}
	f, err := fs.Open(o.path+"-wal", openRead)
	if err != nil {
		return nil, disk.Info{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, disk.Info{}, err
	}
	for l.n >= max {
		l.close(l.last)
	}
	o.log = f
	l.push(o)
	return f, info, nil
}

func (l *wals) close(o *object) {
	if o.log != nil {
		o.log.Close() // only read
		o.log = nil
		l.remove(o)
	}
}
