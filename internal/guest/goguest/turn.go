package goguest

import (
	"context"
	"runtime"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// blockLimit is how long BlockConcurrencyWhile may take.
const blockLimit = 30 * time.Second

// blockedTooLong is what Durable Objects authors know.
const blockedTooLong = "A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset."

// has says whether the event runs and has its object.
func (e *event) has() bool {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	return e.phase == running
}

// own returns the event of this object that ctx belongs to, or nil. While the
// constructor runs, whose author has no context of it, that is what a context of
// nobody belongs to.
func (i *instance) own(ctx context.Context) *event {
	if e := eventOf(ctx); e != nil && e.i == i {
		return e
	}
	if ctx.Value(taskKey{}) == i {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.birth
}

// Yield implements author.Instance.
func (i *instance) Yield(ctx context.Context, wait func(context.Context) error) error {
	e := i.own(ctx)
	if e == nil {
		return dormouse.ErrOutside
	}
	i.mu.Lock()
	dead, at, blocked := i.dead, e.phase, e.scope != nil && e.scope.blocked > 0
	i.mu.Unlock()
	switch {
	case dead != nil:
		return dead
	case at == away || at == running && blocked:
		return wait(ctx) // the object is free already, or must not be
	case at != running:
		return dormouse.ErrOutside
	}
	if err := i.giveUp(e); err != nil {
		return err
	}
	err := func() error {
		defer i.regain(e)
		return wait(ctx)
	}()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return i.dead
	}
	return err
}

// giveUp ends the event's turn and lets others have the object. Pairs with
// regain.
func (i *instance) giveUp(e *event) error {
	i.endTurn(e)
	e.runner.detach()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return i.dead
	}
	i.settleLocked(e)
	e.phase, i.holder = away, nil
	if i.away == nil {
		i.away = make(map[*event]struct{})
	}
	i.away[e] = struct{}{}
	e.runner.on.Store(nil)
	e.runner.setSlow(true)
	i.releaseLocked()
	return nil
}

// regain waits until the object is the event's again.
func (i *instance) regain(e *event) {
	if !i.take(nil) {
		return // it has ended
	}
	i.mu.Lock()
	delete(i.away, e)
	i.turns++
	i.joinLocked(e)
	i.mu.Unlock()
	e.runner.note(i)
}

// take waits until the object is the caller's, and returns false if it never will
// be: the object has ended, or stop was closed.
func (i *instance) take(stop <-chan struct{}) bool {
	i.mu.Lock()
	if i.dead != nil {
		i.mu.Unlock()
		return false
	}
	if !i.busy && i.mail.first == nil {
		i.busy = true
		i.mu.Unlock()
		return true
	}
	// Its place is behind what is there already.
	turn := make(chan struct{})
	w := &event{i: i, place: true, scope: &scope{turn: turn}}
	i.mail.push(w)
	i.wakeLocked()
	i.mu.Unlock()
	select {
	case <-turn:
	case <-stop:
		if i.withdraw(w) {
			return false
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.dead == nil
}

// withdraw gives a place up, and returns false if it has come already.
func (i *instance) withdraw(w *event) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case <-w.scope.turn:
		return false
	default:
		w.scope.ended = context.Canceled
		return true
	}
}

// Do implements author.Instance.
func (i *instance) Do(ctx context.Context, f func(context.Context) error) error {
	if e := i.own(ctx); e != nil && e.has() {
		return f(ctx)
	}
	return i.enter(ctx, func(e *event) error { return f(e) })
}

// enter runs f as an event that the host does not know.
func (i *instance) enter(ctx context.Context, f func(*event) error) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	i.mu.Lock()
	if i.dead != nil {
		defer i.mu.Unlock()
		return i.dead
	}
	i.progress.Tasks++ // what waits keeps the object in memory
	i.mu.Unlock()
	e := &event{i: i, runner: i.g.crew.guest()}
	e.scope = new(scope)
	e.scope.std, e.scope.cancel = context.WithCancelCause(ctx)
	defer e.scope.cancel(errEnded)
	if !i.take(ctx.Done()) {
		e.runner.crew.ended(e.runner)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.untaskLocked()
		if i.dead != nil {
			return i.dead
		}
		return context.Cause(ctx)
	}
	i.mu.Lock()
	i.turns++
	i.joinLocked(e)
	i.mu.Unlock()
	e.runner.note(i)
	defer func() {
		i.endTurn(e)
		i.mu.Lock()
		i.leaveLocked(e)
		i.progress.Tasks--
		i.releaseLocked()
		i.mu.Unlock()
		e.runner.crew.ended(e.runner)
	}()
	return f(e)
}

// untaskLocked ends a task.
func (i *instance) untaskLocked() {
	i.progress.Tasks--
	i.saidLocked()
}

// Block implements author.Instance.
func (i *instance) Block(ctx context.Context, f func(context.Context) error) {
	e := i.own(ctx)
	if e != nil && e.has() {
		i.block(e, ctx, f)
		return
	}
	err := i.enter(ctx, func(e *event) error {
		i.block(e, e, f)
		return nil
	})
	if err != nil {
		// It never began: the object has ended, or ctx.
		i.abort(asReset(err), dropSockets)
		runtime.Goexit()
	}
}

// block runs f while e keeps the object, whatever f waits for. If it fails, the
// object is reset and the goroutine ends.
func (i *instance) block(e *event, ctx context.Context, f func(context.Context) error) {
	limit := time.AfterFunc(blockLimit, func() {
		i.abort(&dormouse.Error{Message: blockedTooLong, Overloaded: true, ObjectReset: true}, dropSockets)
	})
	i.mu.Lock()
	e.scopeLocked().blocked++
	i.mu.Unlock()
	defer func() {
		limit.Stop()
		i.mu.Lock()
		e.scope.blocked--
		i.mu.Unlock()
	}()
	err := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = i.panicked(v)
				i.logError(err)
			}
		}()
		return f(ctx)
	}()
	if err != nil {
		i.abort(asReset(err), dropSockets)
		runtime.Goexit()
	}
	i.mu.Lock()
	dead := i.dead != nil
	i.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
}

// asReset is the error of those whom a reset because of err concerns.
func asReset(err error) *dormouse.Error {
	e := asRemote(err)
	e.ObjectReset = true
	return e
}

// aborted is the reason when none was given. The text is Cloudflare's.
const aborted = "Application called abort() to reset Durable Object."

// Abort implements author.Instance.
func (i *instance) Abort(reason string) {
	if reason == "" {
		reason = aborted
	}
	i.abort(&dormouse.Error{Message: reason, Remote: true, ObjectReset: true}, dropSockets)
	runtime.Goexit()
}
