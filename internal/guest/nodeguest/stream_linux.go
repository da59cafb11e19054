package nodeguest

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/internal/loop"
)

// descriptor is a stream in the loop's own epoll: the thread that reads a
// client's frame writes it to the guest, and the other way round.
type descriptor struct {
	fd      int
	loop    *loop.Loop
	p       *Process
	buf     []byte
	writing bool // watched for EPOLLOUT too
	closed  bool
}

// readsPerRound bounds how long one guest may hold up a round.
const readsPerRound = 4

// open puts fd, which is taken over, into the loop. On the loop.
func open(fd int, l *loop.Loop, p *Process) (stream, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	d := &descriptor{fd: fd, loop: l, p: p, buf: make([]byte, readBuffer)}
	if err := l.Watch(fd, unix.EPOLLIN, d); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

// Ready is the loop's word that the descriptor can be read or written.
func (d *descriptor) Ready(events uint32) {
	if events&unix.EPOLLOUT != 0 && d.writing {
		d.watchWriting(false)
		d.p.writable()
	}
	if events&^uint32(unix.EPOLLOUT) == 0 {
		return
	}
	for range readsPerRound {
		if d.closed {
			return
		}
		n, err := unix.Read(d.fd, d.buf)
		switch {
		case n > 0:
			d.p.received(d.buf[:n])
			if n < len(d.buf) {
				return
			}
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			return
		default: // the end, or an error that means the same
			d.p.hungUp()
			return
		}
	}
}

func (d *descriptor) write(p []byte) (n int, err error) {
	if d.closed {
		return 0, io.ErrClosedPipe // the number may be somebody else's by now
	}
	for len(p) > 0 {
		m, err := unix.Write(d.fd, p)
		switch {
		case err == nil:
			n, p = n+m, p[m:]
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			d.watchWriting(true)
			return n, nil
		case errors.Is(err, unix.EPIPE):
			return n, io.ErrClosedPipe
		default:
			return n, err
		}
	}
	return n, nil
}

func (d *descriptor) watchWriting(on bool) {
	if d.closed || d.writing == on {
		return
	}
	d.writing = on
	events := uint32(unix.EPOLLIN)
	if on {
		events |= unix.EPOLLOUT
	}
	d.loop.Rewatch(d.fd, events)
}

func (d *descriptor) close() {
	if d.closed {
		return
	}
	d.closed = true
	d.loop.Unwatch(d.fd)
	unix.Close(d.fd)
}
