package goguest

import (
	"context"
	"errors"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/author"
)

// Opener makes the storage of an object. It opens nothing yet.
type Opener func(k dormouse.Key, h StoreHooks) Store

// Store is the storage of one instance. Its methods may be called on any
// goroutine.
type Store interface {
	author.Storage
	// Commit ends the turn: what was written in it is one transaction. After an
	// error nothing of the turn is left, and the store is of no use any more.
	Commit() (Commit, error)
	// StartAlarm says whether the alarm is due now, and hides it from the author
	// until FinishAlarm, or that it is not and when it will be.
	StartAlarm(now time.Time) (due bool, next time.Time, err error)
	// FinishAlarm tells that the handler has ended. An alarm that is done, and
	// was not set anew, is deleted.
	FinishAlarm(done bool) error
	// Name returns the name that SetAlarm has kept with the alarm.
	Name() (name string, ok bool, err error)
	// Close undoes what was not committed and lets go of the database, as soon as
	// nobody is inside. It does not wait for that.
	Close()
}

// StoreHooks is what a Store tells its instance, also while it runs a method.
type StoreHooks interface {
	// Written tells that the turn's transaction has begun: what is said from now
	// on waits for its commit.
	Written()
	// Broken tells that the storage cannot go on.
	Broken(error)
	// HasAlarm says whether the object has an alarm handler.
	HasAlarm() bool
	// Name is the object's name, if whoever called it has said it.
	Name() (string, bool)
	// Durable waits until everything committed is on disk.
	Durable(context.Context) error
}

// Commit is what a turn has written.
type Commit struct {
	Wrote bool // something; otherwise the rest means nothing
	Moved Moved
	Alarm time.Time // as it is now; zero: none
}

// Moved says how an alarm has moved.
type Moved int8

const (
	NotMoved Moved = iota
	Earlier
	Later // or there is none any more
)

// awaited is somebody who waits until a commit is durable.
type awaited struct {
	commit uint32
	done   chan struct{}
}

var errNoStorage = errors.New("this server has no storage")

// Storage implements author.Instance.
func (i *instance) Storage() author.Storage { return storage{i} }

// storage is an instance's storage as its author reaches it: opened when it is
// first used, and nothing when the instance has ended.
type storage struct{ i *instance }

func (s storage) open() (Store, error) {
	i := s.i
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.dead != nil:
		return nil, i.dead
	case i.store != nil:
		return i.store, nil
	case i.g.open == nil:
		return nil, errNoStorage
	}
	i.store = i.g.open(i.key, hooks{i})
	i.stored.Store(true)
	return i.store, nil
}

func (s storage) Get(key string, into any) (bool, error) {
	t, err := s.open()
	if err != nil {
		return false, err
	}
	return t.Get(key, into)
}

func (s storage) Put(key string, value any) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	return t.Put(key, value)
}

func (s storage) Delete(keys []string) (int, error) {
	t, err := s.open()
	if err != nil {
		return 0, err
	}
	return t.Delete(keys)
}

func (s storage) List(r author.Range, yield func(string, func(any) error) bool) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	return t.List(r, yield)
}

func (s storage) DeleteAll() error {
	t, err := s.open()
	if err != nil {
		return err
	}
	return t.DeleteAll()
}

func (s storage) Alarm() (time.Time, error) {
	t, err := s.open()
	if err != nil {
		return time.Time{}, err
	}
	return t.Alarm()
}

func (s storage) SetAlarm(at time.Time) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	return t.SetAlarm(at)
}

func (s storage) Transaction(f func() error) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	return t.Transaction(f)
}

func (s storage) Query(query string, args []any) (author.Rows, error) {
	t, err := s.open()
	if err != nil {
		return nil, err
	}
	return t.Query(query, args)
}

func (s storage) Prepare(query string) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	return t.Prepare(query)
}

