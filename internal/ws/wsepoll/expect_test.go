//go:build linux

package wsepoll

import (
	"net"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// expecter is a Sink that counts how often it was asked, and when it was told.
type expecter struct {
	told    *int // messages, by all
	steps   []int
	before  []int // of each step, how many had been told
	unasked bool  // told before it was asked
}

func (e *expecter) Expect(step int) uint {
	e.steps, e.before = append(e.steps, step), append(e.before, *e.told)
	return 1
}
func (e *expecter) Message(ws.Opcode, []byte) {
	e.unasked = e.unasked || len(e.steps) == 0
	*e.told++
}
func (e *expecter) CloseFrame(uint16, string) {}
func (e *expecter) Drained()                  {}
func (e *expecter) Gone(error)                {}

// TestManyExpectWhatTheyHear before any of them is told what has come.
func TestManyExpectWhatTheyHear(t *testing.T) {
	l, tr := startLoop(t)
	told := 0
	var near []net.Conn
	var sinks []*expecter
	for range 40 {
		n, far := tcpPair(t)
		t.Cleanup(func() { n.Close() })
		e := &expecter{told: &told}
		near, sinks = append(near, n), append(sinks, e)
		l.Call(func() {
			if _, err := tr.Adopt(far, nil, ws.Options{}, e); err != nil {
				t.Error(err)
			}
		})
	}
	l.Call(func() { // the loop finds them all ready after this
		for _, n := range near {
			n.Write(text("hi"))
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		done := false
		l.Call(func() { done = told == len(near) })
		if done {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d were told", told, len(near))
		}
	}
	l.Call(func() {
		for i, e := range sinks {
			if e.unasked || len(e.steps) != ws.ExpectSteps {
				t.Fatalf("sink %d was asked for the steps %v, before it was told: %v", i, e.steps, !e.unasked)
			}
			for step := range ws.ExpectSteps {
				if e.steps[step] != step || e.before[step] != 0 {
					t.Errorf("sink %d was asked for step %d when %d were told, want step %d and none", i, e.steps[step], e.before[step], step)
				}
			}
		}
	})
}
