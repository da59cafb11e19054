package goguest

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/author"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// instance is one activation of an object: the author's value, the events that
// wait for it and what it says. At most one goroutine has the object at a time;
// it is passed on in the order in which events come.
//
// The lock order is instance, then crew. Author code never runs under either.
type instance struct {
	// Set once, before use.
	g       *Guest
	num     guest.Object
	class   *dormouse.Class
	key     dormouse.Key
	name    string
	hasName bool

	database bool // the host has been told that it has one open

	looked   sync.Once // sets what follows
	keptName string    // of the storage, if nobody has said a name
	hasKept  bool

	// Owned by the loop.
	gone  bool // the host knows that it has ended: nothing that it says counts
	calls map[*fetch]struct{}
	asks  map[*ask]struct{}
	// What has come in this round, and the bytes of it.
	incoming mail
	arriving int

	// Set by the constructor's event, before any other runs.
	object  any
	fetch   http.Handler
	message dormouse.MessageHandler
	closed  dormouse.CloseHandler
	errored dormouse.ErrorHandler
	alarm   dormouse.AlarmHandler
	face    func(author.Socket) any

	stored atomic.Bool

	mu       sync.Mutex // guards the following
	mail     mail
	queued   bool   // in the crew's list
	busy     bool   // somebody has the object
	slow     bool   // what is said is handed over at once: the handler takes long
	began    bool   // the constructor has run
	birth    *event // the constructor's, while it runs
	holder   *event // that has the object; nil if nobody has it
	used     *event // of a message; to be used again
	away     map[*event]struct{}
	turns    uint32 // events that have begun
	taken    int    // bytes of mail that have begun, and the guest does not know it
	out      *batch // what has been said and not handed over; nil: nothing
	progress guest.Progress
	told     guest.Progress
	dead     error // why it has ended; nil: it has not
	sockets  shelf
	pair     *guest.Pair
	timeout  time.Duration
	tasks    map[*task]struct{}
	store    Store // nil until it is used; then stored is set
	commits  uint32
	awaited  []awaited // oldest first
	asked    map[uint32]chan<- remembered
	question uint32 // the last one of asked
}

// deliver takes an event from the host. On the loop. The others learn of it at
// the end of the round, with what else has come by then.
func (i *instance) deliver(e *event) {
	if i.incoming.first == nil {
		i.g.touched = append(i.g.touched, i)
	}
	i.incoming.push(e)
}

// publish puts what has come into the mail. On the loop.
func (i *instance) publish() {
	i.mu.Lock()
	dead := i.dead
	if dead == nil {
		i.mail.append(&i.incoming)
		i.g.backlog.Add(int64(i.arriving))
		i.wakeLocked()
	}
	i.mu.Unlock()
	i.arriving = 0
	for e := i.incoming.pop(); e != nil; e = i.incoming.pop() {
		if e.pile == nil { // nobody waits for what becomes of messages
			e.work.drop(e, asError(dead))
		}
	}
}

// wakeLocked has somebody work on what waits.
func (i *instance) wakeLocked() {
	if !i.busy && !i.queued && i.dead == nil && i.mail.first != nil {
		i.queued = true
		i.g.crew.push(i)
	}
}

// maxRun is how many events of an object are handled before others have their
// turn.
const maxRun = 4096

// work handles what waits. Pairs with crew.push.
func (i *instance) work(r *runner) {
	r.note(i)
	i.mu.Lock()
	i.queued, i.busy = false, true
	for from := i.turns; i.turns-from < maxRun; {
		e := i.nextLocked()
		if e == nil || i.dead != nil {
			break
		}
		if e.place {
			if e.scope.ended != nil {
				continue // nobody waits there any more
			}
			i.handOverLocked()
			i.tookLocked()
			close(e.scope.turn) // the object is its own now
			i.mu.Unlock()
			return
		}
		i.beginLocked(e)
		i.mu.Unlock()
		r.setSlow(false)
		i.handle(e, r)
		i.mu.Lock()
		i.endLocked(e)
		if r.own.Load() || r.tired.Load() {
			break // it is no worker any more, or others have their turn
		}
		if i.out != nil && i.out.full() {
			i.handOverLocked()
			i.mu.Unlock()
			r.filled()
			i.mu.Lock()
		}
	}
	i.releaseLocked()
	i.mu.Unlock()
}

