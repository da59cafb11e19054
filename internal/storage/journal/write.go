package journal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// relaxedSync is how long a confirmed commit may not be on disk with relaxed
// durability.
const relaxedSync = time.Second

// write writes the batch and gives its answers. e.mu is held, but not while it
// waits for the disk and not while it answers.
func (e *Engine) write() {
	b := e.batch
	if n := len(e.spares); n > 0 {
		e.batch, e.spares = e.spares[n-1], e.spares[:n-1]
	} else {
		e.batch = newBatch()
	}
	e.writing = true
	sync := e.opts.Durability == storage.Full || b.force || e.syncDue
	e.syncDue = false
	before := e.mark
	h := batchHeader{number: e.next, durable: e.durable, oldest: e.oldest, records: b.records}
	segment, err := uint64(0), e.broken
	e.mu.Unlock()

	start := time.Now()
	if err == nil {
		segment, err = e.log.write(b, h, sync)
	}
	took := time.Since(start)
	bytes := len(b.buf) - batchHeaderSize

	e.answering.Lock() // before another batch can be answered
	e.mu.Lock()
	var ask []dormouse.Key
	if err == nil {
		ask = e.confirmLocked(b, h.number, segment, sync)
	} else {
		e.refuseLocked(b, err)
	}
	e.waiting -= len(b.answers)
	e.writing, e.due = false, len(e.pending)
	e.work.Broadcast()
	e.calm.Broadcast()
	e.mu.Unlock()

	for _, a := range b.answers {
		mark := before
		if a.records > 0 {
			mark = storage.Bookmark{Batch: h.number, Record: uint32(a.records)}
		}
		if a.err != nil {
			mark = storage.Bookmark{}
		}
		a.done(mark, a.err)
	}
	if e.opts.NeedCheckpoint != nil {
		for _, key := range ask {
			e.opts.NeedCheckpoint(key)
		}
	}
	if e.opts.Observe != nil {
		e.opts.Observe(Write{Answers: len(b.answers), Bytes: bytes, Took: took, Err: err})
	}
	e.answering.Unlock()

	e.mu.Lock()
	b.reset()
	if len(e.spares) < batches-1 {
		e.spares = append(e.spares, b)
	}
}

// confirmLocked notes what a batch has made true. It returns the objects that
// should be checkpointed.
func (e *Engine) confirmLocked(b *batch, number, segment uint64, sync bool) (ask []dormouse.Key) {
	if b.written() {
		e.next = number + 1
		e.mark = storage.Bookmark{Batch: number, Record: uint32(b.records)}
	}
	if sync {
		e.durable = e.next - 1
	} else if e.durable < e.next-1 {
		e.syncSoonLocked()
	}
	for _, t := range b.taken {
		o := t.object
		o.kept = t.tail
		o.gone = false
		o.require(segment, t.tail)
		if o.open && o.asked != segment && o.unmoved() > e.opts.CheckpointBytes {
			o.asked = segment
			ask = append(ask, o.key)
		}
	}
	if len(b.wakes) > 0 {
		e.wakes.latest = segment
		if e.wakes.since == 0 {
			e.wakes.since = segment
		}
	}
	for _, a := range b.answers {
		if a.kind == checkpointRequest && a.err == nil && a.object.open {
			t := a.tail
			a.object.snapshot = &t
		}
	}
	for _, n := range b.notes {
		if n.object != nil {
			n.object.last = segment
		}
		n.durable(nil)
	}
	if segment > e.extent {
		e.extent = segment
		e.upkeep.wake() // perhaps something can be cut
	}
	return ask
}

// unmoved is how many bytes of the WAL are not in the database file.
func (o *object) unmoved() int64 {
	moved := 0
	if o.synced.generation == o.kept.generation {
		moved = o.synced.frames
	}
	return int64(o.kept.frames()-moved) * int64(o.kept.header.FrameSize())
}

// refuseLocked goes back to what the engine promised before the batch. The
// batch that was collected in the meantime builds on this one, so it is refused
// with it: its answers go to b.
func (e *Engine) refuseLocked(b *batch, err error) {
	if errors.Is(err, errLost) && e.broken == nil {
		e.broken = fmt.Errorf("%w: commits of the last second were confirmed and may be lost (durability is relaxed); restart Dormouse, and check the disk: %w", storage.ErrJournal, err)
	}
	err = fmt.Errorf("%w: %w", storage.ErrJournal, err)

	e.failing = true // so that nothing more is collected
	for e.collecting {
		e.calm.Wait()
	}
	e.failing = false

	next := e.batch
	b.answers = append(b.answers, next.answers...)
	for i := range b.answers {
		if b.answers[i].err == nil {
			b.answers[i].err = err
		}
	}
	for _, t := range slices.Concat(b.taken, next.taken) {
		t.object.tail = t.object.kept
	}
	for _, key := range slices.Concat(b.wakes, next.wakes) {
		e.wakes.again(key)
	}
	for _, n := range slices.Concat(b.notes, next.notes) {
		n.durable(err)
	}
	next.reset()
}
