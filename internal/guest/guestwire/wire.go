// Package guestwire turns the contract of package guest into bytes and back.
// It knows docs/guest-protocol.md and nothing else: no process, no descriptor.
//
// This is one bank of the protocol; sdk/node/src/wire.ts is the other. Both
// decode and encode every frame of testdata.
package guestwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

const (
	Magic    = 0x4d524f44 // "DORM"
	Version  = 1
	MaxFrame = 48 << 20

	// headBytes is the length and the type in front of each body.
	headBytes = 5
)

// Type is the first byte of a frame.
type Type uint8

const (
	Hello     Type = 0x01
	Start     Type = 0x02
	Sockets   Type = 0x03
	Message   Type = 0x04
	Closed    Type = 0x05
	Errored   Type = 0x06
	Request   Type = 0x07
	Hibernate Type = 0x10
	Reset     Type = 0x11
	Alarm     Type = 0x12
	Durable   Type = 0x13
	Why       Type = 0x14
	Stamps    Type = 0x15
	Buffered  Type = 0x16
	Shutdown  Type = 0x17
	Clock     Type = 0xc0

	Response  Type = 0x20
	Body      Type = 0x21
	BodyEnd   Type = 0x22
	BodyAbort Type = 0x23
	Credit    Type = 0x24
	Cancel    Type = 0x25
	Failure   Type = 0x26

	OpenSession    Type = 0x70
	BeginSession   Type = 0x71
	SessionMessage Type = 0x72
	SessionClose   Type = 0x73
	SessionCredit  Type = 0x74
	SessionFailure Type = 0x75

	Ready        Type = 0x40
	Unfit        Type = 0x41
	Started      Type = 0x42
	StartFailed  Type = 0x43
	Progress     Type = 0x44
	Send         Type = 0x45
	Broadcast    Type = 0x46
	Close        Type = 0x47
	Accept       Type = 0x48
	Attachment   Type = 0x49
	AutoResponse Type = 0x4a
	EventTimeout Type = 0x4b
	Open         Type = 0x4c
	Release      Type = 0x4d
	Commit       Type = 0x4e
	AwaitDurable Type = 0x4f
	SetAlarm     Type = 0x50
	Log          Type = 0x51
	Aborted      Type = 0x52
	Asleep       Type = 0x53
	Awake        Type = 0x54
	Report       Type = 0x55
	Done         Type = 0x56
	Ask          Type = 0x57
	Handled      Type = 0x59
	FoundAlarm   Type = 0x68

	Lasting Type = 0x80
	Over    Type = 0x81

	Pause  Type = 0x86
	Waited Type = 0x98

	// About the frame that follows; the first to the guest, the others to the host.
	Trace  Type = 0xc8
	Traced Type = 0xc9
	Blame  Type = 0xca
	Cause  Type = 0xcb

	// About the request or the session in the frame that follows, to the guest.
	Props   Type = 0xd0
	Foreign Type = 0xd1

	Inspect    Type = 0xcc // to the guest
	Inspecting Type = 0xcd // to the host

	// About what code of a guest has asked of its objects past the host: to the host.
	Direct      Type = 0xf4
	DirectCause Type = 0xf5

	// About databases: to the guest up to CloseDatabase, the others to the host.
	Database       Type = 0x60
	Checkpoint     Type = 0x61
	CloseDatabase  Type = 0x62
	SnapshotHeld   Type = 0x64
	Checkpointed   Type = 0x65
	DatabaseClosed Type = 0x66

	// About what an object was: to the host, and the answer.
	AskPast Type = 0x6c
	Past    Type = 0x6d
)

// Errors of reading. Whoever sees one ends the guest.
var (
	errShort = errors.New("frame ends too early")
	errLong  = errors.New("frame has bytes left over")
)

const (
	opText   = 1
	opBinary = 2
)

// Next cuts the first frame off b. It returns ok false when b does not hold a
// whole frame yet. body and rest are parts of b.
func Next(b []byte) (t Type, body, rest []byte, ok bool, err error) {
	if len(b) < headBytes {
		return 0, nil, b, false, nil
	}
	n := binary.LittleEndian.Uint32(b)
	if n < 1 || n > MaxFrame {
		return 0, nil, b, false, fmt.Errorf("frame of %d bytes; the limit is %d", n, MaxFrame)
	}
	if uint32(len(b)-4) < n {
		return 0, nil, b, false, nil
	}
	return Type(b[4]), b[headBytes : 4+n], b[4+n:], true, nil
}

