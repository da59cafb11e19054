package edge

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/dormouse-dev/dormouse/internal/host"
)

// errBroken is read where a guest has broken a body off.
var errBroken = errors.New("the body of the request broke off")

// insideBody is the body of a request to an Inside, read by its handler. No more
// waits in it than the guest has credit for: what is read is granted anew.
type insideBody struct {
	answer host.Answer
	ctx    context.Context // ends with the exchange

	mu     sync.Mutex // guards the following
	chunks [][]byte
	ended  error // io.EOF, or why it broke off; nil while it goes on

	news chan struct{} // holds one: one of the above has changed
}

func newInsideBody(ctx context.Context, a host.Answer) *insideBody {
	return &insideBody{answer: a, ctx: ctx, news: make(chan struct{}, 1)}
}

// add takes a borrowed piece.
func (b *insideBody) add(p []byte) {
	b.mu.Lock()
	b.chunks = append(b.chunks, append([]byte(nil), p...))
	b.mu.Unlock()
	signal(b.news)
}

func (b *insideBody) end(err error) {
	b.mu.Lock()
	if b.ended == nil {
		b.ended = err
	}
	b.mu.Unlock()
	signal(b.news)
}

// Read implements io.Reader.
func (b *insideBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		b.mu.Lock()
		if len(b.chunks) > 0 {
			n := copy(p, b.chunks[0])
			if b.chunks[0] = b.chunks[0][n:]; len(b.chunks[0]) == 0 {
				b.chunks = b.chunks[1:]
			}
			b.mu.Unlock()
			b.answer.Credit(uint32(n))
			return n, nil
		}
		ended := b.ended
		b.mu.Unlock()
		if ended != nil {
			return 0, ended
		}
		select {
		case <-b.news:
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
}

// Close says that the rest is not wanted, if there may be one.
func (b *insideBody) Close() error {
	b.mu.Lock()
	over := b.ended == io.EOF && len(b.chunks) == 0
	b.chunks = nil
	b.mu.Unlock()
	b.end(io.EOF)
	if !over {
		b.answer.Cancel("the rest of the body is not wanted")
	}
	return nil
}
