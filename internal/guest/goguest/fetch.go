package goguest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// fetch is a request to an object.
type fetch struct {
	g     *Guest
	i     *instance
	x     guest.Exchange
	head  *guest.Request
	event *event
	body  *body     // nil: none
	out   *response // what is answered, as the loop sends it

	// Owned by the loop.
	waiting *event // has not been delivered: it waits for its body

	writer *writer // set when the handler begins
}

var errNoFetch = &dormouse.Error{Message: "Handler does not export a fetch() function.", Remote: true}

// Request begins an exchange. A body that fits into its first credit is waited
// for, so that a handler does not keep its object for a slow client.
func (g *Guest) Request(x guest.Exchange, o guest.Object, r *guest.Request) {
	i := g.instances[o]
	if i == nil {
		g.crew.tell(func() {
			g.host.FromPeer(g).Failure(x, &dormouse.Error{Message: "This server has no Worker: its objects are written in Go, and called by namespace."})
		})
		return
	}
	if c, ok := r.Local.(*Local); ok {
		e := &event{i: i, work: &localCall{x, c}}
		g.locals[x] = e
		i.deliver(e)
		return
	}
	f := &fetch{g: g, i: i, x: x, head: r}
	f.out = &response{f: f, credit: guest.Credit}
	g.calls[x] = f
	if i.calls == nil {
		i.calls = make(map[*fetch]struct{})
	}
	i.calls[f] = struct{}{}
	e := &event{i: i, work: f}
	f.event = e
	if !r.HasBody {
		i.deliver(e)
		return
	}
	f.body = newBody(f)
	f.waiting = e
	e.begun = true
	i.mu.Lock()
	i.progress.Started++ // as far as the host is concerned; otherwise it would hold back the others
	i.saidLocked()
	i.mu.Unlock()
}

// arrived delivers a request whose body has come far enough.
func (f *fetch) arrived() {
	if e := f.waiting; e != nil {
		f.waiting = nil
		f.i.deliver(e)
	}
}

// run implements work.
func (f *fetch) run(e *event) error {
	if f.i.fetch == nil {
		return errNoFetch
	}
	r, err := f.request(e)
	if err != nil {
		return err
	}
	f.writer = &writer{f: f, header: make(http.Header), method: r.Method}
	f.i.fetch.ServeHTTP(f.writer, r)
	f.writer.finish()
	if f.body != nil {
		f.body.giveUp()
	}
	return nil
}

// fail implements failing: the caller gets the error, and whoever reads the log.
func (f *fetch) fail(e *event, err error) {
	i := f.i
	i.mu.Lock()
	dead := i.dead
	i.mu.Unlock()
	if f.body != nil {
		f.body.close(errEnded)
	}
	if dead != nil {
		return // the host has told the caller why
	}
	if err != http.ErrAbortHandler && err != error(errNoFetch) {
		i.logError(err)
	}
	x := asRemote(err)
	var far dormouse.SocketID // of a socket that was accepted and will not be answered with
	if w := f.writer; w != nil && !w.sent {
		far = w.far
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outLocked().later(func() {
		if far != 0 {
			f.g.host.Release(f.g, far)
		}
		f.out.fail(x)
	})
	i.saidLocked()
}

// drop implements work.
func (f *fetch) drop(*event, *dormouse.Error) {
	if f.body != nil {
		f.body.close(errEnded)
	}
}

// cancel tells that nobody wants the answer any more. On the loop.
func (f *fetch) cancel(reason string) {
	f.out.done()
	if f.body != nil {
		f.body.end(errCanceled)
	}
	f.event.cancelled(reason)
}

// request makes a *http.Request as a server gets it.
func (f *fetch) request(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse(f.head.URL)
	if err != nil {
		return nil, err
	}
	r := (&http.Request{
		Method: f.head.Method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(f.head.Header)), Body: http.NoBody, Host: u.Host,
		RequestURI: u.RequestURI(),
	}).WithContext(ctx)
	for _, h := range f.head.Header {
		switch name := http.CanonicalHeaderKey(h.Name); name {
		case "Host":
			r.Host = h.Bytes()
		case "Cf-Connecting-Ip":
			r.RemoteAddr = h.Value + ":0" // as net/http has it; the port is not known
			if strings.Contains(h.Value, ":") {
				r.RemoteAddr = "[" + h.Value + "]:0"
			}
			fallthrough
		default:
			r.Header.Add(name, h.Bytes())
		}
	}
	if f.body != nil {
		r.Body = f.body
		r.ContentLength = lengthOf(r.Header)
	}
	return r, nil
}

// Errors of AcceptWebSocket.
var (
	errNoRequest   = errors.New("accept WebSocket: w and r are not those that ServeHTTP was called with")
	errAnswered    = errors.New("accept WebSocket: the request has been answered already")
	errNoUpgrade   = errors.New("accept WebSocket: the request does not ask for one")
	errTooMany     = "only %d websockets can be accepted on a single Durable Object instance"
	upgradeExpects = "This address speaks WebSocket: ask for it with \"Upgrade: websocket\".\n"
)

// isUpgrade reports whether a request asks for a WebSocket.
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && ws.IsUpgrade(r.Header)
}
