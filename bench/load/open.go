package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Open is an open loop: messages leave at times that are fixed beforehand,
// whether or not earlier ones have been answered, one socket after another. A
// latency counts from the time at which its message was due, so a server that
// stands still is charged for all that should have been sent meanwhile.
type Open struct {
	Send, Reply []byte // text; the reply must be exact
	Rate        int    // messages a second, of all sockets together
}

// maxOwed bounds what may be unanswered before a server is said not to keep up.
const maxOwed = 200_000

// Open runs o on the fleet and then waits for what is owed.
func (f *Fleet) Open(o Open, w Window) (*Result, error) {
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	defer unix.Close(timer)
	alarm := &conn{fd: timer, timer: true}
	if err := unix.EpollCtl(f.ep, unix.EPOLL_CTL_ADD, timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(timer)}); err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	f.byFD[int32(timer)] = alarm
	defer delete(f.byFD, int32(timer))

	frame, reply := clientFrame(Text, o.Send), serverFrame(Text, o.Reply)
	gap := time.Second / time.Duration(o.Rate)
	for _, c := range f.conns {
		c.sent, c.head, c.owed = make([]time.Duration, 1), 0, 0
	}
	clock := newClock(w)
	next, k, owed := time.Duration(0), 0, 0
	for !clock.over || owed > 0 {
		for clock.tick(); !clock.over && next <= clock.now; clock.tick() {
			c := f.conns[k%len(f.conns)]
			c.grow()
			c.push(next, 1)
			if err := f.write(c, frame); err != nil {
				return nil, err
			}
			if clock.begun {
				clock.res.Late.Add(clock.now-next, 1)
			}
			next += gap
			k++
			if owed++; owed > maxOwed {
				return nil, fmt.Errorf("%d messages are unanswered: the server does not keep up with %d a second", owed, o.Rate)
			}
		}
		if !clock.over {
			due := unix.NsecToTimespec(max(1, int64(next-time.Since(clock.start))))
			if err := unix.TimerfdSettime(timer, 0, &unix.ItimerSpec{Value: due}, nil); err != nil {
				return nil, fmt.Errorf("timer: %w", err)
			}
		} else if owed == 0 {
			break
		}
		err := f.wait(func(c *conn, in []byte) error {
			if c.timer {
				return nil
			}
			n, err := c.replies(in, reply)
			if err != nil {
				return err
			}
			clock.tick()
			if n > c.owed {
				return fmt.Errorf("%d replies to %d messages", n, c.owed)
			}
			owed -= n
			for range n {
				clock.count(clock.now-c.pop(), 1)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%d replies owed: %w", owed, err)
		}
	}
	return clock.result()
}

// grow makes room for one more message on the way.
func (c *conn) grow() {
	if c.owed < len(c.sent) {
		return
	}
	more := make([]time.Duration, 2*len(c.sent))
	for i := range c.owed {
		more[i] = c.sent[(c.head+i)%len(c.sent)]
	}
	c.sent, c.head = more, 0
}
