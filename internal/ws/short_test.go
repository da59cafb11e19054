package ws

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// hearing is a Sink that writes down what it hears, and sometimes pauses.
type hearing struct {
	end   *Endpoint
	heard []string
	pause func() bool
}

func (h *hearing) hear(op Opcode, p []byte) {
	h.heard = append(h.heard, fmt.Sprintf("%d %q", op, p))
	if h.pause() {
		h.end.Pause()
	}
}

func (h *hearing) Message(op Opcode, p []byte) { h.hear(op, p) }
func (h *hearing) CloseFrame(code uint16, _ string) {
	h.heard = append(h.heard, fmt.Sprint("close ", code))
}
func (h *hearing) Drained()       {}
func (h *hearing) Gone(err error) { h.heard = append(h.heard, fmt.Sprint("gone ", err)) }

// hearingRuns is one that hears many messages at once, and takes some of them.
type hearingRuns struct {
	hearing
	runs int
	take func(n int) int
}

func (h *hearingRuns) Several() bool { return h.take(1) > 0 }
func (h *hearingRuns) Messages(run []Message) (taken int) {
	h.runs++
	n := h.take(len(run))
	for _, m := range run[:n] {
		if taken++; h.end.Paused() {
			panic("a message during a pause")
		}
		if h.hear(m.Op, m.Payload); h.end.Paused() {
			break
		}
	}
	return taken
}

// clientFrame is a client's.
func clientFrame(first byte, payload []byte) []byte {
	key := [4]byte{7, 0x81, 3, 0xfe}
	frame := appendHeader(nil, first, len(payload))
	frame[1] |= bitMask
	frame = append(frame, key[:]...)
	for i, c := range payload {
		frame = append(frame, c^key[i%4])
	}
	return frame
}

// drawPayload is short most of the time, and text of all kinds.
func drawPayload(t *rapid.T) []byte {
	switch rapid.IntRange(0, 9).Draw(t, "payload") {
	case 0:
		return bytes.Repeat([]byte("l"), rapid.SampledFrom([]int{124, 125, 126, 127, 1000, 70_000}).Draw(t, "length"))
	case 1:
		return []byte(rapid.StringN(0, 30, 120).Draw(t, "unicode"))
	case 2:
		return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
	default:
		return []byte(strings.Repeat("m", rapid.IntRange(0, 80).Draw(t, "n")))
	}
}

// TestRunsSayTheSame, whatever the client says, however it is cut, how much of a
// run the sink takes and when it pauses.
func TestRunsSayTheSame(t *testing.T) {
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		var said []byte
		for range rapid.IntRange(1, 60).Draw(t, "frames") {
			p := drawPayload(t)
			switch rapid.IntRange(0, 19).Draw(t, "kind") {
			case 0:
				said = append(said, clientFrame(bitFin|byte(OpPing), p[:min(len(p), maxControlPayload)])...)
			case 1:
				said = append(said, clientFrame(byte(OpBinary), p)...)
				said = append(said, clientFrame(bitFin, p)...)
			case 2:
				said = append(said, AppendFrame(nil, OpText, p)...) // not masked
			case 3, 4, 5:
				said = append(said, clientFrame(bitFin|byte(OpBinary), p)...)
			default:
				said = append(said, clientFrame(bitFin|byte(OpText), p)...)
			}
		}
		cuts := rapid.SliceOfN(rapid.IntRange(1, 3000), 1, 20).Draw(t, "cuts")
		o := Options{MaxMessage: rapid.SampledFrom([]int{0, 60, 100_000}).Draw(t, "limit")}
		listen := func(e *Endpoint, pool *Pool, sink Sink) {
			e.Init(pool, o, sink)
			rest := bytes.Clone(said)
			for n := 0; len(rest) > 0; n++ {
				piece := rest[:min(len(rest), cuts[n%len(cuts)])]
				rest = rest[len(piece):]
				e.Receive(piece)
				for e.Paused() {
					e.Resume()
					e.Receive(nil)
				}
				sendAll(e, nil)
			}
			e.Lost()
			e.TellGone()
		}
		sometimes := func(name string) func() bool {
			return func() bool { return rapid.IntRange(0, 9).Draw(t, name) == 0 }
		}
		var pool Pool
		var plain, inRuns Endpoint
		one := hearing{end: &plain, pause: sometimes("pause one")}
		listen(&plain, &pool, &one)
		many := hearingRuns{
			hearing: hearing{end: &inRuns, pause: sometimes("pause many")},
			take:    func(n int) int { return rapid.IntRange(0, n).Draw(t, "take") },
		}
		listen(&inRuns, &pool, &many)
		runs += many.runs
		if !slices.Equal(one.heard, many.heard) {
			t.Fatalf("one by one:\n%s\nin runs:\n%s", strings.Join(one.heard, "\n"), strings.Join(many.heard, "\n"))
		}
	})
	if runs == 0 {
		t.Error("nothing was said in runs")
	}
}

// payloads are a Run of texts and, at odd places, of binary messages.
type payloads [][]byte

func (p payloads) Len() int                { return len(p) }
func (p payloads) At(i int) (bool, []byte) { return i%2 == 0, p[i] }

// TestSendRunSaysTheSame as Send of each.
func TestSendRunSaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list payloads
		for range rapid.IntRange(1, 300).Draw(t, "messages") {
			list = append(list, drawPayload(t))
		}
		o := Options{}
		if rapid.Bool().Draw(t, "compressed") {
			o.Deflate = &DeflateParams{ServerBits: 15}
		}
		say := func(e *Endpoint, u Urgency, sent *[]byte) {
			if u == AtOnce {
				sendAll(e, sent)
			}
		}
		var pool Pool
		var one, run Endpoint
		one.Init(&pool, o, silentSink{})
		run.Init(&pool, o, silentSink{})
		var want, got []byte
		for i := range list {
			text, p := list.At(i)
			say(&one, one.Send(OpcodeOf(text), p), &want)
		}
		sendAll(&one, &want)
		for i := 0; i < list.Len(); {
			next, u := run.SendRun(list, i)
			if next <= i {
				t.Fatalf("from message %d on, SendRun got to %d", i, next)
			}
			say(&run, u, &got)
			i = next
		}
		sendAll(&run, &got)
		if !bytes.Equal(got, want) {
			t.Errorf("a run became %d bytes, its messages one by one %d", len(got), len(want))
		}
		run.Close(1000, "")
		if next, u := run.SendRun(list, 0); next != 1 || u != Nothing {
			t.Errorf("after Close: got %d, %d", next, u)
		}
	})
}

// TestValidText agrees with utf8.Valid.
func TestValidText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := bytes.Repeat([]byte("a"), rapid.IntRange(0, 100).Draw(t, "ascii"))
		p = append(p, rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 8), rapid.Just([]byte("é€😀"))).Draw(t, "odd")...)
		p = append(p, bytes.Repeat([]byte("z"), rapid.IntRange(0, 40).Draw(t, "more"))...)
		if got, want := ValidText(p), utf8.Valid(p); got != want {
			t.Errorf("%q: got %v, want %v", p, got, want)
		}
	})
}
