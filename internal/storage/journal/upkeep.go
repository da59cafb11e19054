package journal

import (
	"slices"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// upkeep keeps the journal short: it syncs databases after checkpoints, puts
// the files of released objects in order, deletes, moves, and cuts segments
// that are not needed any more. All of it happens on one goroutine, which may
// wait for the disk and for the goroutines of run.
type upkeep struct {
	// Owned by the goroutine.
	dirs syncedDirs

	// Guarded by Engine.mu.
	checkpoints []checkpoint // to be synced
	resting     []*object    // released, in order
	jobs        []func()     // deletes and moves, in order
	moving      map[dormouse.Namespace]bool
	timer       *time.Timer // rings when the first of resting is due
	syncTimer   *time.Timer // rings when a relaxed sync is due; nil: none is
	soon        bool        // all of resting is due
	leaving     bool        // Leave has been called

	ring chan struct{} // holds one
	quit chan struct{}
	done chan struct{}
}

// checkpoint is what a keeper has moved to a database.
type checkpoint struct {
	object *object
	moved  moved
}

const (
	// restTogether released objects are put in order without a delay.
	restTogether = 1024

	// maxJobs bounds the deletes and moves that wait.
	maxJobs = 1 << 16
)

func (u *upkeep) start(e *Engine) {
	u.dirs = syncedDirs{fs: e.fs, root: e.data, seen: make(map[string]bool)}
	u.moving = make(map[dormouse.Namespace]bool)
	u.ring, u.quit, u.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	u.timer = time.AfterFunc(time.Hour, u.wake)
	u.timer.Stop()
	go func() {
		defer close(u.done)
		old := time.NewTicker(pruneEvery) // history grows old also while nothing happens
		defer old.Stop()
		for {
			select {
			case <-u.ring:
				e.keepHouse(false)
			case <-old.C:
				e.prunePast()
			case <-u.quit:
				e.mu.Lock()
				leaving := u.leaving
				e.mu.Unlock()
				if leaving {
					e.leave()
				} else {
					e.keepHouse(true)
				}
				return
			}
		}
	}()
}

// stop does all that is left to do, and ends.
func (u *upkeep) stop() {
	close(u.quit)
	<-u.done
	u.timer.Stop()
}

func (u *upkeep) wake() {
	select {
	case u.ring <- struct{}{}:
	default:
	}
}

// restLocked plans to put the files of a released object in order.
func (e *Engine) restLocked(o *object) {
	u := &e.upkeep
	if o.restless {
		return // is planned
	}
	o.restless = true
	o.released = time.Now()
	u.resting = append(u.resting, o)
	if len(u.resting) >= restTogether {
		u.wake()
	} else if len(u.resting) == 1 {
		u.timer.Reset(e.opts.RestDelay)
	}
}

// dueLocked takes the released objects whose time has come.
func (e *Engine) dueLocked(all bool) []*object {
	u := &e.upkeep
	n := len(u.resting)
	if !all && n < restTogether {
		now := time.Now()
		n = 0
		for n < len(u.resting) && now.Sub(u.resting[n].released) >= e.opts.RestDelay {
			n++
		}
	}
	due := slices.Clone(u.resting[:n])
	u.resting = slices.Delete(u.resting, 0, n)
	if len(u.resting) > 0 {
		u.timer.Reset(e.opts.RestDelay)
	}
	return due
}

// keepHouse does what is due; at the last time, everything.
func (e *Engine) keepHouse(last bool) {
	u := &e.upkeep
	e.mu.Lock()
	checkpoints, jobs, resting := u.checkpoints, u.jobs, e.dueLocked(last || u.soon)
	u.checkpoints, u.jobs, u.soon = nil, nil, false
	e.mu.Unlock()

	e.finishCheckpoints(checkpoints)
	for _, job := range jobs {
		job()
	}
	e.rest(resting)
	e.shorten()
	e.prunePast()
}

// syncSoonLocked: something is confirmed that is not on disk.
func (e *Engine) syncSoonLocked() {
	u := &e.upkeep
	if u.syncTimer != nil {
		return
	}
	u.syncTimer = time.AfterFunc(relaxedSync, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		u.syncTimer = nil
		e.syncDue = true
		e.work.Signal()
	})
}

