package wiretest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Receiver is a guest with the frames that the contract does not have.
type Receiver interface {
	guest.Guest
	guest.RPC
	Hello(incarnation uint32, config []byte)
	Shutdown(deadline time.Duration)
	Clock(ahead time.Duration)
}

// Decoder reads frames of a host and says each to a Receiver. An activation is
// said when its table of sockets is whole.
type Decoder struct {
	To Receiver

	database *guest.Activation // its start has not come
	start    *guest.Activation // its table is not whole
	rows     uint32            // that are missing
}

// Whole says that nothing is waited for.
func (d *Decoder) Whole() bool { return d.start == nil && d.database == nil }

// Errors of a Decoder.
var (
	ErrShort = errors.New("frame too short")
	ErrLong  = errors.New("frame too long")
)

// Feed reads every whole frame of b and returns what is left.
func (d *Decoder) Feed(b []byte) (rest []byte, err error) {
	for len(b) >= 4 {
		n := binary.LittleEndian.Uint32(b)
		if n < 1 || n > 48<<20 {
			return b, fmt.Errorf("frame of %d bytes", n)
		}
		if uint64(len(b)-4) < uint64(n) {
			break
		}
		if err := d.Frame(b[4], b[5:4+n]); err != nil {
			return b, fmt.Errorf("frame 0x%02x: %w", b[4], err)
		}
		b = b[4+n:]
	}
	return b, nil
}

// body is a frame being read. Methods panic with ErrShort; Frame recovers.
type body struct{ b []byte }

func (r *body) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		panic(ErrShort)
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *body) u8() uint8         { return r.take(1)[0] }
func (r *body) u16() uint16       { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *body) u32() uint32       { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *body) u64() uint64       { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *body) str() string       { return string(r.take(int(r.u32()))) }
func (r *body) rest() []byte      { return r.take(len(r.b)) }
func (r *body) f64() float64      { return math.Float64frombits(r.u64()) }
func (r *body) has() bool         { return r.below(2) != 0 }
func (r *body) ms() time.Duration { return time.Duration(r.u32()) * time.Millisecond }

func (r *body) below(n uint8) uint8 {
	v := r.u8()
	if v >= n {
		panic(fmt.Errorf("got %d, want less than %d", v, n))
	}
	return v
}

func (r *body) socket() dormouse.SocketID {
	v := r.u64()
	if v >= 1<<53 {
		panic(fmt.Errorf("socket %d", v))
	}
	return dormouse.SocketID(v)
}

func (r *body) text() bool {
	switch v := r.u8(); v {
	case 1:
		return true
	case 2:
		return false
	default:
		panic(fmt.Errorf("message of kind %d", v))
	}
}

func (r *body) time() time.Time {
	ms := r.f64()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(ms * 1e3))
}

func (r *body) headers() (list []guest.Header) {
	for range r.u16() {
		list = append(list, guest.Header{Name: r.str(), Value: r.str()})
	}
	return list
}

func (r *body) error() *dormouse.Error {
	f := r.below(16)
	return &dormouse.Error{
		Remote: f&1 != 0, Retryable: f&2 != 0, Overloaded: f&4 != 0, ObjectReset: f&8 != 0,
		Name: r.str(), Message: r.str(), Stack: r.str(), Extra: []byte(r.str()),
	}
}

func (r *body) row() guest.Socket {
	s := guest.Socket{ID: r.socket()}
	f := r.below(4)
	s.WeClosed, s.PeerClosed, s.Stamp = f&1 != 0, f&2 != 0, r.time()
	for range r.u8() {
		s.Tags = append(s.Tags, r.str())
	}
	s.Protocol, s.Extensions = r.str(), r.str()
	has, value := r.has(), r.str()
	if has {
		s.Attachment = []byte(value)
	}
	return s
}

func (r *body) request() *guest.Request {
	f := r.below(2)
	return &guest.Request{
		HasBody: f&1 != 0, Method: r.str(), URL: r.str(),
		Header: r.headers(), CF: r.str(), Entrypoint: r.str(),
	}
}

