package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// dataFormat is the version of everything below a data folder.
const dataFormat = "1"

// DataFormat is the version of data folders that a server reads and writes.
const DataFormat = dataFormat

// lock holds a data folder for this process and for its guests, which inherit
// the descriptor: a Dormouse that was killed has let go of the folder when its
// guests, too, have nothing of it open any more.
type lock struct{ f *os.File }

// orphanLimit is how long guests may take to end whose Dormouse is dead.
const orphanLimit = 10 * time.Second

// take makes the data folder if there is none, checks its format and locks it.
func take(folder string) (*lock, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := lockOrWait(f); err != nil {
		defer f.Close()
		if !errors.Is(err, storage.ErrLocked) {
			return nil, fmt.Errorf("lock data folder %s: %w", folder, err)
		}
		return nil, inUse(folder, f)
	}
	l := &lock{f}
	if err := l.check(folder); err != nil {
		l.release()
		return nil, err
	}
	l.write(fmt.Sprintln(os.Getpid()))
	return l, nil
}

// lockOrWait locks, and waits if only guests of a dead Dormouse have the lock.
func lockOrWait(f *os.File) error {
	for end := time.Now().Add(orphanLimit); ; time.Sleep(10 * time.Millisecond) {
		err := disk.TryLock(f)
		if !errors.Is(err, storage.ErrLocked) || time.Now().After(end) {
			return err
		}
		if pid := writer(f); pid > 0 && runs(pid) {
			return err
		}
	}
}

// writer is the process that has written its number into the lock; 0: none has
// yet.
func writer(f *os.File) int {
	pid, _ := strconv.Atoi(inUse("", f).PID)
	return pid
}

// check refuses a folder that a newer Dormouse has written.
func (l *lock) check(folder string) error {
	path := filepath.Join(folder, "format")
	have, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return os.WriteFile(path, []byte(dataFormat+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if v := strings.TrimSpace(string(have)); v != dataFormat {
		return fmt.Errorf("data folder %s has format %q, this Dormouse reads %q; use the version that wrote it, or a newer one", folder, v, dataFormat)
	}
	return nil
}

// release gives the lock up, unless another process has its descriptor too.
func (l *lock) release() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}
