package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/classes"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/server"
)

// migrate tells the classes of a Worker their namespaces, as the data folder
// remembers them and the Worker's migrations say. What it returns is to be saved
// once the data folder is locked and the Worker has been accepted.
func migrate(data string, c *project.Config, log *slog.Logger) (*classes.Record, error) {
	r, err := classes.Load(data)
	if err != nil {
		return nil, err
	}
	o, err := r.Apply(c, classes.World{Now: time.Now(), Stored: func(n dormouse.Namespace) bool {
		return hasObjects(filepath.Join(server.DatabaseFolder(data), storage.Folder(n)))
	}})
	if err != nil {
		return nil, err
	}
	for _, w := range o.Warnings {
		log.Warn(w)
	}
	if len(o.Applied) > 0 {
		log.Debug("migrations are applied", "tags", o.Applied)
	}
	return r, nil
}

// hasObjects says whether there is anything in the folder of a namespace.
func hasObjects(folder string) bool {
	entries, err := os.ReadDir(folder)
	return len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}
