// Package backup writes what all objects of a data folder have stored into one
// stream or folder, while a server runs, and reads it again. It knows files and
// checksums, and never sees a running object: package snapshot copies each
// database as of one commit.
//
// A backup is a tar stream, or the same files in a folder:
//
//	objects/<namespace's folder>/<id>.sqlite   one for each object
//	kv/<name>/…, r2/<name>/…                   KV namespaces and buckets
//	classes.json                               which class has which namespace
//	manifest.jsonl                             the last: what there is, with checksums
//
// docs/storage.md describes the manifest.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/shelf"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Format is the version of what this package writes.
const Format = 1

// Names in a backup.
const (
	objectsFolder = "objects"
	manifestName  = "manifest.jsonl"
	// ClassesName is the file of the data folder that is kept with the objects.
	ClassesName = "classes.json"
)

// shelfFolders hold KV namespaces and R2 buckets, as in a data folder.
var shelfFolders = []string{"kv", "r2"}

// isShelfFile says whether a name is that of a file of a KV namespace or a
// bucket: nothing else is restored under such a name.
func isShelfFile(name string) bool {
	kind, rest, _ := strings.Cut(name, "/")
	folder, file, ok := strings.Cut(rest, "/")
	_, named := storage.ParseFolder(folder)
	return ok && named && slices.Contains(shelfFolders, kind) && shelf.IsFile(file)
}

// Errors of reading a backup. What exactly is wrong is wrapped in them.
var (
	// ErrNoBackup: it is something else.
	ErrNoBackup = errors.New("this is no backup of Dormouse")
	// ErrIncomplete: it ends too early, or something is missing.
	ErrIncomplete = errors.New("the backup is incomplete")
	// ErrDamaged: something in it has changed.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewerFormat: a newer Dormouse has written it.
	ErrNewerFormat = errors.New("the backup was written by a newer version of Dormouse; use that one, or a newer one")
)

// header is the first line of a manifest.
type header struct {
	Format  int       `json:"format"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Version string    `json:"dormouse"`
}

// Entry is the line of an object, or with File of another file.
type Entry struct {
	Namespace dormouse.Namespace `json:"namespace,omitempty"`
	ID        string             `json:"id,omitempty"`
	File      string             `json:"file,omitempty"`
	Bytes     int64              `json:"bytes"`
	SHA256    string             `json:"sha256"`
	Alarm     *time.Time         `json:"alarm,omitempty"`
	// Damaged says why the database could not be read when it was copied.
	Damaged string `json:"damaged,omitempty"`
}

// Key is the object's.
func (e *Entry) Key() (dormouse.Key, error) {
	k := dormouse.Key{Namespace: e.Namespace}
	b, err := hex.DecodeString(e.ID)
	if err != nil || len(b) != len(k.ID) || e.ID != strings.ToLower(e.ID) {
		return k, fmt.Errorf("%w: object id %q", ErrDamaged, e.ID)
	}
	if err := storage.CheckNamespace(k.Namespace); err != nil {
		return k, errors.Join(ErrDamaged, err)
	}
	copy(k.ID[:], b)
	return k, nil
}

// name is where it lies in the backup.
func (e *Entry) name() string {
	if e.File != "" {
		return e.File
	}
	return path.Join(objectsFolder, storage.Folder(e.Namespace), e.ID+".sqlite")
}

// trailer is the last line.
type trailer struct {
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"` // of all lines before
}

// Summary says what a backup holds.
type Summary struct {
	Objects int
	Bytes   int64
	Begun   time.Time
	Damaged []Entry // whose databases could not be read
}

// encodeManifest writes a manifest.
func encodeManifest(h header, entries []Entry) ([]byte, Summary, error) {
	var b bytes.Buffer
	line := json.NewEncoder(&b)
	if err := line.Encode(h); err != nil {
		return nil, Summary{}, err
	}
	s := Summary{Begun: h.Begun}
	for _, e := range entries {
		if err := line.Encode(e); err != nil {
			return nil, s, err
		}
		s.count(e)
	}
	sum := sha256.Sum256(b.Bytes())
	err := line.Encode(trailer{s.Objects, s.Bytes, hex.EncodeToString(sum[:])})
	return b.Bytes(), s, err
}

func (s *Summary) count(e Entry) {
	if e.File == "" {
		s.Objects++
		s.Bytes += e.Bytes
	}
	if e.Damaged != "" {
		s.Damaged = append(s.Damaged, e)
	}
}

// maxManifest bounds a manifest: about ten million objects.
const maxManifest = 2 << 30

// decodeManifest reads and verifies a manifest.
func decodeManifest(text []byte) ([]Entry, Summary, error) {
	fail := func(err error) ([]Entry, Summary, error) { return nil, Summary{}, err }
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return fail(fmt.Errorf("%w: its manifest is cut off", ErrIncomplete))
	}
	last := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	lines := bufio.NewReader(bytes.NewReader(text[:last]))
	var h header
	var entries []Entry
	var s Summary
	for n := 0; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if n == 0 {
			if err := json.Unmarshal(line, &h); err != nil || h.Format == 0 {
				return fail(fmt.Errorf("%w: its manifest has no header", ErrNoBackup))
			}
			if h.Format > Format {
				return fail(ErrNewerFormat)
			}
			continue
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fail(fmt.Errorf("%w: line %d of its manifest: %w", ErrDamaged, n+1, err))
		}
		entries = append(entries, e)
		s.count(e)
	}
	s.Begun = h.Begun
	var end trailer
	sum := sha256.Sum256(text[:last])
	if err := json.Unmarshal(text[last:], &end); err != nil || end.SHA256 == "" {
		return fail(fmt.Errorf("%w: its manifest is cut off", ErrIncomplete))
	}
	if end.SHA256 != hex.EncodeToString(sum[:]) || end.Objects != s.Objects || end.Bytes != s.Bytes {
		return fail(fmt.Errorf("%w: the checksum of its manifest does not fit", ErrDamaged))
	}
	return entries, s, nil
}
