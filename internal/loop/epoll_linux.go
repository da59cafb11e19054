package loop

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Handler is told that the descriptor it was registered for is ready.
type Handler interface {
	// Ready is called on the loop with the EPOLL bits that are set.
	Ready(events uint32)
}

// New returns a loop made for this system: on Linux epoll, with an eventfd for
// the wake-ups.
func New() (*Loop, error) {
	p := &epoll{events: make([]unix.EpollEvent, maxEvents)}
	var err error
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if p.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(p.fd)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	// Edge-triggered, so that each write is told once and none has to be read.
	err = p.control(unix.EPOLL_CTL_ADD, p.event, unix.EPOLLIN|unix.EPOLLET, 0)
	if err != nil {
		p.close()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return newLoop(p), nil
}

// Watch has h told when the descriptor is ready for any of events (EPOLLIN,
// EPOLLOUT, …; errors and hang-ups always), as long as it is. The descriptor
// stays the caller's, who calls Unwatch before closing it. On the loop, or
// before Start.
func (l *Loop) Watch(fd int, events uint32, h Handler) error {
	p, err := l.epoll()
	if err != nil {
		return err
	}
	if fd < 0 {
		return fmt.Errorf("watch descriptor %d: %w", fd, unix.EBADF)
	}
	if fd >= len(p.watched) {
		p.watched = append(p.watched, make([]watched, fd+1-len(p.watched))...)
	}
	w := &p.watched[fd]
	if err := p.control(unix.EPOLL_CTL_ADD, fd, events, w.generation+1); err != nil {
		return fmt.Errorf("watch descriptor %d: %w", fd, err)
	}
	w.generation++
	w.handler = h
	return nil
}

// Rewatch changes what a watched descriptor is watched for. On the loop.
func (l *Loop) Rewatch(fd int, events uint32) error {
	p, err := l.epoll()
	if err != nil {
		return err
	}
	if fd < 0 || fd >= len(p.watched) || p.watched[fd].handler == nil {
		return fmt.Errorf("rewatch descriptor %d: %w", fd, unix.ENOENT)
	}
	if err := p.control(unix.EPOLL_CTL_MOD, fd, events, p.watched[fd].generation); err != nil {
		return fmt.Errorf("rewatch descriptor %d: %w", fd, err)
	}
	return nil
}

// Unwatch forgets a descriptor. Events of it that this round has already
// fetched are not delivered, also not to a new owner of the same number.
func (l *Loop) Unwatch(fd int) error {
	p, err := l.epoll()
	if err != nil {
		return err
	}
	if fd < 0 || fd >= len(p.watched) || p.watched[fd].handler == nil {
		return fmt.Errorf("unwatch descriptor %d: %w", fd, unix.ENOENT)
	}
	p.watched[fd].handler = nil
	if err := p.control(unix.EPOLL_CTL_DEL, fd, 0, 0); err != nil {
		return fmt.Errorf("unwatch descriptor %d: %w", fd, err)
	}
	return nil
}

// OnReady has f told of some Handlers whose descriptors are ready, shortly before
// they are called, where many are. The list is borrowed. On the loop, or before
// Start.
func (l *Loop) OnReady(f func([]Handler)) error {
	p, err := l.epoll()
	if err != nil {
		return err
	}
	p.expected = f
	return nil
}

func (l *Loop) epoll() (*epoll, error) {
	p, ok := l.poll.(*epoll)
	if !ok {
		return nil, fmt.Errorf("this loop watches no descriptors: %w", unix.ENOSYS)
	}
	return p, nil
}

// maxEvents is how many descriptors a round handles at most; the system hands
// out the others in the next one, before those that are ready again.
const maxEvents = 512

type epoll struct {
	// Set once, before use.
	fd, event int

	// Owned by the loop.
	events []unix.EpollEvent
	n, at  int       // how many were ready, and how many of them have been handled
	enough bool      // the others wait for the next round
	seen   int       // how many of events have been expected
	next   []Handler // memory of expect
	// expected is told of handlers before they are called; nil: nobody asks.
	expected func([]Handler)
	watched  []watched // by descriptor

	mu     sync.Mutex // guards the following; the loop takes it only to close
	closed bool
}

// watched is one number in the table of descriptors. The generation tells the
// owners of the number apart: it travels through the kernel with each event.
type watched struct {
	handler    Handler
	generation int32
}

func (p *epoll) control(op, fd int, events uint32, generation int32) error {
	return unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: generation})
}

// ready asks without telling the scheduler: the call cannot block, and under
// load it is the only one.
func (p *epoll) ready() bool {
	if p.at < p.n {
		p.handle()
		return true
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	if errno != 0 {
		return false // EINTR; anything else, the waiting call meets again
	}
	p.n, p.at, p.seen = int(n), 0, 0
	p.handle()
	return n > 0
}

func (p *epoll) poll(wait time.Duration) {
	n, err := unix.EpollWait(p.fd, p.events, milliseconds(wait))
	if err != nil {
		if err != unix.EINTR {
			panic(fmt.Sprintf("loop: epoll_wait on descriptor %d: %v", p.fd, err))
		}
		return
	}
	p.n, p.at, p.seen = n, 0, 0
	p.handle()
}

// milliseconds rounds up, so that a timer is due when the wait is over.
func milliseconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// ahead is how many descriptors are expected at a time, before the first of them
// is handled, and manyReady from how many on it is worth it.
const (
	ahead     = 128
	manyReady = 16
)

// expect tells of the handlers that are called next.
func (p *epoll) expect() {
	list := p.next[:0]
	for p.seen = p.at; p.seen < p.n && len(list) < ahead; p.seen++ {
		e := &p.events[p.seen]
		if int(e.Fd) == p.event {
			continue
		}
		if w := &p.watched[e.Fd]; w.handler != nil && w.generation == e.Pad {
			list = append(list, w.handler)
		}
	}
	p.expected(list)
	clear(list)
	p.next = list
}

func (p *epoll) handle() {
	p.enough = false
	for p.at < p.n && !p.enough {
		if p.at >= p.seen && p.expected != nil && p.n-p.at >= manyReady {
			p.expect()
		}
		e := &p.events[p.at]
		p.at++
		if int(e.Fd) == p.event {
			continue // a wake-up has done its work by ending the wait
		}
		if w := &p.watched[e.Fd]; w.handler != nil && w.generation == e.Pad {
			w.handler.Ready(e.Events)
		}
	}
	runtime.KeepAlive(p)
}

// stop implements poller.
func (p *epoll) stop() { p.enough = true }

func (p *epoll) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	one := [8]byte{0: 1} // any number but zero, in whatever byte order
	unix.Write(p.event, one[:])
}

func (p *epoll) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	unix.Close(p.event)
	unix.Close(p.fd)
}
