package workerdisk

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// readAlarms reads the metadata of a namespace, if it has any. The tree is left
// as it is, so a copy is read.
func readAlarms(path string) (alarms map[dormouse.ID]time.Time, err error) {
	dir, err := os.MkdirTemp("", "dormouse-alarms-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, metadata)
	err = snapshot.Take(context.Background(), snapshot.Source{Path: path, Foreign: true}, copied)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	db, err := sqlitefile.OpenCopy(copied)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if there, err := db.Select("SELECT 1 FROM sqlite_schema WHERE name = '_cf_ALARM'"); err != nil || len(there) == 0 {
		return nil, err
	}
	alarms = make(map[dormouse.ID]time.Time)
	after := ""
	for {
		r, err := db.Select("SELECT actor_id, scheduled_time FROM _cf_ALARM WHERE actor_id > ? AND typeof(scheduled_time) = 'integer' ORDER BY actor_id LIMIT 10000", after)
		if err != nil || len(r) == 0 {
			return alarms, err
		}
		for _, row := range r {
			text, _ := row[0].(string)
			at, _ := row[1].(int64)
			after = text
			var id dormouse.ID
			if b, err := hex.DecodeString(text); err == nil && len(b) == len(id) {
				copy(id[:], b)
				alarms[id] = time.Unix(0, at)
			}
		}
	}
}