// tookLocked tells the guest how much of the mail has begun.
func (i *instance) tookLocked() {
	i.g.took(i.taken)
	i.taken = 0
}

// beginLocked makes e the event that has the object.
func (i *instance) beginLocked(e *event) {
	if !e.begun && !e.silent {
		i.progress.Started++
	}
	i.turns++
	i.slow = false
	i.joinLocked(e)
	if e.socket != nil && i.timeout > 0 {
		e.limitLocked(i.timeout, eventTooLong)
	}
}

func (i *instance) joinLocked(e *event) {
	e.phase = running
	i.holder = e
	e.told = e.turn.now()
	e.first = e.told
	if i.out != nil {
		i.out.began = len(i.out.bytes)
	}
}

// endLocked ends an event that has run.
func (i *instance) endLocked(e *event) {
	if !e.silent {
		i.progress.Finished++
	}
	i.leaveLocked(e)
}

func (i *instance) leaveLocked(e *event) {
	if i.holder == e {
		i.settleLocked(e)
	}
	if e.phase == away {
		delete(i.away, e) // the object has ended meanwhile
	}
	e.phase = over
	if i.holder == e {
		i.holder = nil
	}
	if e.scope != nil {
		e.endLocked(errEnded)
	} else if e.message && e.turn.next() {
		i.used = e
	}
}

// releaseLocked gives the object up. What was said is handed over first, so that
// it keeps its place before what the next one says.
func (i *instance) releaseLocked() {
	if i.used != nil {
		i.used.socket, i.used.data, i.used.rest = nil, nil, nil
	}
	i.tookLocked()
	i.handOverLocked()
	i.busy = false
	i.wakeLocked()
}

// handle runs an event, whatever the author's code does.
func (i *instance) handle(e *event, r *runner) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			i.failed(e, i.panicked(v))
			i.endTurn(e)
			return
		}
		// runtime.Goexit, by Abort or by the author: this goroutine ends.
		i.mu.Lock()
		dead := i.dead != nil
		i.mu.Unlock()
		if !dead {
			i.failed(e, errGoexit)
		}
		i.endTurn(e)
		i.mu.Lock()
		i.endLocked(e)
		i.releaseLocked()
		i.mu.Unlock()
	}()
	e.runner = r
	for {
		if err := e.work.run(e); err != nil {
			i.failed(e, err)
		}
		i.endTurn(e)
		if !e.goOn(r) {
			break
		}
	}
	returned = true
}

// errGoexit is what became of an event whose handler has ended its goroutine.
var errGoexit = errors.New("the handler has ended its goroutine (runtime.Goexit)")

// failed tells what became of an event whose handler failed.
func (i *instance) failed(e *event, err error) {
	if f, ok := e.work.(failing); ok {
		f.fail(e, err)
		return
	}
	i.logError(err)
}

// failing is work that somebody waits for.
type failing interface{ fail(e *event, err error) }

// panicked makes an error of a panic, and logs where it came from.
func (i *instance) panicked(v any) error {
	err, ok := v.(error)
	if !ok {
		err = fmt.Errorf("%v", v)
	}
	if err == http.ErrAbortHandler {
		return err
	}
	return &panicError{err, debug.Stack()}
}

// panicError is a handler's panic.
type panicError struct {
	error
	stack []byte
}

func (p *panicError) Error() string { return "panic: " + p.error.Error() }
func (p *panicError) Unwrap() error { return p.error }

// asError is err as another object may see it. The cause stays here. A handler
// that cannot return an error, such as ServeHTTP, fails with one by panicking
// with it.
func asError(err error) *dormouse.Error {
	if p, ok := err.(*panicError); ok {
		if e, ok := p.error.(*dormouse.Error); ok {
			return e
		}
	}
	if e, ok := err.(*dormouse.Error); ok {
		return e
	}
	return &dormouse.Error{Message: err.Error()}
}

// asRemote is err as its caller sees it: it happened at the other side.
func asRemote(err error) *dormouse.Error {
	e := *asError(err)
	e.Remote = true
	return &e
}

// outLocked is the batch that takes what is said now.
func (i *instance) outLocked() *batch {
	if i.out == nil {
		i.out = i.g.crew.batch(i)
	}
	return i.out
}

// saidLocked follows what was said. Usually it waits for the end of the run of
// the one who has the object.
func (i *instance) saidLocked() {
	if !i.busy || i.slow {
		i.handOverLocked()
	}
}

