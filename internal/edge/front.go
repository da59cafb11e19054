// Package edge is where HTTP comes in: it turns a client's request into one for
// the Worker, carries both bodies, and hands the connection over when the
// answer is a socket. What clients send is HTTP here and nowhere further in; an
// object or a guest it never sees.
package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Worker answers requests. May be called on any goroutine.
type Worker interface {
	FetchWorker(r *guest.Request, a host.Answer) host.Asker
}

// Assets are files that are served beside the Worker.
type Assets interface {
	http.Handler
	// First says whether a request goes to the assets and not to the Worker.
	First(*http.Request) bool
}

// Front is the http.Handler of a Worker.
type Front struct {
	Worker Worker
	// Attach gives a socket that the Worker has answered with to the client
	// behind c; rest is what was read from c already. After an error c is still
	// the caller's.
	Attach func(s dormouse.SocketID, c net.Conn, rest []byte, o ws.Options) error
	// AttachSoon is Attach that may be called on a loop, and reports to done, on
	// one; nil where Steps is not used.
	AttachSoon func(s dormouse.SocketID, c net.Conn, rest []byte, o ws.Options, done func(error))
	// Release tells that nobody will take the socket.
	Release func(dormouse.SocketID)
	Log     *slog.Logger
	// Compress negotiates permessage-deflate.
	Compress bool
	// Details shows the author's errors to the client.
	Details bool
	// MaxBody bounds the body of a request; 0 does not.
	MaxBody int64
	// Assets answers before the Worker where it can; nil if there are none.
	Assets Assets
	// TrustedProxies may say in X-Forwarded-For and X-Forwarded-Proto who the
	// client is.
	TrustedProxies []netip.Prefix

	Counts *Counts // of requests; nil: nobody counts
	// Clients bounds what one address may do; nil does not.
	Clients *Clients
	// Full says that there is no room for another WebSocket on this connection;
	// nil: there always is.
	Full func(context.Context) bool
	// Tracer writes a span of each request; nil: nobody does.
	Tracer trace.Tracer
}