func (s storage) Size() (int64, error) {
	t, err := s.open()
	if err != nil {
		return 0, err
	}
	return t.Size()
}

// Sync commits what the turn has written, so that it can become durable.
func (s storage) Sync(ctx context.Context) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	if e := s.i.own(ctx); e != nil && e.has() {
		s.i.endTurn(e)
	}
	return t.Sync(ctx)
}

// endTurn commits what the event has written, and says the commit in its place.
func (i *instance) endTurn(e *event) {
	if !i.stored.Load() {
		return
	}
	i.mu.Lock()
	t := i.store
	i.mu.Unlock()
	c, err := t.Commit()
	if err != nil {
		i.abort(storageFailed(err), dropSockets)
		return
	}
	if !c.Wrote {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return
	}
	i.commits++
	n := i.commits
	b := i.outLocked()
	b.written() // if it was not noted, there is nothing behind it
	b.committed(func() {
		if c.Moved == Earlier {
			i.g.host.SetAlarm(i.g, i.num, c.Alarm, false)
		}
		i.g.host.Commit(i.g, i.num, n, false)
		if c.Moved == Later {
			i.g.host.SetAlarm(i.g, i.num, c.Alarm, true)
		}
	})
}

func storageFailed(err error) *dormouse.Error {
	return &dormouse.Error{Message: "Durable Object storage failed, and the object was reset: " + err.Error(), ObjectReset: true}
}

// closeStore lets go of the database.
func (i *instance) closeStore() {
	i.mu.Lock()
	t := i.store
	waiting := i.awaited
	i.awaited = nil
	i.failAskedLocked()
	i.mu.Unlock()
	for _, a := range waiting {
		close(a.done)
	}
	if t != nil {
		t.Close()
	}
}

// hooks is an instance as its store sees it.
type hooks struct{ i *instance }

// Written implements StoreHooks.
func (h hooks) Written() {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	if h.i.dead == nil {
		h.i.outLocked().written()
	}
}

// Broken implements StoreHooks.
func (h hooks) Broken(err error) { h.i.abort(storageFailed(err), dropSockets) }

// HasAlarm implements StoreHooks. In the constructor it cannot be known yet.
func (h hooks) HasAlarm() bool {
	h.i.mu.Lock()
	began := h.i.began
	h.i.mu.Unlock()
	return !began || h.i.alarm != nil
}

// Name implements StoreHooks.
func (h hooks) Name() (string, bool) { return h.i.name, h.i.hasName }

// Durable implements StoreHooks.
func (h hooks) Durable(ctx context.Context) error {
	i := h.i
	i.mu.Lock()
	if i.dead != nil {
		defer i.mu.Unlock()
		return i.dead
	}
	n := i.commits
	if n == 0 {
		i.mu.Unlock()
		return nil
	}
	a := awaited{n, make(chan struct{})}
	i.awaited = append(i.awaited, a)
	i.outLocked().later(func() { i.g.host.AwaitDurable(i.g, i.num, n) })
	i.handOverLocked()
	i.unlockToWait()
	select {
	case <-a.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.dead
}

// durable tells those who wait for commits up to n. On the loop.
func (i *instance) durable(n uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.awaited) > 0 && i.awaited[0].commit <= n {
		close(i.awaited[0].done)
		i.awaited = i.awaited[1:]
	}
}

// startAlarm asks the truth whether an alarm is due. If it is not, the index of
// alarms is put right.
func (i *instance) startAlarm(now time.Time) (bool, error) {
	t, err := storage{i}.open()
	if err != nil {
		return false, err
	}
	due, next, err := t.StartAlarm(now)
	if err != nil || due {
		return due, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().later(func() { i.g.host.SetAlarm(i.g, i.num, next, true) })
	return false, nil
}

// finishAlarm pairs with startAlarm.
func (i *instance) finishAlarm(done bool) error {
	t, err := storage{i}.open()
	if err != nil {
		return err
	}
	return t.FinishAlarm(done)
}
