// Package numbered is a fleet of clients that notice what happens to their
// sockets: idle ones, and busy ones that exchange numbered messages with their
// room (internal/e2e/testdata/numbered). It knows a server's address and never
// sees what is done to it meanwhile.
package numbered

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Config says how many clients there are.
type Config struct {
	URL   string // of the server, "http://127.0.0.1:8787"
	Rooms int    // that the clients are spread over; 0: 8
	Idle  int    // sockets that say nothing until the end
	Busy  int    // sockets that speak all the time
	// Pace is the time from one message of a busy socket to the next, whether the
	// first has been answered or not; 0: 20 ms.
	Pace time.Duration
	// InFlight bounds the messages of a socket that have not been answered: past
	// it the client waits; 0: 64.
	InFlight int
	// Patience is how long the last answers may take; 0: 30 s.
	Patience time.Duration
}

// Fleet is clients that are connected.
type Fleet struct {
	cfg     Config
	busy    []*client
	idle    []*client
	stop    chan struct{}
	running sync.WaitGroup
}

// Report is what the clients have seen.
type Report struct {
	Sockets  int
	Sent     int // numbered messages, of all clients
	Answered int
	Closed   []string // names of sockets that were closed, and how
	// Wrong are messages that came twice or out of order, on either way, and
	// sockets that are not what they were.
	Wrong []string
	// Unanswered are messages that no answer came to, by the name of the socket.
	// Its room may have seen them.
	Unanswered map[string][]int
	Silence    time.Duration // the longest between two answers that a busy client heard
	Codes      []string      // versions that have answered, in the order of the first time
}

// client is one socket.
type client struct {
	name string
	room int
	conn net.Conn
	rw   io.ReadWriter

	sent atomic.Int64 // the last number

	// Owned by the goroutine that listens.
	answered int // how many
	last     answer
	pending  []int // that have been passed over
	wrong    []string
	codes    []string

	mu      sync.Mutex // guards the following
	heard   time.Time
	longest time.Duration
	closed  string
}

// answer is what a room says.
type answer struct {
	N      int    `json:"n"`
	Before int    `json:"before"`
	Said   int    `json:"said"`
	Code   string `json:"code"`

	Who  string   `json:"who"`
	Tags []string `json:"tags"`
	Seen int      `json:"seen"`
}

// Start connects the clients and has the busy ones speak.
func Start(ctx context.Context, c Config) (*Fleet, error) {
	for p, v := range map[*int]int{&c.Rooms: 8, &c.InFlight: 64} {
		if *p == 0 {
			*p = v
		}
	}
	if c.Pace == 0 {
		c.Pace = 20 * time.Millisecond
	}
	if c.Patience == 0 {
		c.Patience = 30 * time.Second
	}
	f := &Fleet{cfg: c, stop: make(chan struct{})}
	for i := range c.Idle + c.Busy {
		kind := "idle"
		if i >= c.Idle {
			kind = "busy"
		}
		cl, err := f.dial(ctx, fmt.Sprint(kind, i), i%c.Rooms)
		if err != nil {
			f.Abandon()
			return nil, err
		}
		if i < c.Idle {
			f.idle = append(f.idle, cl)
		} else {
			f.busy = append(f.busy, cl)
		}
	}
	for _, cl := range f.busy {
		cl.heard = time.Now()
		f.running.Go(func() { f.speak(cl) })
		f.running.Go(func() { f.listen(cl) })
	}
	return f, nil
}

func (f *Fleet) dial(ctx context.Context, name string, room int) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	url := fmt.Sprintf("ws%s/room%d/socket?name=%s", strings.TrimPrefix(f.cfg.URL, "http"), room, name)
	conn, buffered, _, err := ws.Dial(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if buffered == nil {
		buffered = bufio.NewReaderSize(conn, 512)
	}
	return &client{name: name, room: room, conn: conn, rw: struct {
		io.Reader
		io.Writer
	}{buffered, conn}}, nil
}

// speak sends numbers until the fleet stops.
func (f *Fleet) speak(c *client) {
	tick := time.NewTicker(f.cfg.Pace)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		c.mu.Lock()
		gone, waiting := c.closed != "", int(c.sent.Load())-c.last.N
		c.mu.Unlock()
		if gone {
			return
		}
		if waiting >= f.cfg.InFlight {
			continue
		}
		n := c.sent.Add(1)
		if err := wsutil.WriteClientText(c.conn, fmt.Append(nil, n)); err != nil {
			c.ended(err)
			return
		}
	}
}

// listen checks the answers until the socket ends, or everything has been
// answered after the end.
func (f *Fleet) listen(c *client) {
	for {
		text, err := wsutil.ReadServerText(c.rw)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.ended(err)
			}
			return
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			c.complain("said %q", text)
			return
		}
		c.hears(a)
	}
}