// Need says how many bytes the first frame of b takes, as far as that is
// known: the size a buffer must have to hold it.
func Need(b []byte) int {
	if len(b) < 4 {
		return headBytes
	}
	return 4 + int(min(binary.LittleEndian.Uint32(b), MaxFrame))
}

// buffer appends frames. begin and end stand around each.
type buffer struct {
	b      []byte
	start  int
	frames uint64 // ended in the life of the buffer
}

func (w *buffer) begin(t Type) {
	w.start = len(w.b)
	w.b = append(w.b, 0, 0, 0, 0, byte(t))
}

func (w *buffer) end() {
	binary.LittleEndian.PutUint32(w.b[w.start:], uint32(len(w.b)-w.start-4))
	w.frames++
}

func (w *buffer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *buffer) u16(v uint16) { w.b = binary.LittleEndian.AppendUint16(w.b, v) }
func (w *buffer) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *buffer) u64(v uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, v) }
func (w *buffer) f64(v float64) {
	w.u64(math.Float64bits(v))
}
func (w *buffer) bool(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}
func (w *buffer) str(s string)               { w.u32(uint32(len(s))); w.b = append(w.b, s...) }
func (w *buffer) bytes(p []byte)             { w.u32(uint32(len(p))); w.b = append(w.b, p...) }
func (w *buffer) rest(p []byte)              { w.b = append(w.b, p...) }
func (w *buffer) text(s string)              { w.b = append(w.b, s...) }
func (w *buffer) id(id *dormouse.ID)         { w.b = append(w.b, id[:]...) }
func (w *buffer) time(t time.Time)           { w.f64(Millis(t)) }
func (w *buffer) ms(d time.Duration)         { w.u32(uint32(d.Milliseconds())) }
func (w *buffer) socket(s dormouse.SocketID) { w.u64(uint64(s)) }

func (w *buffer) op(text bool) {
	if text {
		w.u8(opText)
	} else {
		w.u8(opBinary)
	}
}

// header writes as many lines as can be counted. Whoever takes them from a
// client refuses more than that.
func (w *buffer) header(h []guest.Header) {
	h = h[:min(len(h), math.MaxUint16)]
	w.u16(uint16(len(h)))
	for i := range h {
		w.str(h[i].Name)
		w.str(h[i].Value)
	}
}

const (
	flagRemote = 1 << iota
	flagRetryable
	flagOverloaded
	flagObjectReset
)

func (w *buffer) error(e *dormouse.Error) {
	var f uint8
	for bit, on := range map[uint8]bool{
		flagRemote: e.Remote, flagRetryable: e.Retryable,
		flagOverloaded: e.Overloaded, flagObjectReset: e.ObjectReset,
	} {
		if on {
			f |= bit
		}
	}
	w.u8(f)
	name := e.Name
	if name == "" {
		name = "Error"
	}
	w.str(name)
	w.str(e.Message)
	w.str(e.Stack)
	w.bytes(e.Extra)
}

// reader takes a body apart. After the first error every method returns zero
// values; done tells.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		r.fail(errShort)
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *reader) f64() float64 { return math.Float64frombits(r.u64()) }
func (r *reader) bool() bool   { return r.below(2) != 0 }

// flags reads bits, of which all but those in known must be 0.
func (r *reader) flags(known uint8) uint8 {
	v := r.u8()
	if v&^known != 0 {
		r.fail(fmt.Errorf("flags %#x, of which only %#x are known", v, known))
		return 0
	}
	return v
}

// below reads a number that must be less than n.
func (r *reader) below(n uint8) uint8 {
	v := r.u8()
	if v >= n {
		r.fail(fmt.Errorf("%d where at most %d can be", v, n-1))
		return 0
	}
	return v
}

func (r *reader) bytes() []byte {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	return r.take(int(n))
}

func (r *reader) str() string     { return string(r.bytes()) }
func (r *reader) time() time.Time { return FromMillis(r.f64()) }