// put writes notes and waits until they are on disk.
func (e *Engine) put(notes ...note) error {
	e.mu.Lock()
	wait := e.putLocked(notes)
	e.mu.Unlock()
	return wait()
}

// putLocked begins to write notes: they will be in the journal before anything
// that is asked for later. wait waits until they are on disk.
func (e *Engine) putLocked(notes []note) (wait func() error) {
	var failed error
	var left sync.WaitGroup
	left.Add(len(notes))
	for _, n := range notes {
		n.durable = func(err error) {
			if err != nil {
				failed = err // notes are confirmed one at a time
			}
			left.Done()
		}
		e.notes = append(e.notes, n)
	}
	e.work.Signal()
	return func() error {
		left.Wait()
		return failed
	}
}

// settle sees to it that everything in the WALs of the objects is in the
// journal, and returns the errors of those where it is not.
func (e *Engine) settle(objects []*object) map[*object]error {
	var wait sync.WaitGroup
	failed := make(map[*object]error)
	e.mu.Lock()
	for _, o := range objects {
		o := o
		wait.Add(1)
		e.waiting++
		o.waiting = append(o.waiting, request{kind: restRequest, done: func(_ storage.Bookmark, err error) {
			if err != nil {
				failed[o] = err // answers are given one at a time
			}
			wait.Done()
		}})
		e.queueLocked(o)
	}
	e.mu.Unlock()
	wait.Wait()
	return failed
}

// shorten cuts the segments that nothing needs. If that leaves the journal
// longer than its budget, it sees to it that its oldest part becomes
// unnecessary.
func (e *Engine) shorten() {
	bytes, current := e.log.extent()
	e.mu.Lock()
	oldest := current
	for _, o := range e.objects {
		if len(o.needs) > 0 {
			oldest = min(oldest, o.needs[0].segment)
		}
	}
	var marks []note // for objects for which it is enough that they occur
	for _, o := range e.objects {
		if len(o.needs) == 0 && o.last != 0 && o.last < oldest {
			marks = append(marks, note{kind: syncedRecord, key: o.key, object: o})
		}
	}
	wakes := e.wakes.since != 0 && e.wakes.since < oldest
	e.mu.Unlock()

	if first := e.log.firstBatch(oldest); first > 0 &&
		e.put(marks...) == nil && (!wakes || e.writeWakes(current) == nil) {
		e.mu.Lock()
		e.oldest = first
		e.mu.Unlock()
		// When this is on disk, recovery does not miss what is removed.
		if e.put(note{kind: stampNote}) == nil {
			e.cut(oldest)
			bytes, current = e.log.extent()
		}
	}
	if bytes > e.opts.Budget {
		e.press(bytes, current)
	}
}

// press asks for checkpoints of the objects that hold the journal's oldest
// part, and puts those at rest in order at once.
func (e *Engine) press(bytes int64, current uint64) {
	from := e.log.after(bytes - e.opts.Budget*3/4)
	var ask []dormouse.Key
	var rest []*object
	e.mu.Lock()
	for _, o := range e.objects {
		if len(o.needs) == 0 || o.needs[0].segment >= from || o.removed {
			continue
		}
		switch {
		case !o.open:
			rest = append(rest, o)
		case o.asked != current:
			o.asked = current
			ask = append(ask, o.key)
		}
	}
	e.mu.Unlock()
	if e.opts.NeedCheckpoint != nil {
		for _, key := range ask {
			e.opts.NeedCheckpoint(key)
		}
	}
	if len(rest) > 0 {
		e.rest(rest)
	}
}
