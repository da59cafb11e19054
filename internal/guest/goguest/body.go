package goguest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// body is the body of a request, from the loop to the handler that reads it.
// Invariant: what was received and not read is at most guest.Credit.
type body struct {
	f *fetch

	// Owned by the loop.
	received int

	mu     sync.Mutex // guards the following
	chunks [][]byte
	ended  error         // io.EOF, or why there will be no more; nil: there may be
	news   chan struct{} // closed when something of the above changes; nil: nobody waits
	closed bool
}

func newBody(f *fetch) *body { return &body{f: f} }

// errCanceled is what a handler gets that reads the body of a request whose
// client has gone.
var errCanceled = fmt.Errorf("read of a request's body: %w", context.Canceled)

// brokenBody is a body that its sender has broken off.
type brokenBody struct{ reason string }

func (e *brokenBody) Error() string { return "the request's body broke off: " + e.reason }
func (e *brokenBody) Unwrap() error { return io.ErrUnexpectedEOF }

// errBodyClosed is what a handler gets that reads a body after it has returned.
var errBodyClosed = errors.New("read of a request's body after its handler has returned")

// push takes bytes, borrowed. On the loop.
func (b *body) push(p []byte) {
	b.mu.Lock()
	if b.ended == nil && !b.closed {
		b.chunks = append(b.chunks, append([]byte(nil), p...))
	}
	b.changedLocked()
	b.mu.Unlock()
	if b.received += len(p); b.received >= guest.Credit {
		b.f.arrived()
	}
}

// end tells that nothing more comes. On the loop.
func (b *body) end(why error) {
	b.close(why)
	b.f.arrived()
}

// close ends the body, from any goroutine. What has come can still be read.
func (b *body) close(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil {
		b.ended = why
	}
	b.changedLocked()
}

func (b *body) changedLocked() {
	if b.news != nil {
		close(b.news)
		b.news = nil
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		b.mu.Lock()
		switch {
		case b.closed:
			b.mu.Unlock()
			return 0, http.ErrBodyReadAfterClose
		case len(b.chunks) > 0:
			n := copy(p, b.chunks[0])
			if b.chunks[0] = b.chunks[0][n:]; len(b.chunks[0]) == 0 {
				b.chunks[0] = nil
				b.chunks = b.chunks[1:]
			}
			more := b.ended == nil
			b.mu.Unlock()
			if more {
				b.f.credit(n)
			}
			return n, nil
		case b.ended != nil:
			defer b.mu.Unlock()
			return 0, b.ended
		}
		if b.news == nil {
			b.news = make(chan struct{})
		}
		news := b.news
		b.mu.Unlock()
		b.f.event.waits()
		select {
		case <-news:
		case <-b.f.event.Done():
			return 0, b.f.event.cause()
		}
	}
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.mu.Lock()
	b.closed, b.chunks = true, nil
	b.changedLocked()
	b.mu.Unlock()
	return nil
}

// giveUp ends the body because its handler has returned: what has not come is
// not wanted.
func (b *body) giveUp() {
	b.mu.Lock()
	wanted := b.ended == nil
	b.mu.Unlock()
	b.close(errBodyClosed)
	b.Close()
	if wanted {
		f := b.f
		f.i.tell(func() { f.g.host.FromPeer(f.g).Cancel(f.x, "the request's body was not read") })
	}
}

// credit lets the sender go on.
func (f *fetch) credit(n int) {
	f.i.tell(func() { f.g.host.FromPeer(f.g).Credit(f.x, uint32(n)) })
}

// tell has f done on the loop soon, in no order with what the instance says.
func (i *instance) tell(f func()) {
	i.g.crew.tell(func() {
		if !i.gone {
			f()
		}
	})
}

// lengthOf is a request's Content-Length, -1 if it is not known.
func lengthOf(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

var _ io.ReadCloser = (*body)(nil)