// due reads a time that must be one. JavaScript's times reach further than ours;
// those are kept as the last that we have.
func (r *reader) due() time.Time {
	ms := r.f64()
	if !(ms > 0) || math.IsInf(ms, 1) {
		r.fail(fmt.Errorf("%v is no time", ms))
	}
	return FromMillis(min(ms, year10000-1))
}

// took reads how long something took, in milliseconds.
func (r *reader) took() time.Duration {
	ms := r.f64()
	if !(ms >= 0 && ms < 1e12) { // some 30 years; past it a Duration would wrap
		r.fail(fmt.Errorf("%v ms is no duration", ms))
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

func (r *reader) ms() time.Duration        { return time.Duration(r.u32()) * time.Millisecond }
func (r *reader) object() guest.Object     { return guest.Object(r.u32()) }
func (r *reader) exchange() guest.Exchange { return guest.Exchange(r.u32()) }

func (r *reader) socket() dormouse.SocketID {
	v := r.u64()
	if v >= 1<<53 {
		r.fail(fmt.Errorf("socket %d is past 2^53", v))
	}
	return dormouse.SocketID(v)
}

func (r *reader) id() (id dormouse.ID) {
	copy(id[:], r.take(len(id)))
	return id
}

// rest takes what is left. It is never nil.
func (r *reader) rest() []byte {
	p := r.b
	r.b = nil
	if p == nil {
		p = []byte{}
	}
	return p
}

func (r *reader) op() (text bool) {
	switch v := r.u8(); v {
	case opText:
		return true
	case opBinary:
	default:
		r.fail(fmt.Errorf("message of kind %d", v))
	}
	return false
}

// count checks the number of entries of a list whose entries take at least
// least bytes each, so that no number can make us allocate more than was sent.
func (r *reader) count(n uint32, least int) int {
	if uint64(n)*uint64(least) > uint64(len(r.b)) {
		r.fail(errShort)
		return 0
	}
	return int(n)
}

func (r *reader) header() []guest.Header {
	n := r.count(uint32(r.u16()), 8)
	if n == 0 {
		return nil
	}
	h := make([]guest.Header, n)
	for i := range h {
		h[i] = guest.Header{Name: r.str(), Value: r.str()}
	}
	return h
}

func (r *reader) tags() []string {
	n := r.count(uint32(r.u8()), 4)
	if n == 0 {
		return nil
	}
	tags := make([]string, n)
	for i := range tags {
		tags[i] = r.str()
	}
	return tags
}

func (r *reader) error() *dormouse.Error {
	f := r.flags(flagRemote | flagRetryable | flagOverloaded | flagObjectReset)
	e := &dormouse.Error{
		Remote: f&flagRemote != 0, Retryable: f&flagRetryable != 0,
		Overloaded: f&flagOverloaded != 0, ObjectReset: f&flagObjectReset != 0,
		Name: r.str(), Message: r.str(), Stack: r.str(),
	}
	if p := r.bytes(); len(p) > 0 {
		e.Extra = append([]byte(nil), p...)
	}
	return e
}

// done ends the reading of a body.
func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		return errLong
	}
	return r.err
}

// Millis is a time as the protocol writes it; the zero time is 0.
func Millis(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e3
}

// year10000 is the first millisecond that is past every time we keep.
const year10000 = 253402300800000

// FromMillis is the time of Millis. What is not a sensible time is the zero
// time.
func FromMillis(ms float64) time.Time {
	if !(ms > 0 && ms < year10000) {
		return time.Time{}
	}
	return time.UnixMicro(int64(ms * 1e3))
}

// sockets reads a list of sockets in place.
func (r *reader) sockets() socketList {
	n := r.count(r.u32(), 8)
	l := socketList(r.take(8 * n))
	for i := range l.Len() {
		if s := l.At(i); s >= 1<<53 {
			r.fail(fmt.Errorf("socket %d is past 2^53", s))
			return nil
		}
	}
	return l
}

// socketList is the sockets of a broadcast.
type socketList []byte

func (l socketList) Len() int { return len(l) / 8 }
func (l socketList) At(i int) dormouse.SocketID {
	return dormouse.SocketID(binary.LittleEndian.Uint64(l[8*i:]))
}
