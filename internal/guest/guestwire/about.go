package guestwire

import (
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// maxTrace is the longest context of a trace: a traceparent of some later version,
// and a tracestate of 512 bytes.
const maxTrace = 1024

// Trace writes the context of the event in the next frame.
func (w *Writer) Trace(context string) {
	w.begin(Trace)
	w.text(context[:min(len(context), maxTrace)])
	w.end()
}

// ReadTraced reads the context of the session that the next frame opens.
func ReadTraced(body []byte) (string, error) {
	if len(body) > maxTrace {
		return "", frameError(Traced, fmt.Errorf("context of %d bytes; the limit is %d", len(body), maxTrace))
	}
	return string(body), nil
}

// ReadCause reads which exchange or session of the guest's own has brought the
// error that the next frame passes on.
func ReadCause(body []byte) (session bool, number uint32, err error) {
	r := &reader{b: body}
	session, number = r.bool(), r.u32()
	if err := r.done(); err != nil {
		return false, 0, frameError(Cause, err)
	}
	return session, number, nil
}

// ReadDirect reads how many events that the host has not seen have ended in an
// object, and how long they took together.
func ReadDirect(body []byte) (o guest.Object, n uint32, took time.Duration, err error) {
	r := &reader{b: body}
	o, n, took = r.object(), r.u32(), time.Duration(r.u32())*time.Microsecond
	if n == 0 {
		r.fail(fmt.Errorf("no events"))
	}
	if err := r.done(); err != nil {
		return 0, 0, 0, frameError(Direct, err)
	}
	return o, n, took, nil
}

// Inspect asks the guest to let DevTools in, or no longer.
func (w *Writer) Inspect(on bool) {
	w.begin(Inspect)
	w.bool(on)
	w.end()
}

// maxURL is the longest answer to Inspect.
const maxURL = 4096

// ReadInspecting reads where DevTools finds the guest (empty: nowhere), or why
// not.
func ReadInspecting(body []byte) (url, failure string, err error) {
	r := &reader{b: body}
	url, failure = r.str(), r.str()
	if len(url)+len(failure) > maxURL {
		r.fail(fmt.Errorf("%d bytes; the limit is %d", len(url)+len(failure), maxURL))
	}
	if err := r.done(); err != nil {
		return "", "", frameError(Inspecting, err)
	}
	return url, failure, nil
}
