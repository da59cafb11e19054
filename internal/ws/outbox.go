package ws

// Outbox is the one queue of a connection: what it has to send, in order, as
// segments that a transport can hand to the system without copying. It exists
// only while something waits.
type Outbox struct {
	segments []segment
	first    int    // the first one that has not left
	sent     int    // bytes of it that have left
	size     int    // bytes that have not left. Invariant: the sum over segments
	end      place  // in the arena, of the last segment, if it is there
	stuck    bool   // the transport was told "not now", and waits
	pong     []byte // the answer to the last ping, when it is too late for all
}

// segment is a run of bytes. All kinds but borrowed, remainder and httpHead are
// runs of whole frames.
type segment struct {
	b    []byte
	kind segmentKind
}

type segmentKind uint8

const (
	inArena   segmentKind = iota // good until the end of the round; may grow
	borrowed                     // the payload of one frame, good until the call returns
	owned                        // ours; may grow
	shared                       // never changes, and lives as long as we refer to it
	remainder                    // ours: the end of one frame that has begun to leave
	httpHead                     // ours: the answer to the upgrade request
)

// minShared is the size from which a shared frame is referred to. Below, a
// copy is smaller than the reference.
const minShared = 128

// grow returns n bytes at the end of the queue, to be filled in at once.
// Together with what grew before it they are one segment, if possible.
func (o *Outbox) grow(a *arena, n int) []byte {
	o.size += n
	if o.stuck || n > maxArenaAppend {
		return o.growOwned(n)
	}
	b, begin := a.alloc(n)
	last := len(o.segments) - 1
	if last >= 0 && o.segments[last].kind == inArena && begin == o.end {
		s := &o.segments[last]
		s.b = s.b[:len(s.b)+n]
	} else {
		o.segments = append(o.segments, segment{b, inArena})
	}
	o.end = place{begin.block, begin.offset + n}
	return b
}

// growOwned is grow in memory of the outbox's own.
func (o *Outbox) growOwned(n int) []byte {
	const least, most = 512, 64 << 10
	size := least
	if last := len(o.segments) - 1; last >= 0 && o.segments[last].kind == owned {
		s := &o.segments[last]
		if used := len(s.b); cap(s.b)-used >= n {
			s.b = s.b[:used+n]
			return s.b[used:]
		}
		size = min(2*cap(s.b), most)
	}
	b := make([]byte, n, max(n, size))
	o.segments = append(o.segments, segment{b, owned})
	return b
}

// growPong queues the Pong that was put off, if there is one.
func (o *Outbox) growPong(a *arena) {
	if len(o.pong) > 0 {
		copy(o.grow(a, len(o.pong)), o.pong)
		o.pong = o.pong[:0]
	}
}

// add appends a segment that is there already.
func (o *Outbox) add(b []byte, kind segmentKind) {
	o.size += len(b)
	o.segments = append(o.segments, segment{b, kind})
}

// Segments appends the next pieces to send to dst, at most up to its capacity.
func (o *Outbox) Segments(dst [][]byte) [][]byte {
	skip := o.sent
	for i := o.first; i < len(o.segments) && len(dst) < cap(dst); i++ {
		if b := o.segments[i].b[skip:]; len(b) > 0 {
			dst = append(dst, b)
		}
		skip = 0
	}
	return dst
}

// Advance says that n more bytes have left.
func (o *Outbox) Advance(n int) {
	o.size -= n
	n += o.sent
	for o.first < len(o.segments) && n >= len(o.segments[o.first].b) {
		n -= len(o.segments[o.first].b)
		o.segments[o.first] = segment{}
		o.first++
	}
	o.sent = n
	switch {
	case o.first == len(o.segments):
		o.segments, o.first = o.segments[:0], 0
	case o.first >= 64 && o.first >= len(o.segments)/2:
		o.compact()
	}
}

// keep gives what is left memory of its own, where it has only been borrowed
// from the round or from a caller.
func (o *Outbox) keep() {
	o.compact()
	if len(o.segments) > 0 && o.segments[0].kind == borrowed {
		// Its header has left, so what is left of it stays apart; see truncate.
		rest := append([]byte(nil), o.segments[0].b[o.sent:]...)
		o.segments[0], o.sent = segment{rest, remainder}, 0
	}
	kept := o.segments[:0]
	for i, n := 0, len(o.segments); i < n; {
		if !o.segments[i].fleeting() {
			kept = append(kept, o.segments[i])
			i++
			continue
		}
		// A run of them becomes one segment, with room to grow.
		size, end := 0, i
		for ; end < n && o.segments[end].fleeting(); end++ {
			size += len(o.segments[end].b)
		}
		b := make([]byte, 0, size+min(size, arenaBlock))
		for ; i < end; i++ {
			b = append(b, o.segments[i].b...)
		}
		kept = append(kept, segment{b, owned})
	}
	clear(o.segments[len(kept):])
	o.segments = kept
}

// fleeting reports whether the bytes are only ours for a while.
func (s segment) fleeting() bool { return s.kind == inArena || s.kind == borrowed }

// compact removes the segments that have left.
func (o *Outbox) compact() {
	n := copy(o.segments, o.segments[o.first:])
	clear(o.segments[n:])
	o.segments, o.first = o.segments[:n], 0
}

// truncate throws away what waits, but for the rest of a frame that has begun
// to leave.
//
// It must come after keep.
func (o *Outbox) truncate() {
	o.compact()
	if len(o.segments) == 0 {
		return
	}
	s := o.segments[0]
	end := 0
	switch {
	case s.kind == remainder || s.kind == httpHead && o.sent > 0:
		end = len(s.b)
	case s.kind != httpHead:
		for end < o.sent {
			end += wholeFrame(s.b[end:])
		}
	}
	clear(o.segments)
	o.segments, o.pong = o.segments[:0], nil
	if o.size = end - o.sent; o.size == 0 {
		o.sent = 0
		return
	}
	o.segments = append(o.segments, segment{s.b[:end], s.kind})
}

// wholeFrame is the length of the frame at the beginning of b, which is one of
// ours: whole and not masked.
func wholeFrame(b []byte) int {
	n := uint64(b[1])
	switch n {
	case 126:
		n = uint64(b[2])<<8 | uint64(b[3])
	case 127:
		n = 0
		for _, c := range b[2:maxHeader] {
			n = n<<8 | uint64(c)
		}
	}
	return frameHeaderLen(b[1]) + int(n)
}
