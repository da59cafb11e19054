package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Visit is called with each file of a backup before anything is known of it but
// its place: an Entry with namespace and id, or with File. What it does not read
// is skipped. Only when Read has returned without an error was it what the
// manifest says.
type Visit func(e Entry, content io.Reader) error

// Read reads and verifies a backup: a folder, or a file with a tar stream,
// compressed or not. visit may be nil. The entries are those of the manifest.
func Read(path string, visit Visit) (entries []Entry, s Summary, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, s, err
	}
	if info.IsDir() {
		return readFolder(path, visit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, s, err
	}
	defer f.Close()
	return ReadStream(f, visit)
}

// ReadStream is Read for a stream.
func ReadStream(from io.Reader, visit Visit) (entries []Entry, s Summary, err error) {
	_, entries, s, err = readStream(from, visit)
	return entries, s, err
}

// readStream also returns the manifest as it is.
func readStream(from io.Reader, visit Visit) (manifest []byte, entries []Entry, s Summary, err error) {
	plain, err := decompress(from)
	if err != nil {
		return nil, nil, s, err
	}
	defer plain.Close()
	v := newVerifier(visit)
	in := tar.NewReader(plain)
	for {
		h, err := in.Next()
		switch {
		case err == io.EOF && v.seen == 0:
			return nil, nil, s, ErrNoBackup
		case err == io.EOF:
			return nil, nil, s, fmt.Errorf("%w: it has no manifest", ErrIncomplete)
		case err != nil && v.seen == 0:
			return nil, nil, s, fmt.Errorf("%w (%w)", ErrNoBackup, err)
		case err != nil:
			return nil, nil, s, fmt.Errorf("%w: %w", ErrIncomplete, err)
		}
		if h.Typeflag != tar.TypeReg {
			return nil, nil, s, fmt.Errorf("%w: %q is no file", ErrNoBackup, h.Name)
		}
		if h.Name == manifestName {
			return v.finish(in)
		}
		if err := v.file(h.Name, in); err != nil {
			return nil, nil, s, err
		}
	}
}

// decompress finds out how a stream is compressed.
func decompress(from io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(from, 256<<10)
	head, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

func readFolder(dir string, visit Visit) (entries []Entry, s Summary, err error) {
	manifest, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s, fmt.Errorf("%w: %s has no %s", ErrNoBackup, dir, manifestName)
	}
	if err != nil {
		return nil, s, err
	}
	defer manifest.Close()
	v := newVerifier(visit)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if name == manifestName {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return v.file(filepath.ToSlash(name), f)
	})
	if err != nil {
		return nil, s, err
	}
	_, entries, s, err = v.finish(manifest)
	return entries, s, err
}

// verifier takes the files of a backup and compares them with the manifest.
type verifier struct {
	visit Visit
	seen  int
	found map[string]found
}

type found struct {
	bytes int64
	sum   [sha256.Size]byte
}

func newVerifier(visit Visit) *verifier {
	if visit == nil {
		visit = func(Entry, io.Reader) error { return nil }
	}
	return &verifier{visit: visit, found: make(map[string]found)}
}

// file takes a file that stands before the manifest.
func (v *verifier) file(name string, content io.Reader) error {
	v.seen++
	e, err := parseName(name)
	if err != nil {
		return err
	}
	if _, twice := v.found[name]; twice {
		return fmt.Errorf("%w: %s stands in it twice", ErrDamaged, name)
	}
	summed := &summing{from: content, sum: sha256.New()}
	err = v.visit(e, summed)
	if err == nil {
		_, err = io.Copy(io.Discard, summed)
	}
	if summed.err != nil {
		return fmt.Errorf("%w: %s: %w", ErrIncomplete, name, summed.err)
	}
	if err != nil {
		return err
	}
	v.found[name] = found{summed.n, [sha256.Size]byte(summed.sum.Sum(nil))}
	return nil
}

// parseName says what a file is. Nothing else is ever used of a name.
func parseName(name string) (Entry, error) {
	if name == ClassesName || isShelfFile(name) {
		return Entry{File: name}, nil
	}
	parts := strings.Split(name, "/")
	if len(parts) == 3 && parts[0] == objectsFolder {
		n, ok := storage.ParseFolder(parts[1])
		id, is := strings.CutSuffix(parts[2], ".sqlite")
		e := Entry{Namespace: n, ID: id}
		if _, err := e.Key(); ok && is && err == nil {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("%w: there is a file %q in it", ErrNoBackup, name)
}

// finish reads the manifest and holds what was found against it.
func (v *verifier) finish(from io.Reader) (manifest []byte, entries []Entry, s Summary, err error) {
	if manifest, err = io.ReadAll(io.LimitReader(from, maxManifest)); err != nil {
		return nil, nil, s, fmt.Errorf("%w: its manifest: %w", ErrIncomplete, err)
	}
	if entries, s, err = decodeManifest(manifest); err != nil {
		return nil, nil, s, err
	}
	for i := range entries {
		e := &entries[i]
		have, ok := v.found[e.name()]
		switch {
		case !ok:
			return nil, nil, s, fmt.Errorf("%w: %s is missing", ErrIncomplete, e.name())
		case have.bytes != e.Bytes || hex.EncodeToString(have.sum[:]) != e.SHA256:
			return nil, nil, s, fmt.Errorf("%w: %s is not what it was", ErrDamaged, e.name())
		}
		delete(v.found, e.name())
	}
	for name := range v.found {
		return nil, nil, s, fmt.Errorf("%w: %s is not in its manifest", ErrDamaged, name)
	}
	return manifest, entries, s, nil
}

// summing is a reader that adds up what it reads.
type summing struct {
	from io.Reader
	sum  hash.Hash
	n    int64
	err  error // of from, but for its end
}

func (s *summing) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	s.sum.Write(b[:n])
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
