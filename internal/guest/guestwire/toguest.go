package guestwire

import (
	"math"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Writer appends the host's frames to a buffer. Whoever owns it takes the
// bytes with Bytes and empties it with Reset or Consume.
type Writer struct{ buffer }

// Bytes is what was written and not consumed, borrowed until the next call.
func (w *Writer) Bytes() []byte { return w.b }

// Frames is how many were ever written.
func (w *Writer) Frames() uint64 { return w.frames }

// Reset empties the buffer and lets it go if it has grown past keep bytes.
func (w *Writer) Reset(keep int) {
	if cap(w.b) > keep {
		w.b = nil
		return
	}
	w.b = w.b[:0]
}

// Consume forgets the first n bytes.
func (w *Writer) Consume(n int) { w.b = w.b[:copy(w.b, w.b[n:])] }

func (w *Writer) Hello(incarnation uint32, config []byte) {
	w.begin(Hello)
	w.u32(Magic)
	w.u16(Version)
	w.u32(incarnation)
	w.rest(config)
	w.end()
}

// tableBytes is roughly how long a frame of the sockets' table may become: an
// attachment is at most a few of these, a frame 48 MiB.
const tableBytes = 256 << 10

// Start writes the activation with its table of sockets, in pieces.
func (w *Writer) Start(a *guest.Activation) {
	if a.Database != "" {
		w.begin(Database)
		w.u32(uint32(a.Object))
		w.text(a.Database)
		w.end()
	}
	w.begin(Start)
	w.u32(uint32(a.Object))
	w.u16(uint16(a.Class))
	w.id(&a.ID)
	w.bool(a.HasName)
	w.str(a.Name)
	w.pair(a.Pair)
	w.ms(a.EventTimeout)
	w.u32(uint32(len(a.Sockets)))
	w.end()
	for rows := a.Sockets; len(rows) > 0; {
		rows = w.sockets(a.Object, rows)
	}
}

// sockets writes a frame of the table and returns the rows that did not fit.
func (w *Writer) sockets(o guest.Object, rows []guest.Socket) []guest.Socket {
	w.begin(Sockets)
	w.u32(uint32(o))
	count := len(w.b)
	w.u16(0)
	n := 0
	for n < len(rows) && n < 1<<15 && len(w.b)-w.start < tableBytes {
		w.row(&rows[n])
		n++
	}
	w.b[count], w.b[count+1] = byte(n), byte(n>>8)
	w.end()
	return rows[n:]
}

func (w *Writer) row(s *guest.Socket) {
	var f uint8
	if s.WeClosed {
		f |= 1
	}
	if s.PeerClosed {
		f |= 2
	}
	w.socket(s.ID)
	w.u8(f)
	w.time(s.Stamp)
	w.u8(uint8(len(s.Tags)))
	for _, tag := range s.Tags {
		w.str(tag)
	}
	w.str(s.Protocol)
	w.str(s.Extensions)
	w.bool(s.Attachment != nil)
	w.bytes(s.Attachment)
}

func (w *Writer) pair(p *guest.Pair) {
	w.bool(p != nil)
	if p == nil {
		p = &guest.Pair{}
	}
	w.str(p.Request)
	w.str(p.Response)
}

func (w *Writer) Message(s dormouse.SocketID, text bool, payload []byte) {
	w.begin(Message)
	w.socket(s)
	w.op(text)
	w.rest(payload)
	w.end()
}

func (w *Writer) Closed(s dormouse.SocketID, c guest.Closing) {
	var f uint8
	if c.Clean {
		f |= 1
	}
	if c.Ended {
		f |= 2
	}
	w.begin(Closed)
	w.socket(s)
	w.u16(c.Code)
	w.u8(f)
	w.text(c.Reason)
	w.end()
}

func (w *Writer) Errored(s dormouse.SocketID, message string) {
	w.begin(Errored)
	w.socket(s)
	w.text(message)
	w.end()
}

// Props writes those of the entrypoint that the request in the next frame is for.
func (w *Writer) Props(p []byte) {
	w.begin(Props)
	w.rest(p)
	w.end()
}

func (w *Writer) Request(x guest.Exchange, o guest.Object, r *guest.Request) {
	if len(r.Props) > 0 {
		w.Props(r.Props)
	}
	w.begin(Request)
	w.u32(uint32(x))
	w.u32(uint32(o))
	w.request(r)
	w.end()
}

func (w *buffer) request(r *guest.Request) {
	var f uint8
	if r.HasBody {
		f |= flagBody
	}
	w.u8(f)
	w.str(r.Method)
	w.str(r.URL)
	w.header(r.Header)
	w.str(r.CF)
	w.str(r.Entrypoint)
}

func (w *Writer) Alarm(x guest.Exchange, o guest.Object, scheduled time.Time, retry int) {
	w.begin(Alarm)
	w.u32(uint32(x))
	w.u32(uint32(o))
	w.time(scheduled)
	w.u8(uint8(min(retry, math.MaxUint8)))
	w.end()
}

func (w *Writer) Hibernate(o guest.Object, delivered uint32, m guest.Mode) {
	w.begin(Hibernate)
	w.u32(uint32(o))
	w.u32(delivered)
	w.u8(uint8(m))
	w.end()
}

func (w *Writer) ResetObject(o guest.Object, e *dormouse.Error) {
	w.begin(Reset)
	w.u32(uint32(o))
	w.error(e)
	w.end()
}

func (w *Writer) Durable(o guest.Object, commit uint32) {
	w.begin(Durable)
	w.u32(uint32(o))
	w.u32(commit)
	w.end()
}

func (w *Writer) Why(query uint32, o guest.Object) {
	w.begin(Why)
	w.u32(query)
	w.u32(uint32(o))
	w.end()
}

func (w *Writer) Stamps(stamps []guest.Stamp) {
	w.begin(Stamps)
	w.u32(uint32(len(stamps)))
	for _, s := range stamps {
		w.socket(s.Socket)
		w.time(s.At)
	}
	w.end()
}

func (w *Writer) Buffered(s dormouse.SocketID, bytes int) {
	w.begin(Buffered)
	w.socket(s)
	w.u32(uint32(bytes))
	w.end()
}

// Clock tells how far the guest's wall clock is to be ahead of the machine's.
func (w *Writer) Clock(ahead time.Duration) {
	w.begin(Clock)
	w.f64(float64(ahead.Milliseconds()))
	w.end()
}

func (w *Writer) Shutdown(deadline time.Duration) {
	w.begin(Shutdown)
	w.ms(deadline)
	w.end()
}

// The frames that both sides write.

func (w *buffer) Response(x guest.Exchange, r *guest.Response) {
	var f uint8
	if r.HasBody {
		f |= flagBody
	}
	if r.Socket != 0 {
		f |= flagSocket
	}
	w.begin(Response)
	w.u32(uint32(x))
	w.u16(uint16(r.Status))
	w.str(r.StatusText)
	w.u8(f)
	w.header(r.Header)
	w.socket(r.Socket)
	w.end()
}

// Body writes p in pieces that the protocol allows.
func (w *buffer) Body(x guest.Exchange, p []byte) {
	for len(p) > 0 {
		n := min(len(p), guest.MaxChunk)
		w.begin(Body)
		w.u32(uint32(x))
		w.rest(p[:n])
		w.end()
		p = p[n:]
	}
}

func (w *buffer) BodyEnd(x guest.Exchange) { w.exchange(BodyEnd, x, "") }

func (w *buffer) BodyAbort(x guest.Exchange, reason string) { w.exchange(BodyAbort, x, reason) }

func (w *buffer) Cancel(x guest.Exchange, reason string) { w.exchange(Cancel, x, reason) }

func (w *buffer) exchange(t Type, x guest.Exchange, reason string) {
	w.begin(t)
	w.u32(uint32(x))
	w.text(reason)
	w.end()
}

func (w *buffer) Credit(x guest.Exchange, n uint32) {
	w.begin(Credit)
	w.u32(uint32(x))
	w.u32(n)
	w.end()
}

func (w *buffer) Failure(x guest.Exchange, e *dormouse.Error) {
	w.begin(Failure)
	w.u32(uint32(x))
	w.error(e)
	w.end()
}

// Checkpoint writes the next step of a checkpoint.
func (w *Writer) Checkpoint(o guest.Object, s guest.CheckpointStep) {
	w.begin(Checkpoint)
	w.u32(uint32(o))
	w.u8(uint8(s))
	w.end()
}

// Past writes the answer to AskPast.
func (w *Writer) Past(o guest.Object, question uint32, ok bool, text string) {
	w.begin(Past)
	w.u32(uint32(o))
	w.u32(question)
	w.bool(ok)
	w.text(text)
	w.end()
}

// CloseDatabase writes that a database is not to be kept open.
func (w *Writer) CloseDatabase(o guest.Object) {
	w.begin(CloseDatabase)
	w.u32(uint32(o))
	w.end()
}
