package wspipe

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// expecter is a Sink that writes down what it is asked and told.
type expecter struct {
	name  string
	heard *[]string
}

func (e *expecter) Expect(step int) uint {
	*e.heard = append(*e.heard, fmt.Sprint(e.name, " expects ", step))
	return 1
}
func (e *expecter) Message(_ ws.Opcode, p []byte) {
	*e.heard = append(*e.heard, fmt.Sprintf("%s hears %s", e.name, p))
}
func (e *expecter) CloseFrame(uint16, string) {}
func (e *expecter) Drained()                  {}
func (e *expecter) Gone(error)                {}

// TestManyExpectWhatTheyHear: each step is asked of all that are ready before the
// next one, and all of them before the first is told anything. One alone is not
// asked, for there is nothing that could be fetched meanwhile.
func TestManyExpectWhatTheyHear(t *testing.T) {
	l := loop.NewPortable()
	tr := New(l)
	l.Start()
	t.Cleanup(l.Stop)
	var heard []string
	var ends []*End
	l.Call(func() {
		for _, name := range []string{"a", "b"} {
			near, far := Pipe()
			ends = append(ends, near)
			if _, err := tr.Adopt(far, nil, ws.Options{}, &expecter{name, &heard}); err != nil {
				t.Error(err)
			}
		}
	})
	say := func(ends ...*End) []string {
		heard = nil
		l.Call(func() { // all in one round
			for _, e := range ends {
				e.Write([]byte("\x81\x82\x00\x00\x00\x00hi"))
			}
		})
		l.Call(func() {})
		return heard
	}
	var want []string
	for step := range ws.ExpectSteps {
		want = append(want, fmt.Sprint("a expects ", step), fmt.Sprint("b expects ", step))
	}
	want = append(want, "a hears hi", "b hears hi")
	if got := say(ends...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := say(ends[1]), []string{"b hears hi"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLentMemoryIsNobodyElses: what is on its way in several pipes, short and long,
// read in one piece and in several, is not mixed up, although they use the memory
// of short messages in turn.
func TestLentMemoryIsNobodyElses(t *testing.T) {
	l := loop.NewPortable()
	tr := New(l)
	l.Start()
	t.Cleanup(l.Stop)
	const n = 8
	var near [n]*End
	l.Call(func() {
		for i := range near {
			var far *End
			near[i], far = Pipe()
			sink := &echo{}
			var err error
			if sink.conn, err = tr.Adopt(far, nil, ws.Options{}, sink); err != nil {
				t.Error(err)
			}
		}
	})
	for round := range 50 {
		size := func(i int) int { return (37*round + 11*i) % 120 }
		for i, e := range near {
			for _, c := range []byte{'a', 'b'} {
				frame := []byte{0x82, byte(0x80 | size(i)), 0, 0, 0, 0}
				for range size(i) {
					frame = append(frame, c+byte(2*i))
				}
				e.Write(frame[:len(frame)/2])
				e.Write(frame[len(frame)/2:])
			}
		}
		for i, e := range near {
			for _, c := range []byte{'a', 'b'} {
				got := make([]byte, 2+size(i))
				for at := 0; at < len(got); {
					k, err := e.Read(got[at:min(len(got), at+1+round)])
					if err != nil {
						t.Fatal(err)
					}
					at += k
				}
				for _, b := range got[2:] {
					if b != c+byte(2*i) {
						t.Fatalf("round %d, pipe %d: got %q, want only %q", round, i, got[2:], c+byte(2*i))
					}
				}
			}
		}
	}
}

type echo struct{ conn ws.Conn }

func (e *echo) Message(op ws.Opcode, p []byte) { e.conn.Send(op, p) }
func (e *echo) CloseFrame(uint16, string)      {}
func (e *echo) Drained()                       {}
func (e *echo) Gone(error)                     {}
