// Package plaincall is as much of what is said inside an RPC session as a call
// needs whose arguments and result are copied: one message to and one fro
// (docs/guest-protocol.md, "Inside a session"). It knows their bytes, and neither
// the values in them nor references to anything.
package plaincall

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dormouse-dev/dormouse"
)

// Kinds of messages inside a session.
const (
	sayCall   = 1
	sayAnswer = 2
	sayError  = 3
)

// maxPath is how many names a path has.
const maxPath = 64

// Call is the first message of a session: the call of a method of what the session
// was opened to.
type Call struct {
	Question   uint32
	Property   bool // the reading of a property, and no call
	Path       []string
	References int    // in the arguments; what they are is left out
	Args       []byte // V8 serialisation of an array; borrowed. Not if there are references
}

// Append appends the message of a call without references.
func (c *Call) Append(b []byte) []byte {
	b = number(append(b, sayCall), c.Question)
	b = number(append(b, 0), 0) // export 0: what the session is opened to
	b = append(b, flag(!c.Property))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Path)))
	for _, name := range c.Path {
		b = text(b, name)
	}
	if !c.Property {
		b = append(b, 0, 0) // references
		b = append(b, c.Args...)
	}
	return b
}

// ReadCall reads the first message of a session.
func ReadCall(p []byte) (*Call, error) {
	r := &reader{b: p}
	if kind := r.u8(); kind != sayCall {
		return nil, fmt.Errorf("a session that begins with a message of kind %d", kind)
	}
	c := &Call{Question: r.u32()}
	if of, export := r.u8(), r.u32(); of != 0 || export != 0 {
		return nil, errors.New("a session that begins with a call of something else than what it was opened to")
	}
	c.Property = r.u8() == 0
	n := r.u16()
	if n > maxPath {
		return nil, fmt.Errorf("a path of %d names", n)
	}
	for range n {
		c.Path = append(c.Path, r.str())
	}
	if !c.Property {
		c.References = int(r.u16())
		c.Args = r.b
	}
	return c, r.err
}

// Answer is the answer to a call: a Value, an Error, or what was Thrown.
type Answer struct {
	Question   uint32
	References int             // in the value; what they are is left out
	Value      []byte          // V8 serialisation; borrowed. Not if there are references
	Error      *dormouse.Error // thrown, as the guest protocol has errors
	Thrown     []byte          // the same, as a V8 serialisation; borrowed
	Flags      dormouse.Error  // of Thrown: the booleans
}

// Append appends the message: of Error if it is there, or else of Value.
func (a *Answer) Append(b []byte) []byte {
	if e := a.Error; e != nil {
		b = number(append(b, sayError), a.Question)
		b = append(b, 0, flagsOf(e))
		name := e.Name
		if name == "" {
			name = "Error"
		}
		b = text(text(b, name), e.Message)
		b = text(b, "") // the stack stays here
		return text(b, string(e.Extra))
	}
	b = number(append(b, sayAnswer), a.Question)
	return append(append(b, 0, 0), a.Value...)
}

// ReadAnswer reads a message that answers; ok is false if it is another one.
func ReadAnswer(p []byte) (a *Answer, ok bool, err error) {
	r := &reader{b: p}
	kind := r.u8()
	if kind != sayAnswer && kind != sayError {
		return nil, false, r.err
	}
	a = &Answer{Question: r.u32()}
	switch {
	case kind == sayAnswer:
		a.References = int(r.u16())
		a.Value = r.b
	case r.u8() == 0:
		e := errorOf(r.u8())
		e.Name, e.Message, e.Stack = r.str(), r.str(), r.str()
		if extra := r.str(); extra != "" {
			e.Extra = []byte(extra)
		}
		a.Error = &e
	default:
		a.Flags = errorOf(r.u8())
		r.str() // the id of the object that threw it
		a.Thrown = r.b
	}
	return a, true, r.err
}

// Bits of an error's flags.
const (
	remote = 1 << iota
	retryable
	overloaded
	objectReset
)

func flagsOf(e *dormouse.Error) byte {
	return flag(e.Remote)*remote | flag(e.Retryable)*retryable | flag(e.Overloaded)*overloaded | flag(e.ObjectReset)*objectReset
}

func errorOf(f byte) dormouse.Error {
	return dormouse.Error{
		Remote: f&remote != 0, Retryable: f&retryable != 0,
		Overloaded: f&overloaded != 0, ObjectReset: f&objectReset != 0,
	}
}

func flag(is bool) byte {
	if is {
		return 1
	}
	return 0
}

func number(b []byte, n uint32) []byte { return binary.LittleEndian.AppendUint32(b, n) }

func text(b []byte, s string) []byte { return append(number(b, uint32(len(s))), s...) }

var errShort = errors.New("message of a session is too short")

// reader takes a message apart. After the first error it returns zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)) {
		r.b, r.err = nil, errShort
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) str() string { return string(r.take(r.u32())) }
