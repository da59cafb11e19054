package backup

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// Save keeps a backup at a path that must not exist: a file, if the path ends in
// .tar, .tar.gz, .tgz or .tar.zst, and else a folder. fill writes the tar
// stream. The backup is verified while it is saved, and appears whole or not at
// all.
func Save(path string, fill func(io.Writer) error) (Summary, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return Summary{}, errors.Join(fmt.Errorf("%s exists: give a name that does not", path), err)
	}
	partial := path + ".partial"
	keep := saveFolder
	if isFile(path) {
		keep = saveFile
	}
	s, err := keep(path, partial, fill)
	if err != nil {
		return s, errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Rename(partial, path); err != nil {
		return s, err
	}
	return s, disk.OS{}.SyncDir(filepath.Dir(path))
}

// Through reads and verifies the tar stream that fill writes, as ReadStream does.
func Through(fill func(io.Writer) error, visit Visit) (entries []Entry, s Summary, err error) {
	err = piped(fill, func(r io.Reader) error {
		entries, s, err = ReadStream(r, visit)
		return err
	})
	return entries, s, err
}

func isFile(path string) bool {
	for _, end := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// piped runs fill, and gives what it writes to take.
func piped(fill func(io.Writer) error, take func(io.Reader) error) error {
	r, w := io.Pipe()
	filled := make(chan error, 1)
	go func() {
		err := fill(w)
		w.CloseWithError(err)
		filled <- err
	}()
	err := take(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the end of the tar
	}
	r.CloseWithError(errors.Join(err, errStopped))
	if e := <-filled; e != nil && !errors.Is(e, errStopped) {
		return e // the cause of what take has seen
	}
	return err
}

var errStopped = errors.New("the reader has stopped")

func saveFile(path, partial string, fill func(io.Writer) error) (s Summary, err error) {
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return s, err
	}
	defer f.Close()
	packed, err := compressor(path, f)
	if err != nil {
		return s, err
	}
	err = piped(fill, func(r io.Reader) error {
		both := io.TeeReader(r, packed)
		_, s, err = ReadStream(both, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, both)
		}
		return err
	})
	return s, errors.Join(err, packed.Close(), f.Sync())
}

func compressor(path string, to io.Writer) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(path, ".zst"):
		return zstd.NewWriter(to, zstd.WithEncoderConcurrency(1))
	case strings.HasSuffix(path, "gz"):
		return gzip.NewWriterLevel(to, gzip.BestSpeed)
	}
	return nopCloser{to}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func saveFolder(_, partial string, fill func(io.Writer) error) (s Summary, err error) {
	if err := os.RemoveAll(partial); err != nil { // of an attempt that was cut off
		return s, err
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return s, err
	}
	err = piped(fill, func(r io.Reader) error {
		var manifest []byte
		manifest, _, s, err = readStream(r, func(e Entry, content io.Reader) error {
			return writeFile(filepath.Join(partial, filepath.FromSlash(e.name())), content)
		})
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(partial, manifestName), bytes.NewReader(manifest))
	})
	if err != nil {
		return s, err
	}
	return s, disk.OS{}.SyncAll(partial)
}

// writeFile writes a file, and syncs nothing.
func writeFile(path string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
