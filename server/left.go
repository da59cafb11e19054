package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// lookPause is between two folders of databases, so that a large store is looked
// through without anybody noticing.
const lookPause = 5 * time.Millisecond

// background is work beside everything else, on a goroutine that end ends.
type background struct {
	cancel context.CancelFunc // nil: it was never begun
	done   sync.WaitGroup
}

func (b *background) begin(work func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.done.Go(func() { work(ctx) })
}

// end ends the work and waits for it. Pairs with begin.
func (b *background) end() {
	if b.cancel != nil {
		b.cancel()
		b.done.Wait()
	}
}

// lookForLeft begins to look for what a killed process has left, unless the last
// one ended in order. Called when the loops run.
func (s *Server) lookForLeft() {
	if s.left {
		s.looking.begin(s.findLeft)
	}
}

// findLeft looks for the logs that a process which was killed has left beside
// databases, and has their objects asked for their alarms. One may have been
// committed there that nobody had been told of. Databases are not opened; it
// returns when everything was looked at, or ctx ends.
func (s *Server) findLeft(ctx context.Context) {
	whole := !s.othersLieThere()
	for _, n := range (runtime{s}).Namespaces() {
		folders := filepath.Join(DatabaseFolder(s.Data), storage.Folder(n))
		list, err := os.ReadDir(folders)
		if err != nil {
			whole = whole && errors.Is(err, fs.ErrNotExist) // then no object of the class has written anything
			continue
		}
		for _, d := range list {
			select {
			case <-ctx.Done():
				return
			case <-time.After(lookPause):
			}
			whole = s.findLeftIn(n, filepath.Join(folders, d.Name())) && whole
		}
	}
	if whole {
		s.looked()
	}
}

// othersLieThere says whether there are databases of namespaces that this server
// does not have. Nobody has looked for their logs.
func (s *Server) othersLieThere() bool {
	ours := make(map[string]bool)
	for _, n := range (runtime{s}).Namespaces() {
		ours[storage.Folder(n)] = true
	}
	list, err := os.ReadDir(DatabaseFolder(s.Data))
	if err != nil {
		return true
	}
	for _, d := range list {
		if d.IsDir() && d.Name() != storage.JournalFolder && !ours[d.Name()] {
			return true
		}
	}
	return false
}

// looked tells the engine, once every shard has taken what was found: an orderly
// end after that leaves nothing to be looked for.
func (s *Server) looked() {
	e := s.engine.engine.Load()
	if e == nil {
		return
	}
	var left atomic.Int32
	left.Store(int32(len(s.shards)))
	for _, sh := range s.shards {
		sh.loop.Post(func() {
			if left.Add(-1) == 0 {
				e.Looked()
			}
		})
	}
}

// findLeftIn says whether the folder could be read.
func (s *Server) findLeftIn(n dormouse.Namespace, folder string) bool {
	f, err := os.Open(folder)
	if err != nil {
		return false
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		hex, is := strings.CutSuffix(name, ".sqlite-wal")
		if !is {
			continue
		}
		if id, err := n.ParseID(hex); err == nil {
			k := dormouse.Key{Namespace: n, ID: id}
			sh := s.of(k)
			sh.loop.Post(func() { sh.doubt(k) })
		}
	}
	return true
}

// doubt has an object asked for its alarm, if nothing is known of it. One in
// memory says what it has when it opens its database.
func (sh *shard) doubt(k dormouse.Key) {
	if _, known := sh.alarms.Look(k); known {
		return
	}
	if i, known := sh.host.Look(k); known && !i.Since.IsZero() {
		return
	}
	sh.alarms.Doubt(k)
}
