package clock

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watch hears of the clock. Open makes one.
type Watch struct {
	file *os.File
	raw  syscall.RawConn
}

// Open begins to watch: what happens from now on, Wait tells. It costs nothing
// while nothing does. timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
func Open() (*Watch, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	w := &Watch{file: os.NewFile(uintptr(fd), "clock")} // waits as connections do, without a thread
	if w.raw, err = w.file.SyscallConn(); err == nil {
		err = w.arm()
	}
	if err != nil {
		w.file.Close()
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return w, nil
}

// arm sets a timer that never fires, and ends when the clock is set.
func (w *Watch) arm() error {
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 33}} // in the year 2242
	var err error
	return errors.Join(w.raw.Control(func(fd uintptr) {
		err = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil)
	}), err)
}

// Wait returns nil each time that the clock has been set, and an error after
// Close. One goroutine.
func (w *Watch) Wait() error {
	var expired [8]byte
	switch _, err := w.file.Read(expired[:]); {
	case errors.Is(err, unix.ECANCELED):
		return w.arm()
	default:
		return err
	}
}

// Close ends it. Any goroutine.
func (w *Watch) Close() error { return w.file.Close() }
