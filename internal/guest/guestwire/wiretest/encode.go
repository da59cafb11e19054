// Package wiretest is the guest's bank of the guest protocol in Go, for tests:
// it writes what a guest says and reads what a host says. It is written from
// docs/guest-protocol.md and shares no code with guestwire, so that each finds
// the other's mistakes.
package wiretest

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// frame is a frame being written, type first.
type frame []byte

func (f frame) u8(v uint8) frame   { return append(f, v) }
func (f frame) u16(v uint16) frame { return binary.LittleEndian.AppendUint16(f, v) }
func (f frame) u32(v uint32) frame { return binary.LittleEndian.AppendUint32(f, v) }
func (f frame) u64(v uint64) frame { return binary.LittleEndian.AppendUint64(f, v) }
func (f frame) f64(v float64) frame {
	return f.u64(math.Float64bits(v))
}
func (f frame) str(s string) frame  { return append(f.u32(uint32(len(s))), s...) }
func (f frame) rest(s string) frame { return append(f, s...) }

func (f frame) flag(v bool) frame {
	if v {
		return f.u8(1)
	}
	return f.u8(0)
}

func (f frame) kind(text bool) frame {
	if text {
		return f.u8(1)
	}
	return f.u8(2)
}

func (f frame) time(t time.Time) frame {
	if t.IsZero() {
		return f.f64(0)
	}
	return f.f64(float64(t.UnixMicro()) / 1e3)
}

func (f frame) headers(list []guest.Header) frame {
	f = f.u16(uint16(len(list)))
	for _, h := range list {
		f = f.str(h.Name).str(h.Value)
	}
	return f
}

func (f frame) error(e *dormouse.Error) frame {
	var flags uint8
	for i, on := range []bool{e.Remote, e.Retryable, e.Overloaded, e.ObjectReset} {
		if on {
			flags |= 1 << i
		}
	}
	return f.u8(flags).str(e.Name).str(e.Message).str(e.Stack).str(string(e.Extra))
}

// Encoder writes frames of a guest: whatever is said to it as to a host becomes
// one. Out gets each whole frame, length and all.
type Encoder struct{ Out func(frame []byte) }

func (e Encoder) say(t uint8, f frame) {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(f)+1))
	e.Out(append(append(b, t), f...))
}

// Raw writes a frame of any type with any body.
func (e Encoder) Raw(t uint8, body []byte) { e.say(t, body) }

// SayReady writes the first frame of a guest, with the version of the protocol.
func (e Encoder) SayReady(version uint16, json string) { e.say(0x40, frame{}.u16(version).rest(json)) }

// Unfit writes the other first frame.
func (e Encoder) Unfit(err *dormouse.Error) { e.say(0x41, frame{}.error(err)) }

var _ guest.Host = Encoder{}

// Ready, FromPeer and Gone of the contract are not one frame each.

func (e Encoder) Ready(guest.Guest, guest.Ready) { panic("wiretest: use SayReady") }

func (e Encoder) Gone(guest.Guest, error) {}

func (e Encoder) FromPeer(guest.Guest) guest.Peer { return Peer(e) }

func (e Encoder) Started(_ guest.Guest, o guest.Object, took time.Duration) {
	e.say(0x42, frame{}.u32(uint32(o)).f64(float64(took)/float64(time.Millisecond)))
}

func (e Encoder) StartFailed(_ guest.Guest, o guest.Object, err *dormouse.Error) {
	e.say(0x43, frame{}.u32(uint32(o)).error(err))
}

func (e Encoder) Progress(_ guest.Guest, o guest.Object, p guest.Progress) {
	e.say(0x44, frame{}.u32(uint32(o)).u32(p.Started).u32(p.Finished).u32(p.Tasks))
}

func (e Encoder) Send(_ guest.Guest, s dormouse.SocketID, text bool, payload []byte) {
	e.say(0x45, frame{}.u64(uint64(s)).kind(text).rest(string(payload)))
}