func (r *body) response() *guest.Response {
	resp := &guest.Response{Status: int(r.u16()), StatusText: r.str()}
	f := r.below(4)
	resp.HasBody, resp.Header, resp.Socket = f&1 != 0, r.headers(), r.socket()
	if (f&2 != 0) != (resp.Socket != 0) {
		panic(errors.New("a response's flags and its socket disagree"))
	}
	return resp
}

// Frame reads one frame.
func (d *Decoder) Frame(t uint8, b []byte) (err error) {
	defer func() {
		if e := recover(); e != nil {
			var ok bool
			if err, ok = e.(error); !ok {
				panic(e)
			}
		}
	}()
	r := &body{b}
	say, err := d.read(t, r)
	if err != nil {
		return err
	}
	if len(r.b) > 0 {
		return ErrLong
	}
	say()
	return nil
}

func (d *Decoder) read(t uint8, r *body) (say func(), err error) {
	switch t {
	case 0x01:
		if magic, version := r.u32(), r.u16(); magic != 0x4d524f44 || version != 1 {
			return nil, fmt.Errorf("hello with magic %#x and version %d", magic, version)
		}
		n, config := r.u32(), r.rest()
		return func() { d.To.Hello(n, config) }, nil
	case 0x02:
		a, rows := r.activation()
		if d.start != nil {
			return nil, errors.New("start within a table of sockets")
		}
		if b := d.database; b != nil {
			if b.Object != a.Object {
				return nil, fmt.Errorf("start of object %d after the database of %d", a.Object, b.Object)
			}
			a.Database = b.Database
		}
		return func() {
			d.database = nil
			if rows == 0 {
				d.To.Start(a)
				return
			}
			d.start, d.rows = &a, rows
		}, nil
	case 0x03:
		return d.sockets(r)
	case 0x04:
		s, text, p := r.socket(), r.text(), r.rest()
		return func() { d.To.Message(s, text, p) }, nil
	case 0xcc:
		on := r.below(2) != 0
		return func() {
			if t, ok := d.To.(interface{ Inspect(bool) }); ok {
				t.Inspect(on)
			}
		}, nil
	case 0xc8:
		context := string(r.rest())
		if len(context) > 1024 {
			return nil, ErrLong
		}
		return func() {
			if t, ok := d.To.(interface{ Trace(string) }); ok {
				t.Trace(context)
			}
		}, nil
	case 0xd0:
		p := r.rest()
		return func() {
			if t, ok := d.To.(interface{ Props([]byte) }); ok {
				t.Props(p)
			}
		}, nil
	case 0xd1:
		return func() {
			if t, ok := d.To.(interface{ Foreign() }); ok {
				t.Foreign()
			}
		}, nil
	case 0x05:
		s, c := r.socket(), guest.Closing{Code: r.u16()}
		f := r.below(4)
		c.Clean, c.Ended, c.Reason = f&1 != 0, f&2 != 0, string(r.rest())
		return func() { d.To.Closed(s, c) }, nil
	case 0x06:
		s, m := r.socket(), string(r.rest())
		return func() { d.To.Errored(s, m) }, nil
	case 0x07:
		x, o := guest.Exchange(r.u32()), guest.Object(r.u32())
		req := r.request()
		return func() { d.To.Request(x, o, req) }, nil
	case 0x10:
		o, n, m := guest.Object(r.u32()), r.u32(), guest.Mode(r.below(4))
		return func() { d.To.Hibernate(o, n, m) }, nil
	case 0x11:
		o, e := guest.Object(r.u32()), r.error()
		return func() { d.To.Reset(o, e) }, nil
	case 0x12:
		x, o, at, retry := guest.Exchange(r.u32()), guest.Object(r.u32()), r.time(), int(r.u8())
		return func() { d.To.Alarm(x, o, at, retry) }, nil
	case 0x13:
		o, n := guest.Object(r.u32()), r.u32()
		return func() { d.To.Durable(o, n) }, nil
	case 0x14:
		q, o := r.u32(), guest.Object(r.u32())
		return func() { d.To.Why(q, o) }, nil
	case 0x15:
		var list []guest.Stamp
		for n := r.u32(); n > 0; n-- {
			list = append(list, guest.Stamp{Socket: r.socket(), At: r.time()})
		}
		return func() { d.To.Stamps(list) }, nil
	case 0x16:
		s, n := r.socket(), int(r.u32())
		return func() { d.To.Buffered(s, n) }, nil
	case 0x17:
		deadline := r.ms()
		return func() { d.To.Shutdown(deadline) }, nil
	case 0xc0:
		ahead := time.Duration(r.f64()) * time.Millisecond
		return func() { d.To.Clock(ahead) }, nil
	case 0x60:
		o, path := guest.Object(r.u32()), string(r.rest())
		if !d.Whole() {
			return nil, errors.New("database where a start or its table is due")
		}
		return func() { d.database = &guest.Activation{Object: o, Database: path} }, nil
	case 0x61:
		o, s := guest.Object(r.u32()), guest.CheckpointStep(r.below(3))
		return func() { d.To.Checkpoint(o, s) }, nil
	case 0x6d:
		o, q, ok, text := guest.Object(r.u32()), r.u32(), r.has(), string(r.rest())
		return func() { d.To.Past(o, q, ok, text) }, nil
	case 0x62:
		o := guest.Object(r.u32())
		return func() { d.To.CloseDatabase(o) }, nil
	}
	if t >= 0x71 && t <= 0x75 {
		return readSession(d.To, t, r)
	}
	return readPeer(d.To, t, r)
}

