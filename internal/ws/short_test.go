package ws

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/dormouse-dev/dormouse/internal/brief"
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

// hearingRuns is one that hears many messages at once, and takes some of the runs.
// It keeps them, as it may.
type hearingRuns struct {
	hearing
	runs  int
	take  func() bool
	kept  []brief.Run
	taken []string // what was in them
}

func (h *hearingRuns) Several() bool { return h.take() }
func (h *hearingRuns) Messages(run brief.Run) bool {
	if !h.take() {
		return false
	}
	h.runs++
	if h.end.Paused() {
		panic("a run during a pause")
	}
	before := len(h.heard)
	for text, p := range run.All() {
		h.heard = append(h.heard, fmt.Sprintf("%d %q", OpcodeOf(text), p))
		h.taken = append(h.taken, h.heard[len(h.heard)-1])
	}
	if n := len(h.heard) - before; n != run.N {
		panic(fmt.Sprintf("%d messages in a run of %d", n, run.N))
	}
	if h.kept = append(h.kept, run); h.pause() {
		h.end.Pause()
	}
	return true
}

// wasKept is what the runs that were taken say in the end.
func (h *hearingRuns) wasKept() (list []string) {
	for _, run := range h.kept {
		for text, p := range run.All() {
			list = append(list, fmt.Sprintf("%d %q", OpcodeOf(text), p))
		}
	}
	return list
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
			take:    func() bool { return rapid.IntRange(0, 3).Draw(t, "take") > 0 },
		}
		listen(&inRuns, &pool, &many)
		runs += many.runs
		if !slices.Equal(one.heard, many.heard) {
			t.Fatalf("one by one:\n%s\nin runs:\n%s", strings.Join(one.heard, "\n"), strings.Join(many.heard, "\n"))
		}
		// What was taken is the sink's own: nothing that came later is in it.
		if kept := many.wasKept(); !slices.Equal(kept, many.taken) {
			t.Fatalf("what was taken has become %q", kept)
		}
	})
	if runs == 0 {
		t.Error("nothing was said in runs")
	}
}

// TestSendRunSaysTheSame as Send of each.
func TestSendRunSaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list brief.Run
		for n := range rapid.IntRange(1, 600).Draw(t, "messages") {
			list.Add(n%2 == 0, bytes.Repeat([]byte("m"), rapid.IntRange(0, brief.Max).Draw(t, "n")))
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
		for text, p := range list.All() {
			say(&one, one.Send(OpcodeOf(text), p), &want)
		}
		sendAll(&one, &want)
		stuck := rapid.Bool().Draw(t, "stuck")
		if stuck { // the system takes nothing for now
			run.Send(OpText, nil)
			run.Sent(0, false)
			want = append([]byte{bitFin | byte(OpText), 0}, want...)
		}
		for rest := list; rest.N > 0; {
			next, u := run.SendRun(rest)
			if next.N >= rest.N {
				t.Fatalf("of %d messages SendRun left %d", rest.N, next.N)
			}
			say(&run, u, &got)
			rest = next
		}
		run.Unstick()
		sendAll(&run, &got)
		if !bytes.Equal(got, want) {
			t.Errorf("a run became %d bytes, its messages one by one %d", len(got), len(want))
		}
		run.Close(1000, "")
		if rest, u := run.SendRun(list); rest.N != list.N-1 || u != Nothing {
			t.Errorf("after Close: %d of %d are left, %d", rest.N, list.N, u)
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
