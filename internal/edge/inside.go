package edge

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// Inside lets guests ask an http.Handler, as if it were another Worker.
type Inside struct{ Handler http.Handler }

// Ask begins an exchange with the handler, on a goroutine of its own.
func (i Inside) Ask(r *guest.Request, a host.Answer) host.Asker {
	u, err := url.Parse(r.URL)
	if err != nil {
		a.Failure(&dormouse.Error{Name: "TypeError", Message: "Invalid URL: " + r.URL})
		return over{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	q := &question{answer: a, cancel: cancel, credit: guest.Credit, more: make(chan struct{}, 1)}
	in := (&http.Request{
		Method: r.Method, URL: u, Host: u.Host, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RequestURI: u.RequestURI(),
	}).WithContext(ctx)
	setHeader(in.Header, r.Header)
	if r.HasBody {
		q.body = newInsideBody(ctx, a)
		in.Body, in.ContentLength = q.body, -1
		if n, err := strconv.ParseInt(in.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
			in.ContentLength = n
		}
	}
	go func() {
		defer cancel()
		defer in.Body.Close()
		w := &answerWriter{q: q, ctx: ctx, header: http.Header{}, head: in.Method == http.MethodHead}
		i.Handler.ServeHTTP(w, in)
		w.end()
	}()
	return q
}

// question is the asker's side.
type question struct {
	answer host.Answer
	cancel context.CancelFunc
	body   *insideBody // nil: the request has none

	mu     sync.Mutex // guards the following
	credit uint32

	more chan struct{} // holds one: credit has grown
}

func (q *question) Body(p []byte)    { q.body.add(p) }
func (q *question) BodyEnd()         { q.body.end(io.EOF) }
func (q *question) BodyAbort(string) { q.body.end(errBroken) }
func (q *question) Cancel(string)    { q.cancel() }

func (q *question) Credit(n uint32) {
	q.mu.Lock()
	q.credit += n
	q.mu.Unlock()
	signal(q.more)
}

// take waits until n bytes, or some of them, may be said.
func (q *question) take(ctx context.Context, n int) (int, error) {
	for {
		q.mu.Lock()
		if q.credit > 0 {
			n = min(n, int(q.credit), guest.MaxChunk)
			q.credit -= uint32(n)
			q.mu.Unlock()
			return n, nil
		}
		q.mu.Unlock()
		select {
		case <-q.more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// over is an exchange that has ended.
type over struct{}

func (over) Body([]byte)      {}
func (over) BodyEnd()         {}
func (over) BodyAbort(string) {}
func (over) Credit(uint32)    {}
func (over) Cancel(string)    {}

// answerWriter is the http.ResponseWriter that speaks to an Answer.
type answerWriter struct {
	q      *question
	ctx    context.Context // ends with the exchange
	header http.Header
	head   bool // the request was HEAD
	said   bool
	body   bool
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(status int) {
	if w.said || w.ctx.Err() != nil {
		return
	}
	w.said = true
	w.body = !w.head && status != http.StatusNoContent && status != http.StatusNotModified
	r := &guest.Response{Status: status, HasBody: w.body}
	for name, values := range w.header {
		for _, v := range values {
			r.Header = append(r.Header, guest.Header{Name: strings.ToLower(name), Value: guest.Latin1(v)})
		}
	}
	w.q.answer.Response(r)
}

func (w *answerWriter) Write(p []byte) (written int, err error) {
	w.WriteHeader(http.StatusOK)
	if !w.body {
		return len(p), nil
	}
	for len(p) > 0 {
		n, err := w.q.take(w.ctx, len(p))
		if err != nil {
			return written, err
		}
		w.q.answer.Body(p[:n])
		p = p[n:]
		written += n
	}
	return written, nil
}

// end says that the handler has returned.
func (w *answerWriter) end() {
	w.WriteHeader(http.StatusOK)
	if w.body && w.ctx.Err() == nil {
		w.q.answer.BodyEnd()
	}
}
