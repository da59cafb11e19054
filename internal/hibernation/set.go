package hibernation

import (
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Set is the sockets of one object with what they have in common.
//
// What each message needs comes first: see Socket.Expect.
type Set struct {
	rec       Recipient
	pair      *guest.Pair
	lines     map[*Socket]*line
	number    uint32    // of the message that is being said
	hibernate bool      // holds hibernatable sockets
	muted     bool      // what the guest says before Left is not to be known
	paused    bool      // its sockets are not read
	stamps    []*Socket // answered since TakeStamps

	reg      *Registry
	sockets  []*Socket     // in the order in which they were accepted; nil where one has left
	n        int           // of sockets that are not nil
	timeout  time.Duration // of an event; 0 none
	halfOpen []*Socket     // the peer closed, the guest knows and had not answered
}

// NewSet makes an empty set whose sockets talk to rec. Hibernatable says which
// kind of sockets it will hold: an object has a set of each.
func (r *Registry) NewSet(rec Recipient, hibernatable bool) *Set {
	return &Set{rec: rec, reg: r, hibernate: hibernatable}
}

// Number says, while rec is told a message, which of its socket's it is; 0: that
// is not known. It wraps.
func (t *Set) Number() uint32 { return t.number }

// Len is the number of sockets whose last words the guest has not got yet.
func (t *Set) Len() int { return t.n }

func (t *Set) add(s *Socket) {
	s.set, s.listed, s.at = t, true, int32(len(t.sockets))
	t.sockets = append(t.sockets, s)
	t.n++
}

// remove leaves a hole, so that many may leave at once; holes are closed when
// they are half of the list.
func (t *Set) remove(s *Socket) {
	if !s.listed {
		return
	}
	delete(t.lines, s)
	t.sockets[s.at] = nil
	s.listed = false
	t.n--
	switch {
	case t.n == 0:
		t.sockets = nil
		t.rec.Emptied()
	case t.n <= len(t.sockets)/2:
		t.compact()
	}
}

func (t *Set) compact() {
	kept := make([]*Socket, 0, t.n)
	for s := range t.all {
		s.at = int32(len(kept))
		kept = append(kept, s)
	}
	t.sockets = kept
}

// all lists the sockets, oldest first. They may leave meanwhile.
func (t *Set) all(yield func(*Socket) bool) {
	for _, s := range t.sockets {
		if s != nil && s.listed && !yield(s) {
			return
		}
	}
}

// Table lists the sockets for a new activation, oldest first. Attachments are
// borrowed until the next call into the registry.
func (t *Set) Table() []guest.Socket {
	if t.n == 0 {
		return nil
	}
	rows := make([]guest.Socket, 0, t.n)
	for s := range t.all {
		row := guest.Socket{
			ID: s.id, WeClosed: s.closing || s.weClosed && !s.echoed, PeerClosed: s.peerClosed || s.ended, Stamp: s.stampTime(),
			Tags: s.tags, Attachment: s.attachment,
		}
		rows = append(rows, row)
	}
	t.stamps = nil // they are in the table
	return rows
}

// Ended tells that the guest has the last words of a socket: it leaves the
// table, and what was kept for it is free. The connection may live on, half
// open, until the guest closes it.
func (t *Set) Ended(id dormouse.SocketID) {
	s := t.reg.sockets[id]
	if s == nil || s.set != t {
		return
	}
	s.attachment, s.tags = nil, nil
	if !s.ended && !s.weClosed {
		if len(t.halfOpen) == cap(t.halfOpen) {
			t.halfOpen = slices.DeleteFunc(t.halfOpen, func(s *Socket) bool { return s.ended || s.weClosed })
		}
		t.halfOpen = append(t.halfOpen, s)
	}
	t.remove(s)
	s.forget()
}

// Left tells that the instance has left memory: what it left half open can
// never be closed by it.
func (t *Set) Left() {
	waiting := t.halfOpen[:0]
	for _, s := range t.halfOpen {
		switch {
		case s.set != t || s.ended || s.weClosed:
		case s.closing: // its Close waits at the gate
			waiting = append(waiting, s)
		default:
			s.drop()
		}
	}
	clear(t.halfOpen[len(waiting):])
	t.halfOpen = waiting
	t.muted = false
}

// SetPair sets what is answered without the object; nil nothing.
func (t *Set) SetPair(p *guest.Pair) { t.pair = p }

// Pair is what SetPair set.
func (t *Set) Pair() *guest.Pair { return t.pair }

// SetEventTimeout keeps how long an event may take.
func (t *Set) SetEventTimeout(d time.Duration) { t.timeout = d }

// EventTimeout is what SetEventTimeout set.
func (t *Set) EventTimeout() time.Duration { return t.timeout }

// stamped remembers that s was answered and tells once.
func (t *Set) stamped(s *Socket) {
	if len(t.stamps) > t.n+16 {
		t.stamps = nil // nobody takes them: the table will have them
	}
	if !slices.Contains(t.stamps[max(0, len(t.stamps)-8):], s) {
		t.stamps = append(t.stamps, s)
	}
	t.rec.Stamped()
}

// TakeStamps returns the answers given since it was last called.
func (t *Set) TakeStamps() []guest.Stamp {
	if len(t.stamps) == 0 {
		return nil
	}
	list := make([]guest.Stamp, 0, len(t.stamps))
	for _, s := range t.stamps {
		list = append(list, guest.Stamp{Socket: s.id, At: s.stampTime()})
	}
	t.stamps = t.stamps[:0]
	return list
}

// Reset is the end of the instance. With drop the sockets end without a Close
// frame and pair and timeout are forgotten; otherwise everything stays but what
// waited to be sent. What the instance says from now on until Left is ignored.
func (t *Set) Reset(drop bool) {
	t.muted = true
	for _, s := range t.halfOpen {
		s.held, s.closing = 0, false // Left drops them
	}
	if !drop {
		for s := range t.all {
			s.held, s.closing = 0, false
		}
		return
	}
	t.pair, t.timeout, t.stamps, t.paused = nil, 0, nil, false
	for s := range t.all {
		s.drop()
	}
}

// CloseAll ends the sockets of code that is gone, with a Close frame.
func (t *Set) CloseAll(code uint16, reason string) {
	for s := range t.all {
		if s.conn == nil {
			s.drop()
			continue
		}
		if !s.weClosed {
			s.weClosed = true
			s.conn.Close(code, reason)
		}
		s.expectAnswer()
		s.set, s.orphan = nil, true // nobody hears its answer
		t.remove(s)
	}
}

// Pause stops what the clients of these sockets say, and those that will come;
// Resume lets it go on.
func (t *Set) Pause() {
	t.paused = true
	t.each(func(s *Socket) { s.conn.Pause() })
}

// Resume pairs with Pause.
func (t *Set) Resume() {
	t.paused = false
	t.each(func(s *Socket) {
		if !s.paused && !s.slowed {
			s.conn.Resume()
		}
	})
}

func (t *Set) each(f func(*Socket)) {
	for s := range t.all {
		if s.conn != nil {
			f(s)
		}
	}
}

// shownAttachment is the longest attachment that people see whole.
const shownAttachment = 4 << 10

// Info is a socket as people see it.
type Info struct {
	ID              dormouse.SocketID
	Remote          string
	Tags            []string
	AttachmentBytes int
	Attachment      []byte // if it is not longer than shownAttachment; a copy
	Buffered        int
	AutoResponse    time.Time
	Closing         bool
}

// Info lists the sockets, oldest first, at most limit of them.
func (t *Set) Info(limit int) []Info {
	list := make([]Info, 0, min(limit, t.n))
	for s := range t.all {
		if len(list) == limit {
			break
		}
		i := Info{
			ID: s.id, Tags: slices.Clone(s.tags), AttachmentBytes: len(s.attachment),
			AutoResponse: s.stampTime(), Closing: s.weClosed || s.peerClosed,
		}
		if len(s.attachment) <= shownAttachment {
			i.Attachment = slices.Clone(s.attachment)
		}
		if s.conn != nil {
			i.Remote, i.Buffered = s.conn.RemoteAddr(), s.conn.Buffered()
		}
		list = append(list, i)
	}
	return list
}
