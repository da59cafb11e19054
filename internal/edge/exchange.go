package edge

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// exchange is the Answer to one client's request: the loop says what the Worker
// answers, the goroutine of the request takes it.
type exchange struct {
	whole atomic.Bool // all of the request's body has been read

	release func(dormouse.SocketID) // for a socket that nobody takes
	heads   chan answered           // holds one
	large   chan struct{}           // closed when the request's body is too large

	mu     sync.Mutex // guards the following
	left   bool       // nobody takes the answer any more
	chunks [][]byte   // of the answer; bounded by its credit, which the host keeps
	ended  bool
	cut    bool   // it broke off
	credit uint32 // what the Worker takes of the request's body
	stop   bool   // it takes no more

	news chan struct{} // holds one: something of the above has changed for the answer
	more chan struct{} // the same for the request
}

type answered struct {
	*guest.Response
	failure *dormouse.Error
}

func newExchange(release func(dormouse.SocketID)) *exchange {
	return &exchange{
		release: release, heads: make(chan answered, 1), large: make(chan struct{}), credit: guest.Credit,
		news: make(chan struct{}, 1), more: make(chan struct{}, 1),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// The Answer, called on the loop.

func (x *exchange) Response(r *guest.Response) {
	if !x.offer(answered{Response: r}) && r.Socket != 0 {
		x.release(r.Socket)
	}
}

// offer reports false when nobody takes the answer.
func (x *exchange) offer(a answered) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.left {
		return false
	}
	select {
	case x.heads <- a:
		return true
	default:
		return false
	}
}

// leave gives the answer up.
func (x *exchange) leave() {
	x.mu.Lock()
	x.left = true
	x.mu.Unlock()
	select {
	case a := <-x.heads:
		if a.Response != nil && a.Socket != 0 {
			x.release(a.Socket)
		}
	default:
	}
}

func (x *exchange) Failure(e *dormouse.Error) {
	if !x.offer(answered{failure: e}) {
		x.BodyAbort(e.Message) // a head was there already
	}
	x.Cancel("")
}

func (x *exchange) Body(p []byte) {
	x.mu.Lock()
	x.chunks = append(x.chunks, append([]byte(nil), p...))
	x.mu.Unlock()
	signal(x.news)
}

func (x *exchange) BodyEnd() {
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	signal(x.news)
}

func (x *exchange) BodyAbort(string) {
	x.mu.Lock()
	x.ended, x.cut = true, true
	x.mu.Unlock()
	signal(x.news)
}

func (x *exchange) Credit(n uint32) {
	x.mu.Lock()
	x.credit = uint32(min(uint64(x.credit)+uint64(n), math.MaxInt32))
	x.mu.Unlock()
	signal(x.more)
}

func (x *exchange) Cancel(string) {
	x.mu.Lock()
	x.stop = true
	x.mu.Unlock()
	signal(x.more)
}

// head waits for the head of the answer. It returns errTooLarge when the
// request's body is that.
func (x *exchange) head(ctx context.Context) (answered, error) {
	select {
	case a := <-x.heads:
		return a, nil
	case <-x.large:
		return answered{}, errTooLarge
	case <-ctx.Done():
		return answered{}, ctx.Err()
	}
}

// take returns the next bytes of the answer; more is false at its end. Before it
// waits for them it calls idle.
func (x *exchange) take(ctx context.Context, idle func() error) (chunks [][]byte, more, ok bool) {
	for {
		x.mu.Lock()
		chunks, ended, cut := x.chunks, x.ended, x.cut
		x.chunks = nil
		x.mu.Unlock()
		if len(chunks) > 0 || ended {
			return chunks, !ended, !cut
		}
		idle()
		select {
		case <-x.news:
		case <-ctx.Done():
			return nil, false, false
		}
	}
}

// copyTo writes the answer to the client. It returns false when the client must
// see that the answer is not whole.
func (x *exchange) copyTo(ctx context.Context, w http.ResponseWriter, method string, r *guest.Response, asker host.Asker) bool {
	setHeader(w.Header(), r.Header)
	if w.Header().Get("Content-Type") == "" {
		w.Header()["Content-Type"] = nil // nothing is guessed
	}
	status := r.Status
	if status < 200 || status > 999 {
		status = http.StatusInternalServerError
	}
	w.WriteHeader(status)
	if !r.HasBody {
		return true
	}
	if method == http.MethodHead {
		asker.Cancel("the request is HEAD")
		return true
	}
	out := http.NewResponseController(w)
	for more := true; more; {
		var chunks [][]byte
		var whole bool
		chunks, more, whole = x.take(ctx, out.Flush)
		n := 0
		for _, p := range chunks {
			if _, err := w.Write(p); err != nil {
				asker.Cancel("the client left")
				return true
			}
			n += len(p)
		}
		if !whole {
			asker.Cancel("the client left")
			return ctx.Err() != nil
		}
		if more {
			asker.Credit(uint32(n))
		}
	}
	return true
}

// pump sends the request's body to the Worker as fast as it takes it.
func (x *exchange) pump(ctx context.Context, body io.Reader, asker host.Asker) {
	buf := make([]byte, guest.MaxChunk)
	for {
		n, ok := x.allowed(ctx)
		if !ok {
			asker.BodyAbort("canceled")
			return
		}
		n, err := body.Read(buf[:min(n, len(buf))])
		if n > 0 {
			x.mu.Lock()
			x.credit -= uint32(n)
			x.mu.Unlock()
			asker.Body(buf[:n])
		}
		switch {
		case err == io.EOF:
			x.whole.Store(true) // before there can be an answer to it
			asker.BodyEnd()
			return
		case err != nil:
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				close(x.large)
			}
			asker.BodyAbort(reason(err))
			return
		}
	}
}

// allowed waits until the Worker takes bytes, and says how many.
func (x *exchange) allowed(ctx context.Context) (int, bool) {
	for {
		x.mu.Lock()
		n, stop := x.credit, x.stop
		x.mu.Unlock()
		if stop {
			return 0, false
		}
		if n > 0 {
			return int(n), true
		}
		select {
		case <-x.more:
		case <-ctx.Done():
			return 0, false
		}
	}
}
