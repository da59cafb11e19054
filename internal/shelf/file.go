package shelf

import (
	"io"
	"os"
	"path/filepath"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// Draft is a file that is being written. Exactly one of Keep and Drop is called.
type Draft struct {
	shelf *Shelf
	name  string
	path  string // until it is kept
	f     *os.File
}

// Create begins a file.
func (s *Shelf) Create() (*Draft, error) {
	name := random()
	s.mu.Lock()
	if s.young != nil {
		s.young[name] = true
	}
	s.mu.Unlock()
	path := filepath.Join(FilesFolder, draftPrefix+name)
	f, err := s.root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &Draft{s, name, path, f}, nil
}

// Write implements io.Writer.
func (d *Draft) Write(p []byte) (int, error) { return d.f.Write(p) }

// Keep puts the file in its place, on disk, and returns its name. After an error
// there is none.
func (d *Draft) Keep() (name string, err error) {
	s := d.shelf
	if err := d.f.Sync(); err != nil {
		d.Drop()
		return "", err
	}
	if err := d.f.Close(); err != nil {
		s.root.Remove(d.path)
		return "", err
	}
	folder := filepath.Join(FilesFolder, d.name[:2])
	err = s.root.Mkdir(folder, 0o700)
	if os.IsExist(err) {
		err = nil
	}
	if err == nil {
		err = s.root.Rename(d.path, place(d.name))
	}
	if err == nil {
		err = disk.OS{}.SyncDir(filepath.Join(s.cfg.Folder, folder))
	}
	if err == nil {
		err = s.syncEntry(d.name[:2])
	}
	if err != nil {
		s.root.Remove(d.path)
		s.root.Remove(place(d.name))
		return "", err
	}
	return d.name, nil
}

// syncEntry waits until a folder of files is itself on disk. That it was there does
// not tell: another put, or a process that was killed, may have just made it.
func (s *Shelf) syncEntry(folder string) error {
	s.mu.Lock()
	known := s.durable[folder]
	s.mu.Unlock()
	if known {
		return nil
	}
	if err := (disk.OS{}).SyncDir(filepath.Join(s.cfg.Folder, FilesFolder)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable[folder] = true
	return nil
}

// Drop forgets it.
func (d *Draft) Drop() {
	d.f.Close()
	d.shelf.root.Remove(d.path)
}

// File is one that is being read.
type File struct {
	*os.File
	shelf *Shelf
}

// OpenFile opens a file that the index has named. Within the Read in which it
// was named it is there; later it may have gone.
func (s *Shelf) OpenFile(name string) (*File, error) {
	s.mu.Lock()
	full := s.open >= maxOpen
	if !full {
		s.open++
	}
	s.mu.Unlock()
	if full {
		return nil, ErrBusy
	}
	f, err := s.root.Open(place(name))
	if err != nil {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
		return nil, err
	}
	return &File{f, s}, nil
}

// Close implements io.Closer.
func (f *File) Close() error {
	f.shelf.mu.Lock()
	f.shelf.open--
	f.shelf.mu.Unlock()
	return f.File.Close()
}

var _ io.ReadSeekCloser = (*File)(nil)

// Copy copies a body in pieces as large as those in which it travels.
func Copy(to io.Writer, from io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 64<<10))
}
