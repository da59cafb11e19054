package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// Fetch asks the Worker as a client within this process. The answer's body is to
// be closed. What the Worker fails with is a *dormouse.Error.
func (f *Front) Fetch(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	req := f.inner(r)
	x := newExchange(f.Release)
	asker := f.Worker.FetchWorker(req, x)
	if req.HasBody {
		go func() {
			defer r.Body.Close()
			x.pump(ctx, r.Body, asker)
		}()
	} else if r.Body != nil {
		r.Body.Close()
	}
	a, err := x.head(ctx)
	switch {
	case err != nil:
		x.leave()
		asker.Cancel("the caller has gone")
		err = context.Cause(ctx)
	case a.failure != nil:
		err = a.failure
	case a.Socket != 0:
		f.Release(a.Socket)
		err = errors.New("the answer is a WebSocket: pass the client's request on with ServeHTTP")
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return f.response(r, x, a, ctx, cancel, asker), nil
}

// response is an answer as a client within this process gets it. cancel is called
// when it is over.
func (f *Front) response(r *http.Request, x *exchange, a answered, ctx context.Context, cancel context.CancelFunc, asker host.Asker) *http.Response {
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", a.Status, cmp.Or(a.StatusText, http.StatusText(a.Status))), StatusCode: a.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, Request: r,
	}
	setHeader(resp.Header, a.Header)
	if !a.HasBody {
		cancel()
		return resp
	}
	resp.ContentLength = -1
	if n, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = n
	}
	resp.Body = &answerBody{x: x, ctx: ctx, cancel: cancel, asker: asker}
	return resp
}

// inner turns a request of a client within this process into one for the
// Worker.
func (f *Front) inner(r *http.Request) *guest.Request {
	hostName := cmp.Or(r.Host, r.URL.Host, "localhost")
	head := []guest.Header{{Name: "host", Value: guest.Latin1(hostName)}}
	for name, values := range r.Header {
		for _, v := range values {
			head = append(head, guest.Header{Name: name, Value: guest.Latin1(v)})
		}
	}
	hasBody := r.Body != nil && r.Body != http.NoBody
	if hasBody && r.ContentLength > 0 && r.Header.Get("Content-Length") == "" {
		head = append(head, guest.Header{Name: "Content-Length", Value: strconv.FormatInt(r.ContentLength, 10)})
	}
	return &guest.Request{
		Method: cmp.Or(r.Method, http.MethodGet), URL: cmp.Or(r.URL.Scheme, "http") + "://" + hostName + escaped(r.URL.RequestURI()),
		Header: head, HasBody: hasBody, CF: "{}",
	}
}

// answerBody is the body of an answer, read by one goroutine at a time.
type answerBody struct {
	x      *exchange
	ctx    context.Context // ends when the body is closed
	cancel context.CancelFunc
	asker  host.Asker

	left  [][]byte
	ended error // io.EOF or why it broke off, once nothing is left
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	for len(b.left) == 0 && b.ended == nil {
		chunks, more, whole := b.x.take(b.ctx, func() error { return nil })
		b.left = chunks
		n := 0
		for _, c := range chunks {
			n += len(c)
		}
		switch {
		case !whole && b.ctx.Err() != nil:
			b.ended = context.Cause(b.ctx)
		case !whole:
			b.ended = io.ErrUnexpectedEOF
		case !more:
			b.ended = io.EOF
		default:
			b.asker.Credit(uint32(n))
		}
	}
	if len(b.left) == 0 {
		return 0, b.ended
	}
	n := copy(p, b.left[0])
	if b.left[0] = b.left[0][n:]; len(b.left[0]) == 0 {
		b.left = b.left[1:]
	}
	return n, nil
}

// Close implements io.Closer.
func (b *answerBody) Close() error {
	if b.ended == nil {
		b.asker.Cancel("the answer is not wanted any more")
	}
	b.cancel()
	return nil
}
