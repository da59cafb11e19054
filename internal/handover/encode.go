package handover

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// magic begins a state.
const magic = "DORMOUSE"

// Kinds of records.
const (
	endRecord    = 0
	objectRecord = 1
	alarmRecord  = 2
)

// Bits of an object's flags.
const (
	objectNamed = 1 << iota
	objectAwake
	objectPair
)

// Bits of a socket's flags.
const (
	socketWeClosed = 1 << iota
	socketEchoed
	socketPeerClosed
	socketEnded
	socketRelayed
	socketConn
	socketAttachment
	socketClient
)

// Bits of a connection's flags.
const (
	connPeerClosed = 1 << iota
	connClosed
	connMute
	connPartial
	connFrame
	connCompressed
	connFin
	connMasked
)

// checksum is CRC-32C, of everything before it.
var checksum = crc32.MakeTable(crc32.Castagnoli)

// Encoder writes a state. Pass is told of each descriptor, before the bytes of
// its socket are written.
type Encoder struct {
	w     io.Writer
	pass  func(descriptor int) error
	total Total
	sum   uint32
	b     []byte
	err   error
}

// NewEncoder begins a state.
func NewEncoder(w io.Writer, pass func(descriptor int) error) *Encoder {
	e := &Encoder{w: w, pass: pass}
	e.b = append(e.b, magic...)
	e.b = binary.LittleEndian.AppendUint32(e.b, Format)
	return e
}

// flushFrom is how much may gather before it is written.
const flushFrom = 64 << 10

func (e *Encoder) flush() error {
	if e.err == nil && len(e.b) > 0 {
		e.sum = crc32.Update(e.sum, checksum, e.b)
		e.total.Bytes += len(e.b)
		_, e.err = e.w.Write(e.b)
	}
	e.b = e.b[:0]
	return e.err
}

func (e *Encoder) byte(b byte)   { e.b = append(e.b, b) }
func (e *Encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *Encoder) bytes(p []byte) {
	e.uint(uint64(len(p)))
	e.b = append(e.b, p...)
}
func (e *Encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *Encoder) duration(d time.Duration) {
	e.uint(uint64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)) // never 0 for more
}

// flags packs facts, the first in the lowest bit.
func flags(facts ...bool) (b byte) {
	for i, f := range facts {
		if f {
			b |= 1 << i
		}
	}
	return b
}

// Object writes one object.
func (e *Encoder) Object(o *Object) error {
	e.total.Objects++
	e.byte(objectRecord)
	e.byte(flags(o.HasName, o.Awake, o.Sockets.Pair != nil))
	e.string(string(o.Key.Namespace))
	e.b = append(e.b, o.Key.ID[:]...)
	if o.HasName {
		e.string(o.Name)
	}
	if p := o.Sockets.Pair; p != nil {
		e.string(p.Request)
		e.string(p.Response)
	}
	e.duration(o.Sockets.EventTimeout)
	e.uint(uint64(len(o.Sockets.Sockets)))
	for i := range o.Sockets.Sockets {
		if err := e.socket(&o.Sockets.Sockets[i]); err != nil {
			return err
		}
	}
	e.uint(uint64(len(o.Mail)))
	for i := range o.Mail {
		e.mail(&o.Mail[i])
	}
	return e.flushIfMuch()
}

func (e *Encoder) flushIfMuch() error {
	if len(e.b) < flushFrom {
		return e.err
	}
	return e.flush()
}

func (e *Encoder) socket(s *hibernation.SavedSocket) error {
	e.total.Sockets++
	if s.Conn != nil {
		e.total.Descriptors++
		if err := e.flushIfMuch(); err != nil {
			return err
		}
		if e.err = e.pass(s.Conn.Descriptor); e.err != nil {
			return e.err
		}
	}
	e.byte(flags(s.WeClosed, s.Echoed, s.PeerClosed, s.Ended, s.Relayed, s.Conn != nil, s.Attachment != nil, s.Client != nil))
	e.uint(uint64(s.ID))
	e.uint(uint64(s.Stamp))
	e.uint(uint64(s.Passed))
	e.duration(s.Patience)
	e.uint(uint64(len(s.Tags)))
	for _, t := range s.Tags {
		e.string(t)
	}
	if s.Attachment != nil {
		e.bytes(s.Attachment)
	}
	if s.Client != nil {
		e.string(*s.Client)
	}
	if s.Conn != nil {
		e.conn(s.Conn)
	}
	return nil
}

func (e *Encoder) conn(c *ws.Saved) {
	q := c.Partial
	var f *ws.Frame
	if q != nil {
		f = q.Frame
	}
	e.byte(flags(c.PeerClosed, c.Closed, c.Mute, q != nil, f != nil,
		q != nil && q.Compressed, f != nil && f.Fin, f != nil && f.Masked))
	e.byte(c.Deflate.ServerBits)
	e.byte(c.Deflate.ClientBits)
	e.bytes(c.Unsent)
	e.uint(uint64(c.Begun))
	e.bytes(c.Pong)
	if q == nil {
		return
	}
	e.bytes(q.Head)
	e.byte(byte(q.Message))
	e.bytes(q.Body)
	e.bytes(q.Held)
	if f != nil {
		e.byte(byte(f.Op))
		e.b = append(e.b, f.Mask[:]...)
		e.uint(uint64(f.Got))
		e.uint(uint64(f.Left))
		e.bytes(f.Control)
	}
}

func (e *Encoder) mail(m *guest.Event) {
	e.total.Mail++
	e.byte(byte(m.Kind))
	e.uint(uint64(m.Socket))
	switch m.Kind {
	case guest.ClosedEvent:
		e.byte(flags(m.Closing.Clean, m.Closing.Ended))
		e.uint(uint64(m.Closing.Code))
		e.string(m.Closing.Reason)
	default:
		e.byte(flags(m.Text))
		e.bytes(m.Payload)
	}
}

// Alarm writes when an object has to be woken.
func (e *Encoder) Alarm(a Alarm) error {
	e.total.Alarms++
	e.byte(alarmRecord)
	e.string(string(a.Key.Namespace))
	e.b = append(e.b, a.Key.ID[:]...)
	e.b = binary.LittleEndian.AppendUint64(e.b, uint64(a.Wake.At.UnixMilli()))
	e.byte(byte(a.Wake.Retry))
	return e.flushIfMuch()
}

// End writes what everything amounts to, and the checksum.
func (e *Encoder) End() (Total, error) {
	e.byte(endRecord)
	t := &e.total
	for _, n := range []int{t.Objects, t.Sockets, t.Descriptors, t.Mail, t.Alarms} {
		e.uint(uint64(n))
	}
	if err := e.flush(); err != nil {
		return *t, err
	}
	e.b = binary.LittleEndian.AppendUint32(e.b, e.sum)
	return *t, e.flush()
}
