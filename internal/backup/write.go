package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// Source is where a backup is taken from.
type Source struct {
	// Walk calls f for each object, in any order, and stops at its error.
	Walk func(f func(dormouse.Key, snapshot.Source) error) error
	// Shelves calls f for each file of KV and R2 with its name in the backup, and
	// where it can be read meanwhile; nil: there is none.
	Shelves func(f func(name, path string) error) error
	// Temp is a folder for one copy at a time.
	Temp string
	// Classes is the content of classes.json; nil: there is none.
	Classes []byte
	Version string // of Dormouse
}

// Write writes a backup as a tar stream. Each object is in it as of one commit
// that was made after Write began, or the last one before.
func Write(ctx context.Context, to io.Writer, src Source) (Summary, error) {
	w := &writer{ctx: ctx, tar: tar.NewWriter(to), src: src, begun: time.Now()}
	if err := src.Walk(w.object); err != nil {
		return Summary{}, err
	}
	if src.Shelves != nil {
		if err := src.Shelves(w.shelfFile); err != nil {
			return Summary{}, err
		}
	}
	if src.Classes != nil {
		if err := w.file(ClassesName, src.Classes); err != nil {
			return Summary{}, err
		}
	}
	manifest, s, err := encodeManifest(header{Format, w.begun.UTC(), time.Now().UTC(), src.Version}, w.entries)
	if err != nil {
		return s, err
	}
	if err := w.put(manifestName, manifest); err != nil {
		return s, err
	}
	return s, w.tar.Close()
}

type writer struct {
	ctx     context.Context // of the call of Write
	tar     *tar.Writer
	src     Source
	begun   time.Time
	entries []Entry
}

// object copies one database into the stream.
func (w *writer) object(k dormouse.Key, src snapshot.Source) error {
	copied := filepath.Join(w.src.Temp, "backup.sqlite")
	err := snapshot.Take(w.ctx, src, copied)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted since, or nothing is in it yet
	}
	if err != nil {
		return err
	}
	defer os.Remove(copied)
	f, err := os.Open(copied)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	e := Entry{Namespace: k.Namespace, ID: k.ID.String(), Bytes: info.Size()}
	e.Alarm, err = alarmOf(copied)
	if err != nil {
		e.Damaged = err.Error() // what there is of it is kept all the same
	}
	return w.add(e, info.Size(), f)
}

// shelfFile copies a file of a KV namespace or a bucket into the stream.
func (w *writer) shelfFile(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return w.add(Entry{File: name, Bytes: info.Size()}, info.Size(), f)
}

func alarmOf(path string) (*time.Time, error) {
	db, err := sqlitefile.OpenCopy(path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	at, err := db.Alarm()
	if err != nil || at.IsZero() {
		return nil, err
	}
	at = at.UTC()
	return &at, nil
}

func (w *writer) file(name string, content []byte) error {
	sum := sha256.Sum256(content)
	w.entries = append(w.entries, Entry{File: name, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])})
	return w.put(name, content)
}

func (w *writer) add(e Entry, size int64, content io.Reader) error {
	if err := w.head(e.name(), size); err != nil {
		return err
	}
	sum := sha256.New()
	if n, err := io.Copy(io.MultiWriter(w.tar, sum), content); err != nil || n != size {
		return errors.Join(err, fmt.Errorf("%s: %d of %d bytes were written", e.name(), n, size))
	}
	e.SHA256 = hex.EncodeToString(sum.Sum(nil))
	w.entries = append(w.entries, e)
	return nil
}

func (w *writer) put(name string, content []byte) error {
	if err := w.head(name, int64(len(content))); err != nil {
		return err
	}
	_, err := w.tar.Write(content)
	return err
}

func (w *writer) head(name string, size int64) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.begun, Format: tar.FormatPAX})
}
