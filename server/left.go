package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
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

// findLeft looks for the logs that a process which was killed has left beside
// databases, and has their objects asked for their alarms. One may have been
// committed there that nobody had been told of. Databases are not opened; it
// returns when everything was looked at, or ctx ends.
func (s *Server) findLeft(ctx context.Context) {
	for _, n := range (runtime{s}).Namespaces() {
		folders := filepath.Dir(filepath.Dir(DatabasePath(s.Data, dormouse.Key{Namespace: n})))
		list, err := os.ReadDir(folders)
		if err != nil {
			continue // no object of the class has written anything
		}
		for _, d := range list {
			select {
			case <-ctx.Done():
				return
			case <-time.After(lookPause):
			}
			s.findLeftIn(n, filepath.Join(folders, d.Name()))
		}
	}
}

func (s *Server) findLeftIn(n dormouse.Namespace, folder string) {
	f, err := os.Open(folder)
	if err != nil {
		return
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return
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
