package guestwire

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Dispatch reads one frame of a guest and says it to the host. An error means
// that the guest does not keep the protocol and must be ended. Ready and Unfit
// are not for it: they belong to the handshake (ReadReady).
func Dispatch(g guest.Guest, h guest.Host, t Type, body []byte) error {
	r := &reader{b: body}
	var say func()
	switch t {
	case Send: // the hot ones say it themselves
		s, text, p := r.socket(), r.op(), r.rest()
		if r.err != nil {
			return frameError(t, r.err)
		}
		h.Send(g, s, text, p)
		return nil
	case Progress:
		o, p := r.object(), guest.Progress{Started: r.u32(), Finished: r.u32(), Tasks: r.u32()}
		if err := r.done(); err != nil {
			return frameError(t, err)
		}
		h.Progress(g, o, p)
		return nil
	case Broadcast:
		list, text, p := r.sockets(), r.op(), r.rest()
		say = func() { h.Broadcast(g, list, text, p) }
	case Started:
		o, took := r.object(), r.took()
		say = func() { h.Started(g, o, took) }
	case StartFailed:
		o, e := r.object(), r.error()
		say = func() { h.StartFailed(g, o, e) }
	case Close:
		s, code, reason := r.socket(), r.u16(), string(r.rest())
		say = func() { h.Close(g, s, code, reason) }
	case Accept:
		o, s, tags := r.object(), r.socket(), r.tags()
		say = func() { h.Accept(g, o, s, tags) }
	case Attachment:
		s, has, p := r.socket(), r.bool(), []byte(nil)
		if has {
			p = r.rest()
		}
		say = func() { h.Attachment(g, s, p) }
	case AutoResponse:
		o, p := r.object(), r.pair()
		say = func() { h.AutoResponse(g, o, p) }
	case EventTimeout:
		o, d := r.object(), r.ms()
		say = func() { h.EventTimeout(g, o, d) }
	case Open:
		s, o := r.socket(), r.object()
		say = func() { h.Open(g, s, o) }
	case Release:
		s := r.socket()
		say = func() { h.Release(g, s) }
	case Pause:
		s, paused := r.socket(), r.bool()
		say = func() { h.Pause(g, s, paused) }
	case Commit:
		o, n, f := r.object(), r.u32(), r.flags(flagUnconfirmed)
		say = func() { h.Commit(g, o, n, f != 0) }
	case AwaitDurable:
		o, n := r.object(), r.u32()
		say = func() { h.AwaitDurable(g, o, n) }
	case SetAlarm:
		o, has, at := r.object(), r.bool(), time.Time{}
		if has {
			at = r.due()
		} else {
			r.f64()
		}
		committed := r.bool()
		say = func() { h.SetAlarm(g, o, at, committed) }
	case AskPast:
		o, q, what, at := r.object(), r.u32(), guest.PastQuestion(r.below(uint8(guest.RestoreNext)+1)), time.Time{}
		if what == guest.BookmarkOfTime {
			at = r.due()
		} else {
			r.f64()
		}
		bookmark := string(r.rest())
		say = func() { h.AskPast(g, o, q, what, at, bookmark) }
	case FoundAlarm:
		o, at := r.object(), r.due()
		say = func() { h.FoundAlarm(g, o, at) }
	case Log:
		o, level, at, text := r.object(), int(r.below(logLevels)), r.time(), r.rest()
		say = func() { h.Log(g, o, level, at, text) }
	case Aborted:
		o, e, f := r.object(), r.error(), r.flags(flagDropSockets|flagNoRetry|flagRanAway)
		say = func() {
			h.Aborted(g, o, e, guest.Abort{DropSockets: f&flagDropSockets != 0, NoAlarmRetry: f&flagNoRetry != 0, RanAway: f&flagRanAway != 0})
		}
	case Asleep:
		o := r.object()
		say = func() { h.Asleep(g, o) }
	case Awake:
		o := r.object()
		say = func() { h.Awake(g, o) }
	case Report:
		q, p := r.u32(), r.rest()
		say = func() { h.Report(g, q, p) }
	case Done:
		x := r.exchange()
		say = func() { h.Done(g, x) }
	case Ask:
		x, from := r.exchange(), r.object()
		to := guest.Target{Kind: guest.TargetKind(r.below(uint8(guest.ToR2) + 1)), Index: int(r.u16()), ID: r.id(), HasName: r.bool(), Name: r.str()}
		if to.Kind == guest.ToSelf {
			r.fail(fmt.Errorf("a request to the guest itself"))
		}
		req := r.request()
		say = func() { h.Ask(g, x, from, to, req) }
	case OpenSession:
		x, from := r.session(), r.object()
		to := guest.Target{Kind: guest.TargetKind(r.below(uint8(guest.ToSelf) + 1)), Index: int(r.u16()), ID: r.id(), HasName: r.bool(), Name: r.str()}
		s := r.opening()
		say = func() { h.OpenSession(g, x, from, to, s) }
	case SnapshotHeld:
		o := r.object()
		say = func() { h.SnapshotHeld(g, o) }
	case Checkpointed:
		o, frames := r.object(), int(r.u32())
		say = func() { h.Checkpointed(g, o, frames) }
	case DatabaseClosed:
		o := r.object()
		say = func() { h.DatabaseClosed(g, o) }
	default:
		if t >= SessionMessage && t <= SessionFailure {
			return readSession(h.FromSessions(g), t, r)
		}
		if t < Response || t > Failure {
			return frameError(t, fmt.Errorf("unknown type"))
		}
		return readPeer(h.FromPeer(g), t, r)
	}
	if err := r.done(); err != nil {
		return frameError(t, err)
	}
	say()
	return nil
}

