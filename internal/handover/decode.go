package handover

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Decode reads a state. next gives the descriptor of the next socket that has
// one. Memory grows with what arrives, never with what is only announced.
func Decode(r io.Reader, next func() (descriptor int, err error)) (*State, Total, error) {
	sum := crc32.New(checksum)
	d := &decoder{r: bufio.NewReaderSize(r, flushFrom), sum: sum, next: next, ids: make(map[dormouse.SocketID]bool)}
	state, err := d.state()
	if err == nil {
		err = d.err
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, d.total, fmt.Errorf("handed over state, byte %d: %w", d.total.Bytes, err)
	}
	return state, d.total, nil
}

// decoder keeps the first error; after it everything reads as zero.
type decoder struct {
	r     *bufio.Reader
	sum   hash.Hash32
	next  func() (int, error)
	total Total
	ids   map[dormouse.SocketID]bool
	err   error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// take reads n bytes into memory that grows as they come.
func (d *decoder) take(n int) []byte {
	var b []byte
	for len(b) < n && d.err == nil {
		at := len(b)
		b = append(b, make([]byte, min(n-at, flushFrom))...)
		var got int
		got, d.err = io.ReadFull(d.r, b[at:])
		d.sum.Write(b[at : at+got])
		d.total.Bytes += got
	}
	if d.err != nil {
		return nil
	}
	return b
}

func (d *decoder) byte() byte {
	if d.err != nil {
		return 0
	}
	c, err := d.r.ReadByte()
	if d.err = err; err != nil {
		return 0
	}
	d.sum.Write([]byte{c})
	d.total.Bytes++
	return c
}

// ReadByte lets a decoder be read by package binary.
func (d *decoder) ReadByte() (byte, error) {
	c := d.byte()
	return c, d.err
}

// uint reads a number of at most most.
func (d *decoder) uint(what string, most uint64) uint64 {
	n, err := binary.ReadUvarint(d)
	if err != nil {
		d.fail("%s: %w", what, err)
		return 0
	}
	if n > most {
		d.fail("%s is %d, more than %d", what, n, most)
		return 0
	}
	return n
}

func (d *decoder) bytes(what string, most uint64) []byte {
	return d.take(int(d.uint("the length of "+what, most)))
}

func (d *decoder) string(what string, most uint64) string { return string(d.bytes(what, most)) }

func (d *decoder) duration(what string) time.Duration {
	return time.Duration(d.uint(what, uint64(maxDuration/time.Millisecond))) * time.Millisecond
}

// flags reads a byte of which only the first n bits may be set.
func (d *decoder) flags(what string, n int) byte {
	b := d.byte()
	if b>>n != 0 {
		d.fail("%s has flags %#x, which this version does not know", what, b)
	}
	return b
}

func (d *decoder) state() (*State, error) {
	head := d.take(len(magic) + 4)
	if d.err != nil {
		return nil, d.err
	}
	if string(head[:len(magic)]) != magic {
		return nil, errors.New("this is no state of a Dormouse")
	}
	if f := binary.LittleEndian.Uint32(head[len(magic):]); f < Oldest || f > Format {
		return nil, fmt.Errorf("format %d; this version reads %d to %d", f, Oldest, Format)
	}
	s := &State{}
	for d.err == nil {
		switch kind := d.byte(); {
		case d.err != nil:
		case kind == objectRecord && len(s.Objects) < maxObjects:
			s.Objects = append(s.Objects, d.object())
			d.total.Objects++
		case kind == alarmRecord && len(s.Alarms) < maxAlarms:
			s.Alarms = append(s.Alarms, d.alarm())
			d.total.Alarms++
		case kind == endRecord:
			return s, d.end()
		default:
			d.fail("record of kind %d", kind)
		}
	}
	return nil, d.err
}

// end compares what has come with what was meant to.
func (d *decoder) end() error {
	t := &d.total
	for _, n := range []int{t.Objects, t.Sockets, t.Descriptors, t.Mail, t.Alarms} {
		if m := d.uint("a total", 1<<40); d.err == nil && m != uint64(n) {
			return fmt.Errorf("totals %+v do not agree with the sender's", *t)
		}
	}
	want := d.sum.Sum32()
	got := d.take(4)
	if d.err != nil {
		return d.err
	}
	if binary.LittleEndian.Uint32(got) != want {
		return errors.New("the checksum does not agree")
	}
	if _, err := d.r.ReadByte(); err != io.EOF {
		return errors.New("there is something behind the end")
	}
	return nil
}

func (d *decoder) key() (k dormouse.Key) {
	k.Namespace = dormouse.Namespace(d.string("a namespace", maxNamespace))
	copy(k.ID[:], d.take(len(k.ID)))
	return k
}

func (d *decoder) alarm() (a Alarm) {
	a.Key = d.key()
	if b := d.take(8); b != nil {
		a.Wake.At = time.UnixMilli(int64(binary.LittleEndian.Uint64(b)))
	}
	a.Wake.Retry = int(d.byte())
	return a
}

func (d *decoder) object() *Object {
	o := &Object{}
	f := d.flags("an object", 3)
	o.HasName, o.Awake = f&objectNamed != 0, f&objectAwake != 0
	o.Key = d.key()
	if o.HasName {
		o.Name = d.string("a name", maxName)
	}
	if f&objectPair != 0 {
		o.Sockets.Pair = &guest.Pair{Request: d.string("a request", maxShort), Response: d.string("a response", maxShort)}
	}
	o.Sockets.EventTimeout = d.duration("an event timeout")
	for n := d.uint("the number of sockets", maxSockets); n > 0 && d.err == nil; n-- {
		o.Sockets.Sockets = append(o.Sockets.Sockets, d.socket())
	}
	for n := d.uint("the number of events", maxMail); n > 0 && d.err == nil; n-- {
		o.Mail = append(o.Mail, d.mail())
	}
	return o
}

func (d *decoder) socket() (s hibernation.SavedSocket) {
	f := d.byte()
	s.WeClosed, s.Echoed, s.PeerClosed = f&socketWeClosed != 0, f&socketEchoed != 0, f&socketPeerClosed != 0
	s.Ended, s.Relayed = f&socketEnded != 0, f&socketRelayed != 0
	s.ID = dormouse.SocketID(d.uint("a socket's id", 1<<64-1))
	s.Stamp = int64(d.uint("a time", 1<<62))
	s.Passed = uint32(d.uint("the number of messages", 1<<32-1))
	s.Patience = d.duration("a close handshake")
	for n := d.uint("the number of tags", maxTags); n > 0 && d.err == nil; n-- {
		s.Tags = append(s.Tags, d.string("a tag", maxShort))
	}
	if f&socketAttachment != 0 {
		if s.Attachment = d.bytes("an attachment", maxPayload); s.Attachment == nil {
			s.Attachment = []byte{}
		}
	}
	if f&socketClient != 0 {
		client := d.string("a client", maxShort)
		s.Client = &client
	}
	d.total.Sockets++
	if d.ids[s.ID] {
		d.fail("socket %d is there twice", s.ID)
	}
	d.ids[s.ID] = true
	if f&socketConn == 0 {
		if s.Client != nil {
			d.fail("socket %d has a client and no connection", s.ID)
		}
		return s
	}
	if s.Ended || s.Relayed {
		d.fail("socket %d has a connection that it cannot have", s.ID)
	}
	s.Conn = d.conn()
	if d.err != nil {
		return s
	}
	if err := s.Conn.Check(); err != nil {
		d.fail("socket %d: %w", s.ID, err)
		return s
	}
	s.Conn.Descriptor, d.err = d.next()
	d.total.Descriptors++
	return s
}

func (d *decoder) conn() *ws.Saved {
	f := d.byte()
	c := &ws.Saved{PeerClosed: f&connPeerClosed != 0, Closed: f&connClosed != 0, Mute: f&connMute != 0}
	c.Deflate.ServerBits, c.Deflate.ClientBits = d.byte(), d.byte()
	c.Unsent = d.bytes("the unsent bytes", maxUnsent)
	c.Begun = int(d.uint("what has begun to leave", maxUnsent))
	c.Pong = d.bytes("a pong", maxShort)
	if f&connPartial == 0 {
		if f&(connFrame|connCompressed|connFin|connMasked) != 0 {
			d.fail("a frame without a decoder")
		}
		return c
	}
	q := &ws.Partial{Compressed: f&connCompressed != 0}
	q.Head = d.bytes("a header", maxShort)
	q.Message = ws.Opcode(d.byte())
	q.Body = d.bytes("a body", maxPayload)
	q.Held = d.bytes("input", maxPayload)
	c.Partial = q
	if f&connFrame == 0 {
		if f&(connFin|connMasked) != 0 {
			d.fail("flags of a frame that is not there")
		}
		return c
	}
	q.Frame = &ws.Frame{Op: ws.Opcode(d.byte()), Fin: f&connFin != 0, Masked: f&connMasked != 0}
	copy(q.Frame.Mask[:], d.take(4))
	q.Frame.Got = int(d.uint("what has come of a frame", maxPayload))
	q.Frame.Left = int(d.uint("what is to come of a frame", maxPayload))
	q.Frame.Control = d.bytes("a control frame", maxShort)
	return c
}

func (d *decoder) mail() (m guest.Event) {
	d.total.Mail++
	m.Kind = guest.EventKind(d.byte())
	m.Socket = dormouse.SocketID(d.uint("a socket's id", 1<<64-1))
	switch m.Kind {
	case guest.ClosedEvent:
		f := d.flags("a close", 2)
		m.Closing.Clean, m.Closing.Ended = f&1 != 0, f&2 != 0
		m.Closing.Code = uint16(d.uint("a close code", 1<<16-1))
		m.Closing.Reason = d.string("a reason", maxShort)
	case guest.MessageEvent, guest.ErroredEvent:
		m.Text = d.flags("a message", 1) != 0
		m.Payload = d.bytes("a message", maxPayload)
	default:
		d.fail("an event of kind %d", m.Kind)
	}
	return m
}
