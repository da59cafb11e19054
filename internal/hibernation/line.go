package hibernation

// A client hears the answers to what it says in order: a message that is
// answered here must not overtake the answer to one before it on the same
// socket. So while an earlier message of a socket has not begun to be handled,
// a match waits, and what follows on the socket waits behind it. By then
// everything that the handler said in its first turn has come in the guest's
// stream, before the report that it has begun.

// maxLine bounds what waits on one socket, in messages and in bytes; beyond it
// the order is given up.
const (
	maxLine      = 256
	maxLineBytes = 256 << 10
)

// line is what a socket has said since a match had to wait, oldest first.
type line struct {
	said  []said
	bytes int
}

type said struct {
	text    bool
	payload []byte // owned
}

// inOrder handles a message of a socket whose object answers some itself.
func (s *Socket) inOrder(text bool, payload []byte) {
	t := s.set
	match := s.matches(text, payload)
	if match {
		// The time of receipt, whenever the answer leaves.
		s.stamp = s.reg.cfg.Loop.Now().UnixMilli()
		t.stamped(s)
	}
	l := t.lines[s]
	if l == nil && match && !t.rec.Begun(s.last) {
		if t.lines == nil {
			t.lines = make(map[*Socket]*line)
		}
		l = new(line)
		t.lines[s] = l
	}
	if l == nil {
		s.handle(text, payload)
		return
	}
	l.said = append(l.said, said{text, append([]byte(nil), payload...)})
	l.bytes += len(payload)
	if len(l.said) > maxLine || l.bytes > maxLineBytes {
		s.flush()
	}
}

func (s *Socket) matches(text bool, payload []byte) bool {
	p := s.set.pair
	return text && p != nil && string(payload) == p.Request
}

// handle answers a message or passes it on.
func (s *Socket) handle(text bool, payload []byte) {
	if s.matches(text, payload) {
		s.autoRespond(s.set.pair)
		return
	}
	s.pass(text, payload)
	s.last = s.set.rec.Arrived()
}

// flush handles what waits in line, begun or not.
func (s *Socket) flush() {
	if s.set == nil {
		return
	}
	t := s.set
	l := t.lines[s]
	delete(t.lines, s)
	for l != nil && len(l.said) > 0 && s.set == t {
		m := l.said[0]
		l.said = l.said[1:]
		s.handle(m.text, m.payload)
	}
}

// Progress tells that events have begun, or that the instance has left.
func (t *Set) Progress() {
	for s, l := range t.lines {
		s.advance(l)
	}
}

// advance handles what need not wait any more. A message that was passed on is
// one that the next match waits for.
func (s *Socket) advance(l *line) {
	t := s.set
	for len(l.said) > 0 && s.set == t && t.lines[s] == l {
		m := l.said[0]
		if s.matches(m.text, m.payload) && !t.rec.Begun(s.last) {
			return
		}
		l.said = l.said[1:]
		l.bytes -= len(m.payload)
		s.handle(m.text, m.payload)
	}
	delete(t.lines, s)
}
