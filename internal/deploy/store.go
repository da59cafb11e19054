package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// A data folder keeps versions below versions/, each in a folder that is its
// number: manifest.json, code/ and assets/. A folder appears whole or not at all.
// versions/state.json says which of them is current; it is replaced, never
// written into.

const (
	storeDir  = "versions"
	stateName = "state.json"
	newPrefix = ".new-"
	// stateFormat is the version of state.json.
	stateFormat = 1
)

// Store is the versions of a data folder. Its methods may be called on any
// goroutine.
type Store struct {
	dir  string
	keep int     // how many are kept
	fs   disk.FS // tests have it fail

	mu    sync.Mutex // held by every method
	state state
}

// state is state.json.
type state struct {
	Format   int `json:"format"`
	Current  int `json:"current,omitempty"`  // 0: none
	Previous int `json:"previous,omitempty"` // 0: none
	Last     int `json:"last"`               // the highest number that has been current
}

// Record is a version that is kept.
type Record struct {
	Number            int
	Hash, Worker      string
	Source            string
	Made              time.Time
	Classes           []string
	Current, Previous bool
}

// Open reads the versions of a data folder and removes what an interrupted
// deploy has left. keep is how many versions there may be; the current and the
// previous one are always kept.
func Open(data string, keep int) (*Store, error) {
	s := &Store{dir: filepath.Join(data, storeDir), keep: max(keep, 2), fs: disk.OS{}}
	text, err := os.ReadFile(filepath.Join(s.dir, stateName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.state.Format = stateFormat
	case err != nil:
		return nil, fmt.Errorf("versions: %w", err)
	default:
		if err := checkFormat(stateName, text, stateFormat); err != nil {
			return nil, fmt.Errorf("versions: %w", err)
		}
		if err := json.Unmarshal(text, &s.state); err != nil {
			return nil, fmt.Errorf("versions: %s: %w", stateName, err)
		}
	}
	return s, nil
}

// checkFormat refuses what another Dormouse has written otherwise.
func checkFormat(name string, text []byte, want int) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if head.Format != want {
		return fmt.Errorf("%s has format %d, this Dormouse reads %d; use the version that wrote it, or a newer one", name, head.Format, want)
	}
	return nil
}

// Current is the number of the version that serves; 0: none.
func (s *Store) Current() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Current
}

// Add keeps a version, durably, and returns its number. It is not current yet.
// limit bounds the bytes of the package. After an error nothing has changed.
func (s *Store) Add(r io.Reader, limit int64) (m *Manifest, number int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, 0, err
	}
	s.sweep()
	number = s.state.Last
	for _, n := range s.numbers() {
		number = max(number, n)
	}
	number++
	tmp, err := os.MkdirTemp(s.dir, newPrefix)
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(tmp) // when it has not become the version
	if m, err = s.fill(tmp, r, limit); err != nil {
		return nil, 0, err
	}
	if err := os.Rename(tmp, s.path(number)); err != nil {
		return nil, 0, err
	}
	return m, number, s.fs.SyncDir(s.dir)
}

// fill writes the files of a package into a folder, and makes them durable.
func (s *Store) fill(dir string, r io.Reader, limit int64) (m *Manifest, err error) {
	made := map[string]bool{".": true}
	put := func(name string, r io.Reader) error {
		for _, d := range parents(name) {
			if !made[d] {
				made[d] = true
				if err := os.Mkdir(filepath.Join(dir, filepath.FromSlash(d)), 0o700); err != nil {
					return err
				}
			}
		}
		return s.write(filepath.Join(dir, filepath.FromSlash(name)), r)
	}
	err = unpack(r, limit, func(got *Manifest, text []byte) error {
		m = got
		return put(manifestName, strings.NewReader(string(text)))
	}, put)
	if err != nil {
		return nil, err
	}
	for d := range made {
		if err := s.fs.SyncDir(filepath.Join(dir, filepath.FromSlash(d))); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// write makes a file with that content, durably.
func (s *Store) write(name string, r io.Reader) error {
	f, err := s.fs.Open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 0), r)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Load returns a version and its folder.
func (s *Store) Load(number int) (*Manifest, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := s.path(number)
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("there is no version %d; `dormouse versions` lists those that are kept", number)
	}
	if err != nil {
		return nil, "", err
	}
	m, err := readManifest(text)
	if err != nil {
		return nil, "", fmt.Errorf("version %d: %w", number, err)
	}
	for name, want := range m.Files {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || info.Size() != want.Size {
			return nil, "", fmt.Errorf("version %d is damaged: %s is not what its list says", number, name)
		}
	}
	return m, dir, nil
}

// Activate makes a version the current one, durably. Older ones than are kept
// are removed.
func (s *Store) Activate(number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state
	if next.Current != number {
		next.Previous, next.Current = next.Current, number
	}
	next.Last = max(next.Last, number)
	if err := s.replaceState(next); err != nil {
		return fmt.Errorf("make version %d current: %w", number, err)
	}
	s.state = next
	s.prune()
	return nil
}

func (s *Store) replaceState(next state) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return disk.Replace(s.fs, filepath.Join(s.dir, stateName), append(text, '\n'))
}

// Remove forgets a version that was refused.
func (s *Store) Remove(number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == s.state.Current || number == s.state.Previous {
		return fmt.Errorf("version %d is in use", number)
	}
	return s.remove(number)
}

// remove takes the folder's name away first, so that half of it is never taken
// for a version.
func (s *Store) remove(number int) error {
	gone := filepath.Join(s.dir, newPrefix+"gone-"+strconv.Itoa(number))
	if err := os.Rename(s.path(number), gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// prune removes the oldest versions past keep. What cannot be removed stays.
func (s *Store) prune() {
	list := s.numbers()
	tooMany := len(list) - s.keep
	for _, n := range list {
		if tooMany > 0 && n != s.state.Current && n != s.state.Previous {
			s.remove(n)
			tooMany--
		}
	}
}

// sweep removes what interrupted deploys have left.
func (s *Store) sweep() {
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) {
			os.RemoveAll(filepath.Join(s.dir, e.Name()))
		}
	}
}

// List describes the versions that are kept, the newest first. One that cannot be
// read is left out.
func (s *Store) List() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Record{}
	for _, n := range slices.Backward(s.numbers()) {
		text, err := os.ReadFile(filepath.Join(s.path(n), manifestName))
		if err != nil {
			continue
		}
		m, err := readManifest(text)
		if err != nil {
			continue
		}
		r := Record{
			Number: n, Hash: m.Hash, Worker: m.Config.Name, Source: m.Source, Made: m.Made, Classes: []string{},
			Current: n == s.state.Current, Previous: n == s.state.Previous,
		}
		for _, c := range m.Config.Classes {
			r.Classes = append(r.Classes, c.Name)
		}
		list = append(list, r)
	}
	return list
}

// Previous is the version that was current before; 0: none.
func (s *Store) Previous() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Previous
}

// numbers lists the versions, rising.
func (s *Store) numbers() []int {
	entries, _ := os.ReadDir(s.dir)
	var list []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 && n < 1<<30 && e.IsDir() {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

func (s *Store) path(number int) string { return filepath.Join(s.dir, strconv.Itoa(number)) }
