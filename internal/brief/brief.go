// Package brief is runs of short messages of one socket. A run passes from the
// client's bytes to the handlers of an object, and from these back to the client,
// without being taken apart on its way. It never sees a mask, a fragment or a
// connection.
package brief

import "iter"

// Max is the longest payload of a short message, in bytes.
const Max = 125

// Header is how many bytes each message has beside its payload.
const Header = 2

// The first byte of a message. RFC 6455, section 5.2: whole, and text or binary.
const (
	Text   = 0x81
	Binary = 0x82
)

// Run is short messages, oldest first, in the form in which a server sends them:
// Text or Binary, the length of the payload, the payload. Text is UTF-8.
//
// Invariant: Frames holds N of them and nothing else.
type Run struct {
	Frames []byte
	N      int
}

// Size is the length of all payloads together.
func (r Run) Size() int { return len(r.Frames) - r.N*Header }

// All yields the messages, in place.
func (r Run) All() iter.Seq2[bool, []byte] {
	return func(yield func(text bool, payload []byte) bool) {
		for rest := r.Frames; len(rest) > 0; {
			var text bool
			var payload []byte
			if text, payload, rest = Split(rest); !yield(text, payload) {
				return
			}
		}
	}
}

// Add adds a message.
func (r *Run) Add(text bool, payload []byte) {
	r.Frames = Append(r.Frames, text, payload)
	r.N++
}

// Append appends a message of at most Max bytes.
func Append(frames []byte, text bool, payload []byte) []byte {
	first := byte(Binary)
	if text {
		first = Text
	}
	return append(append(frames, first, byte(len(payload))), payload...)
}

// Split takes the first message off. Whoever appends to payload gets memory of
// their own.
func Split(frames []byte) (text bool, payload, rest []byte) {
	end := Header + int(frames[1])
	return frames[0] == Text, frames[Header:end:end], frames[end:]
}

// Cut takes as many messages off as have at most so many bytes with their headers.
// The first one must.
func (r Run) Cut(bytes int) (first, rest Run) {
	if len(r.Frames) <= bytes {
		return r, Run{}
	}
	end, n := 0, 0
	for {
		next := end + Header + int(r.Frames[end+1])
		if next > bytes {
			return Run{r.Frames[:end:end], n}, Run{r.Frames[end:], r.N - n}
		}
		end, n = next, n+1
	}
}