func (e Encoder) Broadcast(_ guest.Guest, to guest.Sockets, text bool, payload []byte) {
	f := frame{}.u32(uint32(to.Len()))
	for i := range to.Len() {
		f = f.u64(uint64(to.At(i)))
	}
	e.say(0x46, f.kind(text).rest(string(payload)))
}

func (e Encoder) Close(_ guest.Guest, s dormouse.SocketID, code uint16, reason string) {
	e.say(0x47, frame{}.u64(uint64(s)).u16(code).rest(reason))
}

func (e Encoder) Accept(_ guest.Guest, o guest.Object, s dormouse.SocketID, tags []string) {
	f := frame{}.u32(uint32(o)).u64(uint64(s)).u8(uint8(len(tags)))
	for _, tag := range tags {
		f = f.str(tag)
	}
	e.say(0x48, f)
}

func (e Encoder) Attachment(_ guest.Guest, s dormouse.SocketID, value []byte) {
	e.say(0x49, frame{}.u64(uint64(s)).flag(value != nil).rest(string(value)))
}

func (e Encoder) AutoResponse(_ guest.Guest, o guest.Object, p *guest.Pair) {
	f := frame{}.u32(uint32(o)).flag(p != nil)
	if p == nil {
		p = new(guest.Pair)
	}
	e.say(0x4a, f.str(p.Request).str(p.Response))
}

func (e Encoder) EventTimeout(_ guest.Guest, o guest.Object, d time.Duration) {
	e.say(0x4b, frame{}.u32(uint32(o)).u32(uint32(d.Milliseconds())))
}

func (e Encoder) Open(_ guest.Guest, s dormouse.SocketID, o guest.Object) {
	e.say(0x4c, frame{}.u64(uint64(s)).u32(uint32(o)))
}

func (e Encoder) Release(_ guest.Guest, s dormouse.SocketID) { e.say(0x4d, frame{}.u64(uint64(s))) }

func (e Encoder) Commit(_ guest.Guest, o guest.Object, n uint32, unconfirmed bool) {
	e.say(0x4e, frame{}.u32(uint32(o)).u32(n).flag(unconfirmed))
}

func (e Encoder) AwaitDurable(_ guest.Guest, o guest.Object, n uint32) {
	e.say(0x4f, frame{}.u32(uint32(o)).u32(n))
}

func (e Encoder) SetAlarm(_ guest.Guest, o guest.Object, at time.Time, committed bool) {
	e.say(0x50, frame{}.u32(uint32(o)).flag(!at.IsZero()).time(at).flag(committed))
}

func (e Encoder) AskPast(_ guest.Guest, o guest.Object, q uint32, what guest.PastQuestion, at time.Time, bookmark string) {
	e.say(0x6c, frame{}.u32(uint32(o)).u32(q).u8(uint8(what)).time(at).rest(bookmark))
}

func (e Encoder) FoundAlarm(_ guest.Guest, o guest.Object, at time.Time) {
	e.say(0x68, frame{}.u32(uint32(o)).time(at))
}

func (e Encoder) Log(_ guest.Guest, o guest.Object, level int, at time.Time, text []byte) {
	e.say(0x51, frame{}.u32(uint32(o)).u8(uint8(level)).time(at).rest(string(text)))
}

func (e Encoder) Aborted(_ guest.Guest, o guest.Object, err *dormouse.Error, a guest.Abort) {
	var flags uint8
	if a.DropSockets {
		flags |= 1
	}
	if a.NoAlarmRetry {
		flags |= 2
	}
	if a.RanAway {
		flags |= 4
	}
	e.say(0x52, frame{}.u32(uint32(o)).error(err).u8(flags))
}

func (e Encoder) Asleep(_ guest.Guest, o guest.Object) { e.say(0x53, frame{}.u32(uint32(o))) }
func (e Encoder) Awake(_ guest.Guest, o guest.Object)  { e.say(0x54, frame{}.u32(uint32(o))) }

func (e Encoder) Report(_ guest.Guest, query uint32, report []byte) {
	e.say(0x55, frame{}.u32(query).rest(string(report)))
}

