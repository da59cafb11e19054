// Package snapshot copies the database of an object as of one commit, while a
// guest writes to it and its keeper or the journal's upkeep moves frames from
// its log into its file. It takes no lock and asks nobody: it reads by path. It
// knows files and logs, and never sees SQL, a guest or the journal.
package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/wal"
)

// ErrBusy: the database was changed each time it was read.
var ErrBusy = errors.New("the database changes faster than it can be copied")

const (
	// attempts is how often a copy is begun again. Each time a log was begun
	// anew meanwhile, which takes a checkpoint of all of it.
	attempts = 8

	// settled is how long ago a database without a log must have been changed,
	// so that a change made while it is copied shows in its time: more than the
	// grain of a file system's clock.
	settled = 50 * time.Millisecond
)

// Source is a database that may be in use.
type Source struct {
	Path string
	// Foreign: SQLite runs in another process, if anywhere. Only then may the
	// log be kept from being begun anew, which a large database needs to be
	// copied under load, and descriptors closed without a second thought.
	Foreign bool
}

// Take copies the database, with what is committed in its log, to dst, which
// must not exist. The copy needs no log. Without a database the error is
// fs.ErrNotExist; after any error there is no dst.
//
// Why the copy is whole, whatever goes on meanwhile: first the file is read and
// then the log, and the log is of one generation all the time. A page that
// somebody has moved from the log to the file in between, and that was read
// half, is in the log then, and overwrites what was read.
func Take(ctx context.Context, src Source, dst string) (err error) {
	out, err := os.OpenFile(dst, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
		if err != nil {
			err = errors.Join(fmt.Errorf("copy %s: %w", src.Path, err), os.Remove(dst))
		}
	}()
	for range attempts {
		if done, err := try(ctx, src, out); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settled): // a guest that checkpoints all the time leaves gaps
		}
	}
	return ErrBusy
}

// try copies once. It is not done when something has happened that spoils the
// copy.
func try(ctx context.Context, src Source, out *os.File) (done bool, err error) {
	if src.Foreign {
		defer hold(src.Path + "-shm")()
	}
	before, err := look(src.Path)
	if err != nil || before.torn || before.fresh() {
		return false, err
	}
	if err := copyFile(ctx, out, src.Path); err != nil {
		return false, err
	}
	if before.log {
		err := overlay(ctx, out, src.Path+"-wal", before.header)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errChanged) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	after, err := look(src.Path)
	if err != nil {
		return false, err
	}
	return before.same(after), nil
}

// state tells whether something was done to a database between two looks.
type state struct {
	log    bool // there is one, and it has a header
	torn   bool // the header is just being written
	header wal.Header
	info   os.FileInfo
}

func look(src string) (s state, err error) {
	if s.info, err = os.Stat(src); err != nil {
		return s, err
	}
	if s.info.Size() == 0 { // is just being made
		return s, &fs.PathError{Op: "copy", Path: src, Err: fs.ErrNotExist}
	}
	f, err := os.Open(src + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	var b [wal.HeaderSize]byte
	n, err := io.ReadFull(f, b[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return s, err
	}
	s.header, err = wal.ParseHeader(b[:n])
	switch {
	case err == nil:
		s.log = true
	case !errors.Is(err, wal.ErrNoHeader):
		s.torn = true
	}
	return s, nil
}

// fresh says whether a change that follows could have the time of the last one.
// With a log the header tells.
func (s *state) fresh() bool {
	return !s.log && time.Since(s.info.ModTime()).Abs() < settled
}

func (s *state) same(o state) bool {
	if s.log || o.log {
		return s.log == o.log && s.header == o.header && !o.torn && os.SameFile(s.info, o.info)
	}
	return os.SameFile(s.info, o.info) && s.info.ModTime().Equal(o.info.ModTime()) && s.info.Size() == o.info.Size()
}

// copyFile lets the kernel do it, which on some file systems copies nothing.
func copyFile(ctx context.Context, out *os.File, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := out.Truncate(0); err != nil { // of the last try
		return err
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	const portion = 64 << 20
	for {
		n, err := io.CopyN(out, in, portion)
		if err != nil && err != io.EOF {
			return err
		}
		if n < portion {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// errChanged: the log is not what it was a moment ago.
var errChanged = errors.New("the log has changed")

// overlay writes what the log has committed over the copy of the file.
func overlay(ctx context.Context, out *os.File, path string, header wal.Header) error {
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	pages, size, err := committed(ctx, log, header)
	if err != nil || size == 0 {
		return err
	}
	page := make([]byte, header.PageSize())
	for number, at := range pages {
		if number > size {
			continue // was cut off later
		}
		if _, err := log.ReadAt(page, at); err != nil {
			if err == io.EOF {
				err = errChanged
			}
			return err
		}
		if _, err := out.WriteAt(page, int64(number-1)*int64(len(page))); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return out.Truncate(int64(size) * int64(len(page)))
}

// committed finds where the last committed version of each page lies in the
// log, and how many pages the database has. The size is 0 without a commit.
func committed(ctx context.Context, log *os.File, header wal.Header) (pages map[uint32]int64, size uint32, err error) {
	pages = make(map[uint32]int64)
	pending := make(map[uint32]int64)
	at := header.Start()
	in := bufio.NewReaderSize(io.NewSectionReader(log, at.Offset, 1<<62-at.Offset), 1<<20)
	frame := make([]byte, header.FrameSize())
	for {
		if _, err := io.ReadFull(in, frame); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return pages, size, nil
			}
			return nil, 0, err
		}
		f, after, ok := header.Next(at, frame)
		if !ok {
			return pages, size, nil
		}
		pending[f.Number] = at.Offset + wal.FrameHeaderSize
		at = after
		if f.Commit == 0 {
			continue
		}
		for number, offset := range pending {
			pages[number] = offset
		}
		clear(pending)
		size = f.Commit
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
	}
}
