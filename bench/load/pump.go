package load

import (
	"bytes"
	"fmt"
	"time"
)

// Pump is a closed loop: each socket keeps InFlight messages on the way and
// sends a new one for each reply.
type Pump struct {
	Send, Reply []byte // payloads, sent as text; the reply must be exact
	InFlight    int
}

// Broadcast is a closed loop in which the first socket speaks, and speaks
// again when every socket has heard it.
type Broadcast struct {
	Send []byte
}

// Result is what a loop saw in its window.
type Result struct {
	Messages int // replies, or deliveries of a broadcast
	Elapsed  time.Duration
	Latency  Histogram // from the send to the reply, or to the last delivery
}

// PerSecond is the rate of Messages.
func (r *Result) PerSecond() float64 { return float64(r.Messages) / r.Elapsed.Seconds() }

// Window is the time of a measurement. Begin and End, if set, are called at
// its edges, while the load runs on.
type Window struct {
	Warm, Measure time.Duration
	Begin, End    func()
}

// Pump runs p on all sockets of the fleet and then waits for what is owed, so
// the fleet is at rest when it returns.
func (f *Fleet) Pump(p Pump, w Window) (*Result, error) {
	batch := bytes.Repeat(clientFrame(Text, p.Send), p.InFlight)
	one := len(batch) / p.InFlight
	reply := serverFrame(Text, p.Reply)

	clock := newClock(w)
	for _, c := range f.conns {
		c.sent, c.head, c.owed = make([]time.Duration, p.InFlight), 0, 0
		c.push(clock.now, p.InFlight)
		if err := f.write(c, batch); err != nil {
			return nil, err
		}
	}
	owed := len(f.conns) * p.InFlight
	for owed > 0 {
		err := f.wait(func(c *conn, in []byte) error {
			n, err := c.replies(in, reply)
			if err != nil || n == 0 {
				return err
			}
			clock.tick()
			if n > c.owed {
				return fmt.Errorf("%d replies to %d messages", n, c.owed)
			}
			for range n {
				clock.count(clock.now-c.pop(), 1)
			}
			owed -= n
			if clock.over {
				return nil
			}
			owed += n
			c.push(clock.now, n)
			return f.write(c, batch[:n*one])
		})
		if err != nil {
			return nil, fmt.Errorf("%d replies owed: %w", owed, err)
		}
	}
	return clock.result()
}

// Broadcast runs b on the fleet.
func (f *Fleet) Broadcast(b Broadcast, w Window) (*Result, error) {
	frame, reply := clientFrame(Text, b.Send), serverFrame(Text, b.Send)
	clock := newClock(w)
	for !clock.over {
		sent := clock.now
		if err := f.write(f.conns[0], frame); err != nil {
			return nil, err
		}
		for _, c := range f.conns {
			c.owed = 1
		}
		for owed := len(f.conns); owed > 0; {
			err := f.wait(func(c *conn, in []byte) error {
				n, err := c.replies(in, reply)
				if n > c.owed {
					return fmt.Errorf("a socket heard one message twice")
				}
				c.owed -= n
				owed -= n
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("%d sockets have not heard: %w", owed, err)
			}
		}
		clock.tick()
		clock.count(clock.now-sent, len(f.conns))
	}
	return clock.result()
}

// replies counts the whole replies in what came, each of which must be want,
// and keeps a part of one for the next time. in is borrowed.
func (c *conn) replies(in, want []byte) (int, error) {
	if len(c.in) > 0 {
		c.in = append(c.in, in...)
		in = c.in
	}
	n, rest := countReplies(in, want)
	for len(rest) > 0 {
		op, payload, behind, err := splitFrame(rest)
		if err == errShort {
			break
		}
		if err != nil {
			return n, err
		}
		switch op {
		case opPing, opPong:
		case opClose:
			return n, fmt.Errorf("the server closed: % x", payload)
		default:
			return n, fmt.Errorf("want the reply %q, got opcode %d, %.100q", want, op, payload)
		}
		m, behind := countReplies(behind, want)
		n, rest = n+m, behind
	}
	c.in = append(c.in[:0], rest...)
	return n, nil
}

// push and pop keep the times of the messages on the way.

func (c *conn) push(at time.Duration, n int) {
	for range n {
		c.sent[(c.head+c.owed)%len(c.sent)] = at
		c.owed++
	}
}

func (c *conn) pop() time.Duration {
	at := c.sent[c.head]
	c.head = (c.head + 1) % len(c.sent)
	c.owed--
	return at
}

// clock follows a window and counts what falls into it.
type clock struct {
	window Window
	start  time.Time
	now    time.Duration // since start, at the last tick

	begun, over bool
	from        time.Duration
	res         Result
}

func newClock(w Window) *clock { return &clock{window: w, start: time.Now()} }

func (k *clock) tick() {
	k.now = time.Since(k.start)
	switch {
	case !k.begun && k.now >= k.window.Warm:
		k.begun, k.from = true, k.now
		if k.window.Begin != nil {
			k.window.Begin()
		}
	case k.begun && !k.over && k.now >= k.from+k.window.Measure:
		k.over = true
		k.res.Elapsed = k.now - k.from
		if k.window.End != nil {
			k.window.End()
		}
	}
}

func (k *clock) count(d time.Duration, n int) {
	if k.begun && !k.over {
		k.res.Messages += n
		k.res.Latency.Add(d, n)
	}
}

func (k *clock) result() (*Result, error) {
	if k.res.Messages == 0 {
		return nil, fmt.Errorf("no message was answered within %v", k.window.Measure)
	}
	return &k.res, nil
}
