package ws

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// DeflateParams is what was agreed on for permessage-deflate (RFC 7692). Both
// directions go without context takeover, always: a window that lives from
// message to message would belong to an idle socket.
type DeflateParams struct {
	ServerBits uint8 // the largest window of what we send, 8 to 15
	ClientBits uint8 // the largest window of what we receive, 8 to 15; the inflater takes any
}

const maxWindowBits = 15

// deflateLevel is the fastest: compression runs on the loop, beside everybody
// else's messages.
const deflateLevel = flate.BestSpeed

// maxStreams is how many ended DEFLATE streams one message may consist of. A
// sender may end each of its flushes (RFC 7692, section 7.2.3.4); each costs us
// a reset, so nobody gets to send millions.
const maxStreams = 256

// What ends a message on the wire is cut off by its sender (RFC 7692, section
// 7.2.1). The inflater is given it back, and an empty last block after it, so
// that it ends with EOF exactly when the input was whole.
const (
	flushTail   = "\x00\x00\xff\xff"
	inflateTail = flushTail + "\x01\x00\x00\xff\xff"
)

// deflate is the part of a Pool that compresses. All of it is made when first
// needed.
type deflate struct {
	inflater io.ReadCloser                    // also a flate.Resetter
	deflater [maxWindowBits + 1]*flate.Writer // by bits of the window
	source   bytes.Reader
	in       []byte       // compressed input and its tail
	inflated []byte       // the last message inflated
	deflated bytes.Buffer // the last message deflated
}

// inflate returns the message that payload is the compressed form of, borrowed
// until the next call. It never inflates more than one byte past limit.
func (f *deflate) inflate(payload []byte, limit int) ([]byte, error) {
	if len(payload) == 0 {
		return nil, nil // no sender should, and everybody accepts it as empty
	}
	f.in = append(append(f.in[:0], payload...), inflateTail...)
	f.source.Reset(f.in)
	f.in = kept(f.in)
	if f.inflated == nil {
		f.inflated = make([]byte, 0, 4<<10)
	}
	out, err := f.inflateStreams(f.inflated, limit)
	f.inflated = kept(out)
	return out, err
}

func (f *deflate) inflateStreams(out []byte, limit int) ([]byte, error) {
	for range maxStreams {
		if err := f.resetInflater(lastWindow(out)); err != nil {
			return out, err
		}
		var err error
		for err == nil {
			if len(out) == cap(out) {
				out = append(out, 0)[:len(out)]
			}
			var n int
			n, err = f.inflater.Read(out[len(out):min(cap(out), limit+1)])
			out = out[:len(out)+n]
			if len(out) > limit {
				return out, &ProtocolError{Code: CloseMessageTooBig, Text: fmt.Sprintf(textInflatedLarge, limit)}
			}
		}
		if err != io.EOF {
			break
		}
		if f.source.Len() <= len(inflateTail) {
			return out, nil
		}
		// The sender ended its stream inside of the message: another follows.
	}
	return out, &ProtocolError{Code: CloseInvalidPayload, Text: textBadDeflate}
}

func (f *deflate) resetInflater(window []byte) error {
	if f.inflater == nil {
		f.inflater = flate.NewReaderDict(&f.source, window)
		return nil
	}
	return f.inflater.(flate.Resetter).Reset(&f.source, window)
}

func lastWindow(out []byte) []byte { return out[max(0, len(out)-1<<maxWindowBits):] }

// kept is what of a scratch buffer is worth keeping: its memory, or nothing
// when it has grown too large.
func kept(b []byte) []byte {
	if cap(b) > maxKeptScratch {
		return nil
	}
	return b[:0]
}

// compress returns the compressed form of payload for a peer whose window has
// the given bits, borrowed until the next call. It reports false when that
// would not be shorter.
func (f *deflate) compress(payload []byte, bits uint8) ([]byte, bool) {
	if len(payload) <= 1<<bits {
		bits = maxWindowBits // no distance can be longer than the message
	}
	w := f.deflater[bits]
	if w == nil {
		w = newDeflater(bits)
		f.deflater[bits] = w
	}
	f.deflated.Reset()
	w.Reset(&f.deflated)
	w.Write(payload) // into memory: neither can fail
	w.Flush()
	out := bytes.TrimSuffix(f.deflated.Bytes(), []byte(flushTail))
	if f.deflated.Cap() > maxKeptScratch {
		f.deflated = bytes.Buffer{} // out keeps its memory for as long as it is needed
	}
	return out, len(out) < len(payload)
}

func newDeflater(bits uint8) *flate.Writer {
	var w *flate.Writer
	var err error
	if bits == maxWindowBits {
		w, err = flate.NewWriter(nil, deflateLevel)
	} else {
		w, err = flate.NewWriterWindow(nil, 1<<bits)
	}
	if err != nil {
		panic(fmt.Sprintf("ws: deflater with a window of %d bits: %v", bits, err))
	}
	return w
}
