package health

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

const (
	// lowSpace is warned of: an object's commit may need a few megabytes.
	lowSpace = 64 << 20
	// probeEvery bounds how often the disk is written to for a probe.
	probeEvery = time.Second
	probeBytes = 4096
)

// Disk is a Check of whether a folder can be written to. It writes a small file
// and removes it; it does not wait for the disk.
func Disk(dir string) Check {
	d := &diskCheck{dir: dir}
	return d.look
}

type diskCheck struct {
	dir string

	mu   sync.Mutex // guards the following
	at   time.Time
	said []Problem
}

func (d *diskCheck) look(context.Context) []Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); d.at.IsZero() || now.Sub(d.at) >= probeEvery {
		d.at, d.said = now, d.ask()
	}
	return d.said
}

func (d *diskCheck) ask() []Problem {
	if err := probe(d.dir); err != nil {
		what := "give it back, or point --data elsewhere"
		if noRoom(err) {
			what = "make room: nothing that is written can be confirmed"
		}
		return []Problem{{Part: "disk", Text: fmt.Sprintf("the data folder %s cannot be written to: %v; %s", d.dir, err, what)}}
	}
	if free, err := (disk.OS{}).Free(d.dir); err == nil && free < lowSpace {
		return []Problem{{Part: "disk", Warning: true, Text: fmt.Sprintf("the disk of the data folder %s has %d MiB left: make room before commits fail", d.dir, free>>20)}}
	}
	return nil
}

// probe writes a file. Its name begins with a dot and has no second one at a
// time: the data folder belongs to one process.
func probe(dir string) error {
	name := filepath.Join(dir, ".health")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Unwrap(err)
	}
	_, err = f.Write(make([]byte, probeBytes))
	if e := f.Close(); err == nil {
		err = e
	}
	os.Remove(name)
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}
