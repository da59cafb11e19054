// Package wsread reads frames as a client in a test does: whole, one after the
// other, waiting for each. It knows headers and lengths, and never sees what a
// frame means.
package wsread

import (
	"fmt"
	"io"

	"github.com/gobwas/ws"
)

// MaxFrame bounds a frame, so that what a server sends by mistake is an error and
// not all memory.
const MaxFrame = 64 << 20

// Frame reads the next frame. Its payload is the caller's.
func Frame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > MaxFrame {
		return f, fmt.Errorf("a frame of %d bytes, more than %d", f.Header.Length, MaxFrame)
	}
	if f.Header.Length > 0 {
		f.Payload = make([]byte, f.Header.Length)
		_, err = io.ReadFull(r, f.Payload)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	return f, err
}