// readSession reads a frame of a session.
func readSession(s guest.RPC, t uint8, r *body) (say func(), err error) {
	x := guest.Session(r.u32())
	switch t {
	case 0x71:
		o, opening := guest.Object(r.u32()), &guest.Opening{Entrypoint: r.str(), Props: []byte(r.str()), First: r.rest()}
		return func() { s.BeginSession(x, o, opening) }, nil
	case 0x72:
		p := r.rest()
		return func() { s.SessionMessage(x, p) }, nil
	case 0x73:
		p := r.rest()
		return func() { s.SessionClose(x, p) }, nil
	case 0x74:
		n := r.u32()
		return func() { s.SessionCredit(x, n) }, nil
	}
	e := r.error()
	return func() { s.SessionFailure(x, e) }, nil
}

func (r *body) activation() (a guest.Activation, rows uint32) {
	a.Object, a.Class = guest.Object(r.u32()), int(r.u16())
	copy(a.ID[:], r.take(len(a.ID)))
	a.HasName, a.Name = r.has(), r.str()
	if has, p := r.has(), (guest.Pair{Request: r.str(), Response: r.str()}); has {
		a.Pair = &p
	}
	a.EventTimeout = r.ms()
	return a, r.u32()
}

// sockets reads a part of the table of the activation that is waited for.
func (d *Decoder) sockets(r *body) (say func(), err error) {
	o, n := guest.Object(r.u32()), uint32(r.u16())
	var rows []guest.Socket
	for range n {
		rows = append(rows, r.row())
	}
	if d.start == nil || d.start.Object != o || n > d.rows {
		return nil, fmt.Errorf("%d sockets for object %d, which nobody waits for", n, o)
	}
	return func() {
		d.start.Sockets = append(d.start.Sockets, rows...)
		if d.rows -= n; d.rows == 0 {
			a := *d.start
			d.start = nil
			d.To.Start(a)
		}
	}, nil
}

// readPeer reads a frame that both sides write.
func readPeer(p guest.Peer, t uint8, r *body) (say func(), err error) {
	x := guest.Exchange(0)
	if t >= 0x20 && t <= 0x26 {
		x = guest.Exchange(r.u32())
	}
	switch t {
	case 0x20:
		resp := r.response()
		return func() { p.Response(x, resp) }, nil
	case 0x21:
		b := r.rest()
		return func() { p.Body(x, b) }, nil
	case 0x22:
		return func() { p.BodyEnd(x) }, nil
	case 0x23:
		reason := string(r.rest())
		return func() { p.BodyAbort(x, reason) }, nil
	case 0x24:
		n := r.u32()
		return func() { p.Credit(x, n) }, nil
	case 0x25:
		reason := string(r.rest())
		return func() { p.Cancel(x, reason) }, nil
	case 0x26:
		e := r.error()
		return func() { p.Failure(x, e) }, nil
	}
	return nil, fmt.Errorf("unknown type 0x%02x", t)
}
