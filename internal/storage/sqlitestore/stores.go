// Package sqlitestore is the storage of objects written in Go: their databases,
// opened in this process, with the same tables and files as those of objects
// written in JavaScript. It knows SQLite and values, and never sees an object's
// handlers or what they say.
//
// A database is a handle: one connection, which stays open for a while after its
// object has left memory. It neither syncs nor checkpoints by itself. The
// storage engine makes commits durable, and a handle checkpoints and closes only
// when the engine says that everything in its WAL is on disk; see package
// storage, Engine.
package sqlitestore

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Engine is what Stores need of a storage.Engine.
type Engine interface {
	Open(dormouse.Key, storage.User, storage.Done) error
	Checkpoint(dormouse.Key, storage.Done) error
	Checkpointed(dormouse.Key, int)
	Release(dormouse.Key)
}

// Config is what Stores need.
type Config struct {
	// Path says where an object's database lies.
	Path func(dormouse.Key) string
	// Engine makes commits durable. nil: they are in the files, and outlive this
	// process but not a power cut.
	Engine Engine
	// Resting is how many databases stay open after their objects have left
	// memory; 0 is 64. Past it the one that has rested longest is closed.
	Resting int
}

// Stores holds the databases of a server's objects.
type Stores struct {
	// Set once.
	path   func(dormouse.Key) string
	engine Engine
	most   int

	mu      sync.Mutex // guards the following
	handles map[dormouse.Key]*handle
	resting list.List // of *handle, the one that has rested longest first
	closed  bool
	// Whose connections must not be closed, because that would move what is not
	// durable into their databases. There are some only when the journal has
	// failed to write.
	abandoned []*handle
	closing   sync.WaitGroup // goroutines that close handles
}

// New makes Stores.
func New(c Config) *Stores {
	s := &Stores{path: c.Path, engine: c.Engine, most: c.Resting, handles: make(map[dormouse.Key]*handle)}
	if s.most <= 0 {
		s.most = 64
	}
	return s
}

// Open makes the storage of an object. It opens no file yet.
func (s *Stores) Open(k dormouse.Key, h goguest.StoreHooks) goguest.Store {
	return &Store{stores: s, key: k, path: s.path(k), hooks: h}
}

// NeedCheckpoint has an object's WAL moved into its database soon: at once if
// the object rests, otherwise at the end of a turn. It does not block.
func (s *Stores) NeedCheckpoint(k dormouse.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.handles[k]
	if h == nil || h.state == ending {
		return
	}
	h.crowded.Store(true)
	if h.state == atRest {
		// Opening it again is cheaper than a goroutine for each that rests.
		s.endLocked(h)
	}
}

// LetGo closes an object's database if it rests. The engine is told a little later.
func (s *Stores) LetGo(k dormouse.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.handles[k]; h != nil && h.state == atRest {
		s.endLocked(h)
	}
}

// Close closes every database. The objects have left memory.
func (s *Stores) Close() {
	s.mu.Lock()
	s.closed = true
	for _, h := range s.handles {
		if h.state == atRest {
			s.endLocked(h)
		}
	}
	s.mu.Unlock()
	s.closing.Wait()
}

var errClosed = errors.New("the server has stopped")

// acquire returns the handle of an object, which is the caller's until release or
// discard. It returns nil if there is no database and none is to be made. It
// waits for the handle of an instance before, and for what its WAL holds to be
// durable.
func (s *Stores) acquire(k dormouse.Key, path string, create bool) (*handle, error) {
	s.mu.Lock()
	for {
		if s.closed {
			s.mu.Unlock()
			return nil, errClosed
		}
		h := s.handles[k]
		if h == nil {
			break
		}
		if h.state == atRest {
			s.resting.Remove(h.element)
			h.state = inUse
			s.mu.Unlock()
			return h, nil
		}
		// An instance before still holds it, or it is being closed.
		gone := h.gone
		s.mu.Unlock()
		select {
		case <-gone:
		case <-time.After(handleLimit):
			return nil, fmt.Errorf("its database has not been let go of for %v", handleLimit)
		}
		s.mu.Lock()
	}
	h := &handle{key: k, path: path, state: inUse, gone: make(chan struct{})}
	s.handles[k] = h
	s.mu.Unlock()

	ok, err := h.open(s.engine, create)
	if err != nil || !ok {
		s.end(h)
		return nil, err
	}
	return h, nil
}

// handleLimit is how long an object waits for its database.
const handleLimit = 30 * time.Second

// release lets a handle rest.
func (s *Stores) release(h *handle) {
	if h.conn == nil || h.altered || !h.quiet() {
		s.discard(h)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || h.crowded.Load() {
		s.endLocked(h)
		return
	}
	h.state = atRest
	h.element = s.resting.PushBack(h)
	close(h.gone)
	h.gone = make(chan struct{})
	for s.resting.Len() > s.most {
		s.endLocked(s.resting.Front().Value.(*handle))
	}
}

// discard closes a handle.
func (s *Stores) discard(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(h)
}

// endLocked closes a handle on a goroutine of its own.
func (s *Stores) endLocked(h *handle) {
	if h.state == atRest {
		s.resting.Remove(h.element)
	}
	h.state = ending
	s.closing.Add(1)
	go func() {
		defer s.closing.Done()
		s.end(h)
	}()
}

// end closes a handle and takes it out of the table. Whoever waits for it goes
// on.
func (s *Stores) end(h *handle) {
	closed := h.end(s.engine)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !closed {
		s.abandoned = append(s.abandoned, h)
	}
	delete(s.handles, h.key)
	close(h.gone)
}
