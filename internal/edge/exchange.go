package edge

import (
	"context"
	"io"
	"net/http"
	"sync"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// exchange is the Answer to one client's request: the loop says what the Worker
// answers, the goroutine of the request takes it.
type exchange struct {
	heads chan answered // holds one

	mu     sync.Mutex // guards the following
	chunks [][]byte   // of the answer; at most guest.Credit bytes
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

func newExchange() *exchange {
	return &exchange{
		heads: make(chan answered, 1), credit: guest.Credit,
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

func (x *exchange) Response(r *guest.Response) { x.heads <- answered{Response: r} }

func (x *exchange) Failure(e *dormouse.Error) {
	select {
	case x.heads <- answered{failure: e}:
	default: // a head was there already
		x.BodyAbort(e.Message)
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
	x.credit += n
	x.mu.Unlock()
	signal(x.more)
}

func (x *exchange) Cancel(string) {
	x.mu.Lock()
	x.stop = true
	x.mu.Unlock()
	signal(x.more)
}

// head waits for the head of the answer.
func (x *exchange) head(ctx context.Context) (answered, error) {
	select {
	case a := <-x.heads:
		return a, nil
	case <-ctx.Done():
		return answered{}, ctx.Err()
	}
}

// take waits for the next bytes of the answer; more is false at its end.
func (x *exchange) take(ctx context.Context) (chunks [][]byte, more, ok bool) {
	for {
		x.mu.Lock()
		chunks, ended, cut := x.chunks, x.ended, x.cut
		x.chunks = nil
		x.mu.Unlock()
		if len(chunks) > 0 || ended {
			return chunks, !ended, !cut
		}
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
		chunks, more, whole = x.take(ctx)
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
			out.Flush()
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
			asker.BodyEnd()
			return
		case err != nil:
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