// handOverLocked gives what was said to the loop, with how far the object is. What
// waits for a commit that has not come stays.
func (i *instance) handOverLocked() {
	if i.dead == nil && (i.out == nil || i.out.mark < 0) {
		i.tellProgressLocked()
	}
	b := i.out
	if b == nil || len(b.ops) == 0 || b.mark >= 0 {
		return
	}
	i.out = nil
	i.g.crew.handOver(b)
}

// tellProgressLocked says how far the object is, if that is new.
func (i *instance) tellProgressLocked() {
	i.countLocked()
	if i.progress != i.told {
		i.told = i.progress
		b := i.outLocked()
		b.ops = append(b.ops, op{kind: opProgress, from: i.told.Started, to: i.told.Finished, count: i.told.Tasks})
	}
}

// slowDown hands over what a handler that takes long has said so far, and has it
// hand over the rest as it says it.
func (i *instance) slowDown() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.slow = true
	i.pinHolderLocked()
	i.handOverLocked()
}

// ending says what follows from the end of an instance.
type ending uint8

const (
	dropSockets  ending = 1 << iota // as a reset does
	noAlarmRetry                    // the alarm is not tried again
)

// abort ends the instance, from any goroutine: the host learns of it.
func (i *instance) abort(e *dormouse.Error, how ending) {
	i.mu.Lock()
	if i.dead != nil {
		i.mu.Unlock()
		return
	}
	if i.out != nil {
		i.out.undo()
	}
	i.pinHolderLocked()
	i.tellProgressLocked() // what has begun is not said again
	waiting := i.dieLocked(e)
	began := i.began
	i.outLocked().always(func() {
		if i.gone {
			return
		}
		i.g.forget(i)
		if !began {
			i.g.host.StartFailed(i.g, i.num, e)
		} else {
			i.g.host.Aborted(i.g, i.num, e, guest.Abort{DropSockets: how&dropSockets != 0, NoAlarmRetry: how&noAlarmRetry != 0})
		}
		i.release()
	})
	i.handOverLocked()
	i.mu.Unlock()
	i.buried(waiting, e)
}

// end ends the instance because the host wants it, and returns how far it has
// come. On the loop.
func (i *instance) end(why error) guest.Progress {
	i.mu.Lock()
	i.pinHolderLocked()
	i.countLocked()
	made := i.progress
	if i.dead != nil {
		i.mu.Unlock()
		return made
	}
	if i.out != nil {
		i.out.undo()
	}
	waiting := i.dieLocked(why)
	i.mu.Unlock()
	i.buried(waiting, why)
	return made
}

// dieLocked ends contexts when the event that runs has been pinned, and returns the events that will not run.
func (i *instance) dieLocked(why error) mail {
	i.dead = why
	if i.holder != nil {
		i.holder.endLocked(why)
	}
	for e := range i.away {
		e.endLocked(why)
	}
	for t := range i.tasks {
		t.cancel(why)
	}
	waiting := i.mail
	i.mail = mail{}
	return waiting
}

// buried tells those who waited, and lets go of the database.
func (i *instance) buried(waiting mail, why error) {
	i.closeStore()
	for e := waiting.pop(); e != nil; e = waiting.pop() {
		if e.place {
			close(e.scope.turn)
			continue
		}
		if e.pile != nil {
			i.g.took(e.pile.bytes())
			continue
		}
		e.work.drop(e, asError(why))
	}
}

// idle says whether the instance may leave memory: nothing runs or waits, and
// with cut tasks do not count.
func (i *instance) idle(delivered uint32, cut bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.dead == nil && !i.busy && i.mail.first == nil && len(i.away) == 0 &&
		i.progress.Finished == delivered && (cut || i.progress.Tasks == 0)
}

// keepAwake counts n more tasks that keep the instance in memory.
func (i *instance) keepAwake(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.progress.Tasks += uint32(n)
	i.saidLocked()
}

// logError writes down what a handler that nobody waits for has done.
func (i *instance) logError(err error) {
	text := err.Error()
	if p, ok := err.(*panicError); ok {
		text += "\n" + string(p.stack)
	}
	at := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().always(func() { i.g.host.Log(i.g, i.num, levelError, at, []byte(text)) })
	i.saidLocked()
}

// levelError is the level of the guest protocol's log.
const levelError = 3
