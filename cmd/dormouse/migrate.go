package main

import (
	"log/slog"
	"time"

	"github.com/dormouse-dev/dormouse/internal/classes"
	"github.com/dormouse-dev/dormouse/internal/project"
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
	o, err := r.Apply(c, classes.World{Now: time.Now(), Stored: classes.Stored(server.DatabaseFolder(data))})
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
