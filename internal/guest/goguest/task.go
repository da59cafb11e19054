package goguest

import (
	"context"
	"errors"
	"time"
)

// taskLimit is how long a task keeps its object in memory, and may run.
const taskLimit = 15 * time.Minute

var errTaskLimit = errors.New("the task has run for 15 minutes")

// task is a WaitUntil.
type task struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	since  time.Time
}

// taskKey is the key of the instance in the context of a task.
type taskKey struct{}

// WaitUntil implements author.Instance.
func (i *instance) WaitUntil(f func(context.Context) error) {
	t := &task{since: time.Now()}
	t.ctx, t.cancel = context.WithCancelCause(context.WithValue(context.Background(), taskKey{}, i))
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		t.cancel(i.dead)
		return
	}
	if i.tasks == nil {
		i.tasks = make(map[*task]struct{})
	}
	i.tasks[t] = struct{}{}
	i.progress.Tasks++
	i.saidLocked()
	r := i.g.crew.guest()
	go i.runTask(t, r, f)
}

// runTask runs f to its end. The crew waits for it.
func (i *instance) runTask(t *task, r *runner, f func(context.Context) error) {
	defer r.crew.ended(r)
	limit := time.AfterFunc(taskLimit, func() {
		t.cancel(errTaskLimit)
		i.endTask(t)
	})
	defer limit.Stop()
	defer i.endTask(t) // also after runtime.Goexit
	defer func() {
		if v := recover(); v != nil {
			i.logError(i.panicked(v))
		}
	}()
	if err := f(t.ctx); err != nil && t.ctx.Err() == nil {
		i.logError(err)
	}
}

// endTask has the object in memory no longer because of t.
func (i *instance) endTask(t *task) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, runs := i.tasks[t]; runs {
		delete(i.tasks, t)
		t.cancel(errEnded)
		i.untaskLocked()
	}
}
