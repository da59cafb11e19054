package server

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitestore"
)

// newStores makes the storage of objects written in Go.
func (s *Server) newStores() *sqlitestore.Stores {
	return sqlitestore.New(sqlitestore.Config{Engine: s.engine, Path: func(k dormouse.Key) string { return DatabasePath(s.Data, k) }})
}

// needCheckpoint has a WAL moved into its database soon, by whoever has it open.
func (s *Server) needCheckpoint(k dormouse.Key) {
	if s.inGo(k.Namespace) {
		s.stores.NeedCheckpoint(k)
		return
	}
	s.route(k).NeedCheckpoint(k)
}

// within is the engine as hosts of objects written in Go know it: the stores in
// this process open databases, and close and checkpoint them.
type within struct{ durability }

var _ host.Durability = within{}

func (within) Open(_ dormouse.Key, done func(error)) error {
	done(nil)
	return nil
}

func (within) Release(dormouse.Key) {}

func (within) Checkpoint(dormouse.Key, func(error)) error { return storage.ErrNotOpen }

func (within) Checkpointed(dormouse.Key, int) {}