// ServeHTTP carries one request to the Worker and its answer back.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.Assets != nil && f.Assets.First(r) {
		f.Counts.count(countAssets)
		f.Assets.ServeHTTP(w, r)
		return
	}
	if status := f.refuses(r); status != 0 {
		switch status {
		case http.StatusServiceUnavailable:
			f.Counts.count(countFull)
			w.Header().Set("Retry-After", "5")
			w.Header().Set("Connection", "close")
		default:
			f.Counts.count(countRefused)
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	var lease *Lease
	if f.Clients != nil && asksForSocket(r) {
		if lease = f.Clients.Enter(f.client(r).address); lease == nil {
			f.Counts.count(countTooMany)
			w.Header().Set("Retry-After", "1")
			http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
			return
		}
		defer func() { lease.Done() }() // unless a socket has it
	}
	req := f.request(r)
	span := f.begin(r, req)
	defer span.end()
	if f.MaxBody > 0 {
		// Without w: a body is read while the answer is written.
		r.Body = http.MaxBytesReader(nil, r.Body, f.MaxBody)
	}
	x := newExchange(f.Release)
	asker := f.Worker.FetchWorker(req, x)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	control := http.NewResponseController(w)
	pumped := make(chan struct{})
	if req.HasBody {
		// Otherwise an answer waits for the body of its request.
		control.EnableFullDuplex()
		go func() {
			defer close(pumped)
			x.pump(ctx, r.Body, asker)
		}()
	} else {
		x.whole.Store(true)
		close(pumped)
	}
	resp, err := x.head(ctx)
	switch {
	case err == errTooLarge:
		f.Counts.count(countRefused)
		x.leave()
		asker.Cancel(err.Error())
		w.Header().Set("Connection", "close")
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case err != nil:
		f.Counts.count(countLeft)
		span.left()
		x.leave()
		asker.Cancel("the client left")
		defer panic(http.ErrAbortHandler) // should it be there after all, nothing is better than an empty answer
	case resp.failure != nil:
		f.Counts.count(countFailed)
		span.failed(resp.failure)
		f.fail(w, resp.failure)
	case resp.Socket != 0:
		f.Counts.count(countUpgraded)
		span.answered(http.StatusSwitchingProtocols)
		if f.upgrade(w, r, resp.Response, lease) {
			lease = nil
		}
	default:
		f.Counts.count(countAnswered)
		span.answered(resp.Status)
		if !x.copyTo(ctx, w, r.Method, resp.Response, asker) {
			defer panic(http.ErrAbortHandler) // the client must see that it is cut short
		}
	}
	cancel() // the rest of the request's body is not wanted
	rest := !x.whole.Load()
	if rest { // it may never come: this ends every wait for it
		control.SetReadDeadline(time.Unix(1, 0))
	}
	<-pumped
	if rest {
		endAfter(w)
	}
}

// endAfter has the connection end with this answer, and the client told so if the
// answer's head has not left: net/http, in full duplex, would take what still
// comes of this request's body for the next request. This is what it does when a
// body is too large; there is no plainer way. With HTTP/2 it does nothing, and
// need not.
func endAfter(w http.ResponseWriter) {
	http.MaxBytesReader(w, io.NopCloser(strings.NewReader("more")), 0).Read(make([]byte, 1))
}

// maxHeaderLines bounds the lines of a request's head. There may be many in few
// bytes, and each costs more further on.
const maxHeaderLines = 4096

// refuses says with which status a request is refused before the Worker hears
// of it; 0 that it is not.
func (f *Front) refuses(r *http.Request) int {
	lines := 0
	for _, values := range r.Header {
		lines += len(values)
	}
	switch {
	case lines > maxHeaderLines:
		return http.StatusRequestHeaderFieldsTooLarge
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace, r.Method == "TRACK":
		return http.StatusMethodNotAllowed // no Request can have them
	case !methods[r.Method]:
		return http.StatusNotImplemented
	case f.MaxBody > 0 && r.ContentLength > f.MaxBody:
		return http.StatusRequestEntityTooLarge
	case asksForSocket(r) && f.Full != nil && f.Full(r.Context()):
		return http.StatusServiceUnavailable
	}
	return 0
}

func asksForSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// escaped writes what is no ASCII as a URL must have it.
func escaped(uri string) string {
	clean := true
	for i := 0; i < len(uri); i++ {
		clean = clean && uri[i] < 0x80
	}
	if clean {
		return uri
	}
	var b strings.Builder
	for i := 0; i < len(uri); i++ {
		if uri[i] < 0x80 {
			b.WriteByte(uri[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", uri[i])
		}
	}
	return b.String()
}

// fail tells the client that its request failed in the Worker.
func (f *Front) fail(w http.ResponseWriter, e *dormouse.Error) {
	status := http.StatusInternalServerError
	if e.Overloaded || e.Retryable {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	if !f.Details {
		http.Error(w, http.StatusText(status), status)
		return
	}
	if e.Where != nil {
		w.Header().Set("Dormouse-Error", e.Where.String())
	}
	text := e.Error()
	if e.Stack != "" {
		text = e.Stack
	}
	http.Error(w, text, status)
}

// setHeader copies the Worker's headers, but for those that belong to the
// connection.
func setHeader(h http.Header, from []guest.Header) {
	for _, l := range from {
		switch name := http.CanonicalHeaderKey(l.Name); name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Trailer":
		default:
			h.Add(name, l.Bytes())
		}
	}
}

// shake makes the server's half of a handshake, or says to w why there is none,
// and that nobody takes the socket.
func (f *Front) shake(w http.ResponseWriter, r *http.Request, resp *guest.Response, lease *Lease) (o ws.Options, ok bool) {
	release := func(status int, why string) (ws.Options, bool) {
		f.Release(resp.Socket)
		http.Error(w, why, status)
		return ws.Options{}, false
	}
	if !ws.IsUpgrade(r.Header) {
		return release(http.StatusInternalServerError, "the Worker answered with a WebSocket to a request that asked for none")
	}
	shake, err := ws.ReadHandshake(r.Method, r.ProtoAtLeast(1, 1), r.Header)
	if refused, ok := errors.AsType[*ws.HandshakeError](err); ok {
		if refused.Status == http.StatusUpgradeRequired {
			w.Header().Set("Sec-WebSocket-Version", ws.Version)
		}
		return release(refused.Status, refused.Text)
	}
	if r.ContentLength != 0 {
		return release(http.StatusBadRequest, "a request that asks for a WebSocket has no body")
	}
	head := http.Header{}
	setHeader(head, resp.Header)
	if lease != nil {
		o.Meter = lease
	}
	if f.Compress {
		o.Deflate = shake.Deflate
	}
	if o.Head, err = ws.AppendAnswer(nil, shake, o.Deflate, head); err != nil {
		return release(http.StatusInternalServerError, "the Worker's headers cannot be sent: "+err.Error())
	}
	return o, true
}

// upgrade hands the connection over to a socket, which has the lease then. It
// reports whether it has.
func (f *Front) upgrade(w http.ResponseWriter, r *http.Request, resp *guest.Response, lease *Lease) bool {
	o, ok := f.shake(w, r, resp, lease)
	if !ok {
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		f.Release(resp.Socket)
		http.Error(w, "this connection cannot become a WebSocket: "+err.Error(), http.StatusInternalServerError)
		return false
	}
	rest, err := takeBuffered(buffered.Reader)
	if err == nil {
		if b, ok := conn.(*begun); ok {
			conn, rest = b.TCPConn, append(rest, b.head...)
		}
		err = f.Attach(resp.Socket, conn, rest, o)
	}
	if err != nil {
		f.Log.Warn("socket not attached", "reason", err)
		f.Release(resp.Socket)
		endAtOnce(conn, o)
		return false
	}
	return true
}

// takeBuffered returns what has been read from the connection beyond the
// request.
func takeBuffered(r interface {
	Buffered() int
	Peek(int) ([]byte, error)
}) ([]byte, error) {
	rest, err := r.Peek(r.Buffered())
	if err != nil {
		return nil, fmt.Errorf("read what followed the handshake: %w", err)
	}
	return rest, nil
}

var errTooLarge = errors.New("the request's body is too large")

// reason is what the Worker is told of a body that broke off.
func reason(err error) string {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooLarge.Error()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the client left"
	}
	return err.Error()
}
