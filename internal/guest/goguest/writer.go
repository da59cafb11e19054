package goguest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Bounds of an answer. A short one leaves whole, with its length.
const (
	answerBuffer = 4 << 10
	// maxAnswer is how much of an answer may wait for a slow client before
	// Write waits for it, too.
	maxAnswer = 16 << 20
)

// writer is the http.ResponseWriter of a request. Like any, it is used by one
// goroutine at a time.
type writer struct {
	f      *fetch
	header http.Header // the handler's
	method string

	status  int         // as WriteHeader has said; 0: not yet
	head    http.Header // as it was then
	buf     []byte      // of the body, not said yet
	sent    bool        // the head has been said
	length  int64       // of the body so far
	far     dormouse.SocketID
	refused error // why nothing more can be written
}

var (
	_ http.Flusher = (*writer)(nil)

	errUpgraded = errors.New("the request was answered with a WebSocket")
)

// begun says whether the answer cannot become another any more.
func (w *writer) begun() bool { return w.status != 0 || w.far != 0 }

// upgrade answers with a socket when the handler has returned.
func (w *writer) upgrade(far dormouse.SocketID, h http.Header) {
	w.far, w.status, w.head, w.refused = far, http.StatusSwitchingProtocols, h.Clone(), errUpgraded
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Informational answers are left
// out, and only the first other one counts.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 && (status < 100 || status > 199) {
		w.status, w.head = status, w.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.refused != nil {
		return 0, w.refused
	}
	if !w.mayHaveBody() {
		if w.method == http.MethodHead {
			w.length += int64(len(p))
			return len(p), nil
		}
		return 0, http.ErrBodyNotAllowed
	}
	w.length += int64(len(p))
	all := len(p)
	for len(w.buf)+len(p) > answerBuffer {
		n := min(len(p), guest.MaxChunk-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
		if err := w.sayBody(); err != nil {
			w.refused = err
			return all - len(p), err
		}
	}
	w.buf = append(w.buf, p...)
	return all, nil
}

func (w *writer) mayHaveBody() bool {
	return w.method != http.MethodHead && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// FlushError has what was written leave, once what the handler has stored so far
// is durable.
func (w *writer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	if w.refused != nil {
		return w.refused
	}
	w.sayHead(w.mayHaveBody())
	if err := w.sayBody(); err != nil {
		return err
	}
	w.push()
	return nil
}

// Flush implements http.Flusher.
func (w *writer) Flush() { w.FlushError() }

// push ends the turn of the handler, so that what it has said leaves.
func (w *writer) push() {
	i, e := w.f.i, w.f.event
	if e.has() {
		i.endTurn(e)
	}
	i.mu.Lock()
	i.handOverLocked()
	i.mu.Unlock()
	e.waits()
}

// SetReadDeadline lets http.ResponseController end a read of the request's body
// that waits; other times are not known here.
func (w *writer) SetReadDeadline(at time.Time) error {
	if b := w.f.body; b != nil && !at.After(time.Now()) {
		b.close(context.DeadlineExceeded)
	}
	return nil
}

// sayHead says the head of the answer.
func (w *writer) sayHead(hasBody bool) {
	if w.sent {
		return
	}
	w.sent = true
	r := &guest.Response{Status: w.status, HasBody: hasBody, Socket: w.far}
	if _, has := w.head["Content-Type"]; !has && len(w.buf) > 0 && w.head.Get("Content-Encoding") == "" {
		w.head.Set("Content-Type", http.DetectContentType(w.buf))
	}
	for name, values := range w.head {
		for _, v := range values {
			r.Header = append(r.Header, guest.Header{Name: name, Value: guest.Latin1(v)})
		}
	}
	f := w.f
	w.say(func() { f.out.begin(r) })
}

// sayBody says what is in the buffer, and waits if the client is too far behind.
func (w *writer) sayBody() error {
	if len(w.buf) == 0 {
		return nil
	}
	w.sayHead(true)
	out, chunk := w.f.out, w.buf
	w.buf = nil
	for ahead := out.add(len(chunk)); ahead != nil; ahead = out.ahead() {
		w.push()
		select {
		case <-ahead:
		case <-w.f.event.Done():
			return w.f.event.cause()
		}
	}
	w.say(func() { out.write(chunk) })
	return nil
}

// finish ends the answer: the handler has returned.
func (w *writer) finish() {
	w.WriteHeader(http.StatusOK)
	f := w.f
	if w.sent {
		w.sayBody()
		w.say(func() { f.out.end() })
		return
	}
	whole := len(w.buf) > 0
	if _, has := w.head["Content-Length"]; !has && w.far == 0 && (w.mayHaveBody() || w.method == http.MethodHead && w.length > 0) {
		w.head.Set("Content-Length", strconv.FormatInt(w.length, 10))
	}
	w.sayHead(whole)
	if whole {
		w.sayBody()
		w.say(func() { f.out.end() })
	}
}

func (w *writer) say(f func()) {
	i := w.f.i
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead == nil {
		i.outLocked().later(f)
		i.saidLocked()
	}
}

// response is an answer as the loop sends it: as fast as its receiver takes it.
type response struct {
	f *fetch

	// Owned by the loop.
	credit int
	queue  [][]byte
	begun  bool
	ended  bool
	over   bool // nothing more is said
	kept   bool // it keeps its object in memory

	mu      sync.Mutex // guards the following
	pending int        // bytes that were written and not sent
	less    chan struct{}
}

// add counts bytes before they are said. If there are too many it returns what
// is closed when there are fewer.
func (r *response) add(n int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending += n
	return r.aheadLocked()
}

func (r *response) ahead() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aheadLocked()
}

func (r *response) aheadLocked() <-chan struct{} {
	if r.pending <= maxAnswer {
		return nil
	}
	if r.less == nil {
		r.less = make(chan struct{})
	}
	return r.less
}

func (r *response) took(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending -= n
	if r.less != nil && r.pending <= maxAnswer {
		close(r.less)
		r.less = nil
	}
}

func (r *response) peer() guest.Peer { return r.f.g.host.FromPeer(r.f.g) }

// begin sends the head.
func (r *response) begin(head *guest.Response) {
	if r.over {
		if head.Socket != 0 {
			r.f.g.host.Release(r.f.g, head.Socket)
		}
		return
	}
	r.begun = true
	r.peer().Response(r.f.x, head)
	if !head.HasBody {
		r.done()
	}
}

// write sends bytes, owned.
func (r *response) write(p []byte) {
	if r.over {
		r.took(len(p))
		return
	}
	r.queue = append(r.queue, p)
	r.pump()
}

func (r *response) end() {
	r.ended = true
	r.pump()
	if !r.over {
		r.kept = true
		r.f.i.keepAwake(1)
	}
}

// grant lets more of the body go.
func (r *response) grant(n int) {
	r.credit += n
	r.pump()
}

func (r *response) pump() {
	for len(r.queue) > 0 && r.credit > 0 && !r.over {
		p := r.queue[0]
		n := min(len(p), r.credit, guest.MaxChunk)
		if n == len(p) {
			r.queue[0] = nil
			r.queue = r.queue[1:]
		} else {
			r.queue[0] = p[n:]
		}
		r.credit -= n
		r.took(n)
		r.peer().Body(r.f.x, p[:n])
	}
	if r.ended && len(r.queue) == 0 && !r.over {
		r.peer().BodyEnd(r.f.x)
		r.done()
	}
}

// fail answers with an error, or breaks off.
func (r *response) fail(e *dormouse.Error) {
	switch {
	case r.over:
		return
	case r.begun:
		r.peer().BodyAbort(r.f.x, e.Message)
	default:
		r.peer().Failure(r.f.x, e)
	}
	r.done()
}

// done forgets the exchange's answer.
func (r *response) done() {
	if r.over {
		return
	}
	r.over = true
	for _, p := range r.queue {
		r.took(len(p))
	}
	r.queue = nil
	if r.kept {
		r.f.i.keepAwake(-1)
	}
	delete(r.f.g.calls, r.f.x)
	delete(r.f.i.calls, r.f)
}