// readPeer reads a frame that both sides send.
func readPeer(p guest.Peer, t Type, r *reader) error {
	x := r.exchange()
	var say func()
	switch t {
	case Body:
		b := r.rest()
		if len(b) > guest.MaxChunk {
			r.fail(fmt.Errorf("%d bytes of a body at once; the limit is %d", len(b), guest.MaxChunk))
		}
		say = func() { p.Body(x, b) }
	case Response:
		resp := r.response()
		say = func() { p.Response(x, resp) }
	case BodyEnd:
		say = func() { p.BodyEnd(x) }
	case BodyAbort:
		s := string(r.rest())
		say = func() { p.BodyAbort(x, s) }
	case Credit:
		n := r.u32()
		say = func() { p.Credit(x, n) }
	case Cancel:
		s := string(r.rest())
		say = func() { p.Cancel(x, s) }
	case Failure:
		e := r.error()
		say = func() { p.Failure(x, e) }
	}
	if err := r.done(); err != nil {
		return frameError(t, err)
	}
	say()
	return nil
}

func (r *reader) pair() *guest.Pair {
	has, p := r.bool(), guest.Pair{Request: r.str(), Response: r.str()}
	if !has {
		return nil
	}
	return &p
}

// Flags of bodies of several frames, of commit, and of aborted.
const (
	flagBody, flagSocket                      = 1, 2
	flagUnconfirmed                           = 1
	flagDropSockets, flagNoRetry, flagRanAway = 1, 2, 4
)

// logLevels is how many levels a log line may have.
const logLevels = 4

func (r *reader) request() *guest.Request {
	f := r.flags(flagBody)
	return &guest.Request{
		HasBody: f&flagBody != 0, Method: r.str(), URL: r.str(),
		Header: r.header(), CF: r.str(), Entrypoint: r.str(),
	}
}

func (r *reader) response() *guest.Response {
	resp := &guest.Response{Status: int(r.u16()), StatusText: r.str()}
	f := r.flags(flagBody | flagSocket)
	resp.HasBody, resp.Header, resp.Socket = f&flagBody != 0, r.header(), r.socket()
	if (f&flagSocket != 0) != (resp.Socket != 0) {
		r.fail(fmt.Errorf("socket %d with flags %#x", resp.Socket, f))
	}
	return resp
}

// ReadReady reads the first frame of a guest: what it says of itself, or the
// reason why it cannot work, which is then an error of the author's code.
func ReadReady(t Type, body []byte) (*guest.Ready, error) {
	r := &reader{b: body}
	switch t {
	case Ready:
		if v := r.u16(); r.err == nil && v != Version {
			return nil, fmt.Errorf("guest speaks version %d of the guest protocol, this Dormouse version %d", v, Version)
		}
		rest := r.rest()
		if r.err != nil {
			return nil, frameError(t, r.err)
		}
		ready := new(guest.Ready)
		if err := json.Unmarshal(rest, ready); err != nil {
			return nil, frameError(t, err)
		}
		return ready, nil
	case Unfit:
		e := r.error()
		if err := r.done(); err != nil {
			return nil, frameError(t, err)
		}
		return nil, e
	}
	return nil, frameError(t, fmt.Errorf("a guest must say ready first"))
}

func frameError(t Type, err error) error {
	return fmt.Errorf("guest frame 0x%02x: %w", uint8(t), err)
}
