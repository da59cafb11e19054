// Package trace is the contract between what happens and whoever writes traces
// of it: contexts as they travel in headers, and spans. It knows W3C Trace
// Context, and never sees an exporter, a clock or an object. Where nobody traces
// there is no Tracer, and nothing is done or kept.
package trace

import (
	"encoding/hex"
	"strings"
	"time"
)

// Context names a span of a trace, as the header traceparent does.
// W3C: "Trace Context", section 3.2.
type Context struct {
	Trace   [16]byte
	Span    [8]byte
	Sampled bool
	// State is the header tracestate, which is passed on as it came.
	State string
}

// IsZero says whether it names nothing.
func (c Context) IsZero() bool { return c.Trace == [16]byte{} }

// MaxState is how long a tracestate may be that is passed on; section 3.3.1.5
// asks for 512 bytes at least.
const MaxState = 512

// Parse reads the headers; ok is false for what names no span. A version that is
// not known is read as far as it is known; section 4.
func Parse(parent, state string) (c Context, ok bool) {
	parent = strings.TrimSpace(parent)
	if len(parent) < 55 || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return Context{}, false
	}
	version, okVersion := lower(parent[:2])
	if !okVersion || version[0] == 0xff || version[0] == 0 && len(parent) != 55 || len(parent) > 55 && parent[55] != '-' {
		return Context{}, false
	}
	trace, okTrace := lower(parent[3:35])
	span, okSpan := lower(parent[36:52])
	flags, okFlags := lower(parent[53:55])
	if !okTrace || !okSpan || !okFlags {
		return Context{}, false
	}
	copy(c.Trace[:], trace)
	copy(c.Span[:], span)
	if c.IsZero() || c.Span == [8]byte{} {
		return Context{}, false
	}
	c.Sampled = flags[0]&1 != 0
	if len(state) <= MaxState && !strings.ContainsAny(state, "\r\n") {
		c.State = state
	}
	return c, true
}

// lower reads hexadecimal digits, which have to be small letters.
func lower(s string) ([]byte, bool) {
	b, err := hex.DecodeString(s)
	return b, err == nil && strings.ToLower(s) == s
}

// Parent is the header traceparent.
func (c Context) Parent() string {
	flags := "00"
	if c.Sampled {
		flags = "01"
	}
	return "00-" + hex.EncodeToString(c.Trace[:]) + "-" + hex.EncodeToString(c.Span[:]) + "-" + flags
}

// Text is both headers as the guest protocol has them: traceparent, and behind a
// line feed the tracestate, if there is one.
func (c Context) Text() string {
	if c.State == "" {
		return c.Parent()
	}
	return c.Parent() + "\n" + c.State
}

// ParseText reads what Text has written.
func ParseText(s string) (Context, bool) {
	parent, state, _ := strings.Cut(s, "\n")
	return Parse(parent, state)
}

// Kind is which side of a call a span is.
type Kind uint8

const (
	Internal Kind = iota
	Server        // answers somebody outside
)

// Attribute is something worth knowing about a span.
type Attribute struct{ Key, Value string }

// Tracer begins spans. Its methods, and those of its spans, may be called on any
// goroutine, and never block.
type Tracer interface {
	// Begin begins a span within parent, or a trace if that is zero. It is nil if
	// the trace is not recorded.
	Begin(parent Context, name string, k Kind, at time.Time, attributes ...Attribute) Span
}

// Span is what takes time. End is the last call.
type Span interface {
	Context() Context
	Set(Attribute)
	// Fail says that it has not done what it was for, and why.
	Fail(why string)
	End(at time.Time)
}
