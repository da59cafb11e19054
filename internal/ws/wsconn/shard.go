// Package wsconn is what all transports share: the life of a WebSocket on a
// loop, over a stream of bytes that never blocks. It knows when to read, when to
// write and how to end; the protocol is ws's, and where the bytes come from is
// the transport's.
package wsconn

import (
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

const (
	// readBuffer is the size of the one buffer that a shard reads into. It
	// bounds what one connection may say in one round.
	readBuffer = 64 << 10
	// maxSegments is how many pieces one write may consist of.
	maxSegments = 64
	// maxLingering is how many connections may stay half-closed at a time until
	// their peers have noticed. More are closed at once.
	maxLingering = 1024
)

// Ahead is how many connections a transport expects before it reads the first of
// them. What those need fits into the second cache of a processor.
const Ahead = 128

// Expect is for a transport that is about to call Ready for reading on all of
// conns: it has their sinks look at what they need. See ws.Expecter.
func Expect[T any](s *Shard, ready []T, conn func(T) *Conn) {
	if len(ready) < 2 {
		return // nothing to wait for together
	}
	list := s.expected[:0]
	for _, r := range ready {
		c := conn(r)
		s.seen += uint(c.flags)
		if e := c.end.Expecter(); e != nil {
			list = append(list, e)
		}
	}
	for step := range ws.ExpectSteps {
		for _, e := range list {
			s.seen += e.Expect(step)
		}
	}
	clear(list)
	s.expected = list[:0]
}

// Shard is what the connections of one transport share. It belongs to its loop.
type Shard struct {
	// Set once, before use.
	loop         *loop.Loop
	runLaterFunc func() // made once, because Post would otherwise allocate it

	// Owned by the loop.
	pool     ws.Pool
	buf      []byte
	segments [][]byte
	expected []ws.Expecter // of Expect, while it runs
	seen     uint          // by it; nobody asks
	dirty    []*Conn       // to be flushed and settled at the end of the round
	later    []*Conn       // whose Sink has something to hear outside of a call
	parked   []*Conn       // to be read again after a pause of the shard
	// ending are those that are over and not closed yet, with the timer that
	// bounds their flushing and lingering.
	ending map[*Conn]*loop.Timer
}

// NewShard registers a flush hook with l, which sends what the round has queued.
// A hook registered after it that has something to send posts it instead. Call it
// before Start or on the loop.
func NewShard(l *loop.Loop) *Shard {
	s := &Shard{
		loop:     l,
		buf:      make([]byte, readBuffer),
		segments: make([][]byte, 0, maxSegments),
		ending:   make(map[*Conn]*loop.Timer),
	}
	s.runLaterFunc = s.runLater
	l.OnFlush(s.flush)
	return s
}

// Loop is the loop that the shard belongs to.
func (s *Shard) Loop() *loop.Loop { return s.loop }

// SetPaused stops, or resumes, the reading of all connections: what the peers
// send stays with the system, so that they feel it. While it is paused nothing
// that arrives costs more than one wake-up for its connection.
func (s *Shard) SetPaused(paused bool) {
	if s.pool.Paused == paused {
		return
	}
	s.pool.Paused = paused
	if paused {
		return
	}
	parked := s.parked
	s.parked = nil
	for _, c := range parked {
		c.flags &^= parkedFlag
		c.tellLater() // settles what it wants, and goes on with what it holds
	}
}

// Close closes what still flushes or lingers. Connections that are not over are
// their owners', to be dropped first.
func (s *Shard) Close() {
	for c := range s.ending {
		c.close()
	}
}

// flush is the hook at the end of each round. A round with very much to send has
// it run in between, too.
func (s *Shard) flush() {
	if len(s.dirty) == 0 {
		return
	}
	for i := 0; i < len(s.dirty); i++ { // settling may add one
		c := s.dirty[i]
		c.flags &^= dirtyFlag
		c.flush()
		c.settle()
	}
	s.dirty = emptied(s.dirty)
	s.pool.EndRound()
}

// runLater tells the sinks what no call could tell them.
func (s *Shard) runLater() {
	list := s.later
	s.later = nil
	for _, c := range list {
		c.flags &^= laterFlag
		c.tell()
	}
	if s.later == nil {
		s.later = emptied(list)
	}
}

// maxKeptList is the longest list of connections whose memory is kept.
const maxKeptList = 32 << 10

func emptied(list []*Conn) []*Conn {
	if cap(list) > maxKeptList {
		return nil
	}
	clear(list)
	return list[:0]
}
