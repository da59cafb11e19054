package journal

import (
	"fmt"
	"path/filepath"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// syncedDirs remembers which folders are known to exist after a power cut, so
// that a new database costs the sync of one folder and not of every folder
// above it.
type syncedDirs struct {
	fs   disk.FS
	root string // exists, and is none of ours to sync
	seen map[string]bool
}

// sync makes the entries of dir durable, and those of the folders between it
// and the root on the first time.
func (s *syncedDirs) sync(dir string) error {
	if err := s.fs.SyncDir(dir); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	for !s.seen[dir] && dir != s.root {
		parent := filepath.Dir(dir)
		if err := s.fs.SyncDir(parent); err != nil {
			return fmt.Errorf("sync folder %s: %w", parent, err)
		}
		s.seen[dir] = true
		dir = parent
	}
	return nil
}
