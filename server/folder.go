package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/backup"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
)

// Folder is a data folder that no server uses, and that none can use until
// Close.
type Folder struct {
	Data   string
	lock   *lock
	engine *journal.Engine
}

// OpenFolder takes a data folder, which must exist, for a tool. If a server uses
// it, the error is an *InUse.
func OpenFolder(data string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(data, "format")); err != nil {
		return nil, fmt.Errorf("%s is no data folder of Dormouse: %w", data, err)
	}
	return MakeFolder(data)
}

// MakeFolder is OpenFolder for a folder that need not exist.
func MakeFolder(data string) (*Folder, error) {
	l, err := take(data)
	if err != nil {
		return nil, err
	}
	// It brings in order what a server has left in the middle of its work: from
	// here on databases are whole without it, and it does not undo what others
	// change.
	e, _, err := journal.Open(DatabaseFolder(data), journal.Options{
		KeepFor: journal.KeepAll, KeepBytes: journal.KeepAll, // the budgets are the server's
		CheckImage: checkImage,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w", data, err), l.release())
	}
	return &Folder{data, l, e}, nil
}

// Backup writes a backup of the selected objects, as a tar stream.
func (f *Folder) Backup(ctx context.Context, to io.Writer, which browse.Selection) error {
	dir, err := os.MkdirTemp(f.Data, "tmp-")
	if err != nil {
		return err
	}
	stores := shelves{data: f.Data}
	err = backUp(ctx, to, f.Data, dir, which, &stores, func(k dormouse.Key) snapshot.Source {
		return snapshot.Source{Path: DatabasePath(f.Data, k)}
	})
	return errors.Join(err, stores.Close(), os.RemoveAll(dir))
}

// Purge removes all objects of a namespace for good: whoever has its name and
// theirs later has nothing of their past. They are moved out of the namespace
// first, by an entry of the journal, which history cannot go behind.
func (f *Folder) Purge(n dormouse.Namespace) error {
	for k := range f.engine.Wakes() {
		if k.Namespace != n {
			continue
		}
		if err := f.engine.SetWake(k, storage.Wake{}); err != nil {
			return err
		}
	}
	// No Worker's class has such a namespace: classes do not begin with a digit.
	aside := dormouse.Namespace(fmt.Sprintf("%s%d", purgedPrefix, time.Now().UnixNano()))
	moved := make(chan error, 1)
	if err := f.engine.Move(n, aside, func(_ storage.Bookmark, err error) { moved <- err }); err != nil {
		return err
	}
	if err := <-moved; err != nil {
		return err
	}
	// With what an earlier purge may have left that did not come to its end.
	folders, err := filepath.Glob(filepath.Join(DatabaseFolder(f.Data), purgedPrefix+"[0-9]*"))
	for _, folder := range folders {
		err = errors.Join(err, os.RemoveAll(folder))
	}
	return err
}

// purgedPrefix begins the namespaces of objects that are being removed.
const purgedPrefix = "purged-"

// Restore makes a data folder, which must not exist or be empty, of a backup.
func Restore(path, data string) (backup.Summary, error) {
	return backup.Restore(path, data, backup.Layout{
		Path:    DatabasePath,
		Classes: func(data string) string { return filepath.Join(data, backup.ClassesName) },
		Finish: func(data string, alarms []backup.Entry) error {
			f, err := MakeFolder(data)
			if err != nil {
				return err
			}
			for _, e := range alarms {
				k, bad := e.Key()
				if bad == nil {
					bad = f.setWake(k, *e.Alarm)
				}
				err = errors.Join(err, bad)
			}
			return errors.Join(err, f.Close())
		},
	})
}

// Close gives the folder back.
func (f *Folder) Close() error { return errors.Join(f.engine.Close(), f.lock.release()) }

// InUse is returned for a data folder that another process uses.
type InUse struct {
	Folder string
	PID    string
	Admin  string // address of its admin API; empty: it has none
}

func (e *InUse) Error() string {
	return fmt.Sprintf("data folder %s is in use by another Dormouse (process %s); stop that one or give this one another folder with --data", e.Folder, e.PID)
}

// inUse reads from the lock's file who uses a folder.
func inUse(folder string, f *os.File) *InUse {
	e := &InUse{Folder: folder}
	lines := bufio.NewScanner(io.NewSectionReader(f, 0, 1024))
	for _, field := range []*string{&e.PID, &e.Admin} {
		if lines.Scan() {
			*field = strings.TrimSpace(lines.Text())
		}
	}
	return e
}

// Announce leaves word in the data folder where the admin API is, for tools that
// find the folder in use.
func (s *Server) Announce(admin string) error {
	return s.lock.write(fmt.Sprintf("%d\n%s\n", os.Getpid(), admin))
}

func (l *lock) write(text string) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt([]byte(text), 0)
	return err
}
