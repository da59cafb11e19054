package load

import (
	"bytes"
	"fmt"
	"time"
)

// Pump is a closed loop: each socket keeps InFlight messages on the way and
// sends a new one for each reply.
type Pump struct {
	Send, Reply []byte // payloads; the reply must be exact
	InFlight    int
	Op          byte // of both; 0 is Text
	// Ping sends pings of the protocol instead, and counts pongs.
	Ping bool
	// Deflate sends and expects compressed messages: the fleet must have been
	// dialled with Compressed.
	Deflate bool
}

// Broadcast is a closed loop in which the first socket of each room speaks, and
// speaks again when every socket of its room has heard it.
type Broadcast struct {
	Send []byte
	// Room is how many sockets, one after another, share a room; 0: all.
	Room int
	// Turns lets the sockets of a room speak in turn.
	Turns bool
}

// Result is what a loop saw in its window.
type Result struct {
	Messages int // replies, or deliveries of a broadcast
	Spoken   int // messages that were sent to be broadcast, and heard by all
	Elapsed  time.Duration
	Latency  Histogram // from the send to the reply, or to the last delivery
	Late     Histogram // of an open loop: from when it was due to the send
}

// PerSecond is the rate of Messages.
func (r *Result) PerSecond() float64 { return float64(r.Messages) / r.Elapsed.Seconds() }

// Window is the time of a measurement. Begin and End, if set, are called at
// its edges, while the load runs on.
type Window struct {
	Warm, Measure time.Duration
	Begin, End    func()
}

// frames returns the frame of one message and that of its reply.
func (p Pump) frames(f *Fleet) (send, reply []byte, err error) {
	switch op := max(p.Op, Text); {
	case p.Ping:
		return clientFrame(opPing, p.Send), serverFrame(opPong, p.Send), nil
	case p.Deflate:
		send, err = deflatedFrame(op, p.Send)
		if err == nil {
			reply, err = f.learn(send, p.Reply)
		}
		return send, reply, err
	default:
		return clientFrame(op, p.Send), serverFrame(op, p.Reply), nil
	}
}

// Pump runs p on all sockets of the fleet and then waits for what is owed, so
// the fleet is at rest when it returns.
func (f *Fleet) Pump(p Pump, w Window) (*Result, error) {
	one, reply, err := p.frames(f)
	if err != nil {
		return nil, err
	}
	batch := bytes.Repeat(one, p.InFlight)

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
			return f.write(c, batch[:n*len(one)])
		})
		if err != nil {
			return nil, fmt.Errorf("%d replies owed: %w", owed, err)
		}
	}
	return clock.result()
}

// room is the state of a broadcast's room.
type room struct {
	conns []*conn
	owed  int
	turn  int
	sent  time.Duration
}

// Broadcast runs b on the fleet.
func (f *Fleet) Broadcast(b Broadcast, w Window) (*Result, error) {
	frame, reply := clientFrame(Text, b.Send), serverFrame(Text, b.Send)
	size := b.Room
	if size == 0 {
		size = len(f.conns)
	}
	clock := newClock(w)
	active := 0
	speak := func(r *room) error {
		r.sent, r.owed = clock.now, len(r.conns)
		for _, c := range r.conns {
			c.owed = 1
		}
		speaker := r.conns[r.turn]
		if b.Turns {
			r.turn = (r.turn + 1) % len(r.conns)
		}
		return f.write(speaker, frame)
	}
	for i := 0; i < len(f.conns); i += size {
		r := &room{conns: f.conns[i:min(i+size, len(f.conns))]}
		for _, c := range r.conns {
			c.room = r
		}
		active++
		if err := speak(r); err != nil {
			return nil, err
		}
	}
	for active > 0 {
		err := f.wait(func(c *conn, in []byte) error {
			n, err := c.replies(in, reply)
			if err != nil {
				return err
			}
			if n > c.owed {
				return fmt.Errorf("a socket heard one message twice")
			}
			r := c.room
			c.owed -= n
			r.owed -= n
			if n == 0 || r.owed > 0 {
				return nil
			}
			clock.tick()
			clock.count(clock.now-r.sent, len(r.conns))
			clock.spoken()
			if clock.over {
				active--
				return nil
			}
			return speak(r)
		})
		if err != nil {
			return nil, fmt.Errorf("%d rooms have not heard all: %w", active, err)
		}
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
			return n, fmt.Errorf("want the reply %.100q, got opcode %d, %.100q", want, op, payload)
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

func (k *clock) spoken() {
	if k.begun && !k.over {
		k.res.Spoken++
	}
}

func (k *clock) result() (*Result, error) {
	if k.res.Messages == 0 {
		return nil, fmt.Errorf("no message was answered within %v", k.window.Measure)
	}
	return &k.res, nil
}
