package journal

import (
	"errors"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// allocate makes a segment's blocks exist and its first one zero. The others may
// hold what they held: batches say to which segment they belong. From blank on
// they exist in the file system's books only: the first write to each has to
// change those too.
func allocate(f disk.File, size int64) (blank int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if _, err := f.WriteAt(make([]byte, blockSize), 0); err != nil {
		return 0, err
	}
	blank = max(info.Size, blockSize)
	if blank < size {
		switch err := f.Allocate(size); {
		case errors.Is(err, errors.ErrUnsupported):
			if err := zero(f, blank, size); err != nil {
				return 0, err
			}
			blank = size
		case err != nil:
			return 0, err
		}
	}
	return blank, f.Sync()
}

func zero(f disk.File, from, to int64) error {
	if from >= to {
		return nil
	}
	zeros := make([]byte, min(to-from, fillStep))
	for at := from; at < to; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-at)], at); err != nil {
			return err
		}
	}
	return nil
}

const (
	// fillStep is so little that a commit hardly notices one before it.
	fillStep = 1 << 20

	// fillRest is how many times as long as it works a filler rests, so that
	// the disk is there for those who wait for it. Under load that leaves a
	// segment unfilled; but then batches are large, and what is saved for
	// each is little beside what it costs.
	fillRest = 4
)

// filler writes zeros to a segment that waits for its turn.
type filler struct {
	halt chan struct{}
	done chan error
}

// fill begins to fill a segment from blank on. The filler has to be stopped
// before anything else is done with the file. It is nil if there is nothing to
// do.
func fill(f disk.File, blank, size int64) *filler {
	if blank >= size {
		return nil
	}
	l := &filler{make(chan struct{}), make(chan error, 1)}
	go func() { l.done <- l.run(f, blank, size) }() // ends with stop
	return l
}

func (l *filler) run(f disk.File, from, size int64) error {
	for at := from; at < size; at += fillStep {
		began := time.Now()
		if err := zero(f, at, min(at+fillStep, size)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		rest := time.NewTimer(fillRest * time.Since(began))
		select {
		case <-l.halt:
			rest.Stop()
			return nil
		case <-rest.C:
		}
	}
	return nil
}

// stop waits for the step in progress, some milliseconds. It is called once. A
// segment that could not be filled is not to be used.
func (l *filler) stop() error {
	if l == nil {
		return nil
	}
	close(l.halt)
	return <-l.done
}
