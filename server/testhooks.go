package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// evictLimit is how long an object may take to come to rest, as in workerd.
const evictLimit = 30 * time.Second

var errStopping = errors.New("the server is stopping")

// hooks answers what the module workerd:unsafe asks.
//
// Cloudflare: the compatibility flag "unsafe_module".
type hooks struct {
	s *Server
	// shards are those of the Worker that asks: its objects are concerned.
	shards []*shard
}

// ask begins to do what is asked, and answers from a goroutine of its own.
func (h hooks) ask(to guest.Target, r *guest.Request, a host.Answer) host.Asker {
	var do func(context.Context) error
	what, err := url.Parse(r.URL)
	drop := err == nil && what.Query().Get("webSockets") == "close"
	switch {
	case err != nil:
		do = func(context.Context) error { return err }
	case !h.s.now().TestHooks:
		do = func(context.Context) error {
			return errors.New(`"workerd:unsafe" needs the compatibility flag "unsafe_module"`)
		}
	case what.Path == "/evict":
		k, err := h.key(to)
		do = func(ctx context.Context) error { return cmp.Or(err, h.evict(ctx, []dormouse.Key{k}, drop, false)) }
	case what.Path == "/evict-all":
		do = func(ctx context.Context) error { return h.evictAll(ctx, drop) }
	case what.Path == "/abort-all":
		do = func(ctx context.Context) error { return h.abortAll(ctx, "abort") }
	case what.Path == "/delete-all":
		do = h.deleteAll
	default:
		do = func(context.Context) error { return fmt.Errorf("workerd:unsafe has no %q", r.URL) }
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*evictLimit)
		defer cancel()
		err := do(ctx)
		if err == nil {
			a.Response(&guest.Response{Status: 204})
			return
		}
		e, ok := errors.AsType[*dormouse.Error](err)
		if !ok {
			e = &dormouse.Error{Message: err.Error()}
		}
		a.Failure(e)
	}()
	return nobody{}
}

// key is the object that a stub means.
func (h hooks) key(to guest.Target) (dormouse.Key, error) {
	c := h.s.now()
	if to.Index >= len(c.Bindings) {
		return dormouse.Key{}, fmt.Errorf("namespace binding %d of %d", to.Index, len(c.Bindings))
	}
	if c.Bindings[to.Index] < 0 {
		return dormouse.Key{}, errors.New("the object is of another Worker, whose own tests may evict it")
	}
	class := c.Classes[c.Bindings[to.Index]].Name
	return dormouse.Key{Namespace: h.s.namespace(class), ID: to.ID}, nil
}

// evict has objects leave memory, and returns the first reason why one has not.
// With gone, one that is not in memory any more is no error.
func (h hooks) evict(ctx context.Context, keys []dormouse.Key, drop, gone bool) error {
	left := make(chan *dormouse.Error, len(keys))
	for _, k := range keys {
		sh := h.s.of(k)
		if !sh.loop.Post(func() { sh.host.Evict(k, drop, evictLimit, func(e *dormouse.Error) { left <- e }) }) {
			return errStopping
		}
	}
	var first error
	for range keys {
		select {
		case e := <-left:
			if e != nil && first == nil && !(gone && e == host.ErrNotRunning) {
				first = e
			}
		case <-ctx.Done():
			return cmp.Or(first, ctx.Err())
		}
	}
	return first
}

// evictAll evicts what is in memory.
func (h hooks) evictAll(ctx context.Context, drop bool) error {
	var keys []dormouse.Key
	for _, sh := range h.shards {
		sh.loop.Call(func() { keys = append(keys, sh.host.Running()...) })
	}
	return h.evict(ctx, keys, drop, true)
}

// abortAll resets every object, and waits until none of them is in memory.
func (h hooks) abortAll(ctx context.Context, verb string) error {
	e := &dormouse.Error{Message: "Application called " + verb + "AllDurableObjects()."}
	return h.onEach(ctx, func(s *host.Shard, done func()) { s.AbortAll(e, done) })
}

// onEach begins something on each loop and waits for its end.
func (h hooks) onEach(ctx context.Context, begin func(s *host.Shard, done func())) error {
	ended := make(chan struct{}, len(h.shards))
	for _, sh := range h.shards {
		if !sh.loop.Post(func() { begin(sh.host, func() { ended <- struct{}{} }) }) {
			return errStopping
		}
	}
	for range h.shards {
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// deleteAll resets every object and removes its database and its alarm. Nothing
// is started meanwhile.
func (h hooks) deleteAll(ctx context.Context) error {
	for _, sh := range h.shards {
		sh.loop.Post(sh.host.Freeze)
		defer sh.loop.Post(sh.host.Thaw)
	}
	if err := h.abortAll(ctx, "delete"); err != nil {
		return err
	}
	if err := h.onEach(ctx, func(s *host.Shard, done func()) { s.CloseDatabases(done) }); err != nil {
		return err
	}
	for _, c := range h.s.now().Classes {
		if err := h.deleteNamespace(h.s.namespace(c.Name)); err != nil {
			return err
		}
	}
	return nil
}

// deleteDatabase removes the files of an object that nobody has open.
func (h hooks) deleteDatabase(k dormouse.Key) error {
	done := make(chan error, 1)
	if err := h.s.engine.Delete(k, func(_ storage.Bookmark, err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// deleteNamespace removes the databases of all objects of a class.
func (h hooks) deleteNamespace(ns dormouse.Namespace) error {
	files, err := filepath.Glob(filepath.Join(DatabaseFolder(h.s.Data), storage.Folder(ns), "??", "*.sqlite"))
	if err != nil {
		return err
	}
	for _, file := range files {
		id, err := ns.ParseID(strings.TrimSuffix(filepath.Base(file), ".sqlite"))
		if err != nil {
			continue // not one of ours
		}
		k := dormouse.Key{Namespace: ns, ID: id}
		if err := h.deleteDatabase(k); err != nil {
			return err
		}
		sh := h.s.of(k)
		sh.loop.Post(func() { sh.host.ForgetAlarm(k) })
	}
	return nil
}