func (e Encoder) Pause(_ guest.Guest, s dormouse.SocketID, paused bool) {
	e.say(0x86, frame{}.u64(uint64(s)).flag(paused))
}

func (e Encoder) SnapshotHeld(_ guest.Guest, o guest.Object)   { e.say(0x64, frame{}.u32(uint32(o))) }
func (e Encoder) DatabaseClosed(_ guest.Guest, o guest.Object) { e.say(0x66, frame{}.u32(uint32(o))) }

func (e Encoder) Checkpointed(_ guest.Guest, o guest.Object, frames int) {
	e.say(0x65, frame{}.u32(uint32(o)).u32(uint32(frames)))
}

func (e Encoder) Done(_ guest.Guest, x guest.Exchange) { e.say(0x56, frame{}.u32(uint32(x))) }

func (e Encoder) Ask(_ guest.Guest, x guest.Exchange, from guest.Object, to guest.Target, r *guest.Request) {
	f := frame{}.u32(uint32(x)).u32(uint32(from)).u8(uint8(to.Kind)).u16(uint16(to.Index))
	f = append(f, to.ID[:]...).flag(to.HasName).str(to.Name).flag(r.HasBody).str(r.Method).str(r.URL)
	e.say(0x57, f.headers(r.Header).str(r.CF).str(r.Entrypoint))
}

func (e Encoder) OpenSession(_ guest.Guest, x guest.Session, from guest.Object, to guest.Target, s *guest.Opening) {
	f := frame{}.u32(uint32(x)).u32(uint32(from)).u8(uint8(to.Kind)).u16(uint16(to.Index))
	f = append(f, to.ID[:]...).flag(to.HasName).str(to.Name).str(s.Entrypoint)
	e.say(0x70, f.str(string(s.Props)).rest(string(s.First)))
}

func (e Encoder) FromSessions(guest.Guest) guest.Sessions { return Sessions(e) }

// Sessions is the Encoder of the frames of sessions that both sides write.
type Sessions Encoder

func (s Sessions) say(t uint8, x guest.Session, f frame) {
	Encoder(s).say(t, append(frame{}.u32(uint32(x)), f...))
}

func (s Sessions) SessionMessage(x guest.Session, p []byte)  { s.say(0x72, x, p) }
func (s Sessions) SessionClose(x guest.Session, last []byte) { s.say(0x73, x, last) }
func (s Sessions) SessionCredit(x guest.Session, n uint32)   { s.say(0x74, x, frame{}.u32(n)) }
func (s Sessions) SessionFailure(x guest.Session, err *dormouse.Error) {
	s.say(0x75, x, frame{}.error(err))
}

// Peer is the Encoder of the frames that both sides write.
type Peer Encoder

func (p Peer) say(t uint8, f frame) { Encoder(p).say(t, f) }

func (p Peer) Response(x guest.Exchange, r *guest.Response) {
	var flags uint8
	if r.HasBody {
		flags |= 1
	}
	if r.Socket != 0 {
		flags |= 2
	}
	f := frame{}.u32(uint32(x)).u16(uint16(r.Status)).str(r.StatusText).u8(flags)
	p.say(0x20, f.headers(r.Header).u64(uint64(r.Socket)))
}

func (p Peer) Body(x guest.Exchange, b []byte) {
	p.say(0x21, frame{}.u32(uint32(x)).rest(string(b)))
}

func (p Peer) BodyEnd(x guest.Exchange) { p.say(0x22, frame{}.u32(uint32(x))) }

func (p Peer) BodyAbort(x guest.Exchange, reason string) {
	p.say(0x23, frame{}.u32(uint32(x)).rest(reason))
}

func (p Peer) Credit(x guest.Exchange, n uint32) { p.say(0x24, frame{}.u32(uint32(x)).u32(n)) }

func (p Peer) Cancel(x guest.Exchange, reason string) {
	p.say(0x25, frame{}.u32(uint32(x)).rest(reason))
}

func (p Peer) Failure(x guest.Exchange, err *dormouse.Error) {
	p.say(0x26, frame{}.u32(uint32(x)).error(err))
}