func (c *client) hears(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.longest = max(c.longest, now.Sub(c.heard))
	c.heard = now
	c.answered++
	switch {
	case a.N <= c.last.N:
		c.complain("answer to %d after that to %d", a.N, c.last.N)
	case a.Before >= a.N:
		c.complain("the room saw %d after %d", a.N, a.Before)
	case a.Before < c.last.N:
		c.complain("the room has forgotten %d: it saw %d before %d", c.last.N, a.Before, a.N)
	case a.Said <= c.last.Said:
		c.complain("the room's number %d after %d", a.Said, c.last.Said)
	}
	for n := c.last.N + 1; n < a.N; n++ {
		c.pending = append(c.pending, n)
	}
	c.last = a
	if !slices.Contains(c.codes, a.Code) {
		c.codes = append(c.codes, a.Code)
	}
}

func (c *client) complain(format string, args ...any) {
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, c.name+": "+fmt.Sprintf(format, args...))
	}
}

func (c *client) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == "" {
		c.closed = err.Error()
	}
}

// Silence returns the longest time without an answer that a busy client has had
// since it was last asked, and begins anew.
func (f *Fleet) Silence() time.Duration {
	var longest time.Duration
	now := time.Now()
	for _, c := range f.busy {
		c.mu.Lock()
		longest = max(longest, c.longest, now.Sub(c.heard))
		c.longest, c.heard = 0, now
		c.mu.Unlock()
	}
	return longest
}

// Abandon closes every socket.
func (f *Fleet) Abandon() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	for _, c := range append(slices.Clone(f.busy), f.idle...) {
		c.conn.Close()
	}
	f.running.Wait()
}

// Stop has the busy clients fall silent, waits for their last answers, asks each
// idle one who it is, and says what all of them have seen.
func (f *Fleet) Stop() *Report {
	r := &Report{Sockets: len(f.busy) + len(f.idle), Silence: f.Silence(), Unanswered: make(map[string][]int)}
	close(f.stop)
	late := time.Now().Add(f.cfg.Patience)
	for _, c := range f.busy {
		// One message more: its answer comes behind all others.
		n := c.sent.Add(1)
		wsutil.WriteClientText(c.conn, fmt.Append(nil, n))
		for time.Now().Before(late) {
			c.mu.Lock()
			done := c.last.N >= int(n) || c.closed != ""
			c.mu.Unlock()
			if done {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	for _, c := range f.idle {
		f.ask(c, r, late)
	}
	f.Abandon()
	for _, c := range f.busy {
		r.Sent += int(c.sent.Load())
		r.Answered += c.answered
		r.Wrong = append(r.Wrong, c.wrong...)
		for n := c.last.N + 1; n <= int(c.sent.Load()); n++ {
			c.pending = append(c.pending, n)
		}
		if len(c.pending) > 0 {
			r.Unanswered[c.name] = c.pending
		}
		if c.closed != "" {
			r.Closed = append(r.Closed, c.name+": "+c.closed)
		}
		for _, code := range c.codes {
			if !slices.Contains(r.Codes, code) {
				r.Codes = append(r.Codes, code)
			}
		}
	}
	return r
}

// ask has an idle client say who it is.
func (f *Fleet) ask(c *client, r *Report, late time.Time) {
	c.conn.SetDeadline(late)
	err := wsutil.WriteClientText(c.conn, []byte("who"))
	var text []byte
	if err == nil {
		text, err = wsutil.ReadServerText(c.rw)
	}
	if err != nil {
		r.Closed = append(r.Closed, c.name+": "+err.Error())
		return
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil || a.Who != c.name || !slices.Equal(a.Tags, []string{c.name}) || a.Seen != 0 {
		r.Wrong = append(r.Wrong, fmt.Sprintf("%s is %s, %v", c.name, text, err))
	}
}

// Excuse takes out of Unanswered what the server has reported: messages that a
// guest had begun when it died. known says so of a socket's name and the number
// of a message.
func (r *Report) Excuse(known func(name string, number int) bool) {
	for name, list := range r.Unanswered {
		if list = slices.DeleteFunc(list, func(n int) bool { return known(name, n) }); len(list) == 0 {
			delete(r.Unanswered, name)
		} else {
			r.Unanswered[name] = list
		}
	}
}

// Err says what must not have happened; nil: nothing of it.
func (r *Report) Err() error {
	var errs []error
	if len(r.Closed) > 0 {
		errs = append(errs, fmt.Errorf("%d of %d sockets were closed: %s", len(r.Closed), r.Sockets, strings.Join(r.Closed[:min(5, len(r.Closed))], "; ")))
	}
	if len(r.Wrong) > 0 {
		errs = append(errs, fmt.Errorf("%d things were wrong: %s", len(r.Wrong), strings.Join(r.Wrong[:min(5, len(r.Wrong))], "; ")))
	}
	for name, list := range r.Unanswered {
		errs = append(errs, fmt.Errorf("%s: %d messages were not answered: %v", name, len(list), list[:min(20, len(list))]))
		if len(errs) > 10 {
			break
		}
	}
	return errors.Join(errs...)
}
