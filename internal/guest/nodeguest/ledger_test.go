//go:build unix

package nodeguest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
)

// books is a process that is only what it was sent, with an account of its object 1.
type books struct {
	*testing.T
	p      Process
	ledger guest.Ledger
}

func openBooks(t *testing.T) *books {
	b := &books{T: t}
	b.p.out.marks.page = make([]byte, marksBytes)
	b.p.out.Hello(1, nil)
	b.ledger = b.p.Ledger(1)
	return b
}

// say tells the object messages, the first of which is its event of that number.
func (b *books) say(first uint32, texts ...string) {
	for i, text := range texts {
		b.ledger.Next(first+uint32(i), 100+first+uint32(i))
		b.p.Message(socket, true, []byte(text))
	}
	b.p.out.off = len(b.p.out.Bytes())
}

func (b *books) handled(frames uint64) {
	b.Helper()
	if err := b.p.out.handledUpTo(frames); err != nil {
		b.Fatal(err)
	}
}

func (b *books) stands(t guestwire.Type, object, event uint32) {
	b.Helper()
	body := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, object), event)
	if err := b.p.stands(t, body); err != nil {
		b.Fatal(err)
	}
}

// slot marks as a process does that begins an event which has waited.
func (b *books) slot(n int, object, event uint32) {
	at := b.p.out.marks.page[slotsAt+n*slotBytes:]
	binary.LittleEndian.PutUint32(at, object)
	binary.LittleEndian.PutUint32(at[4:], event)
}

func (b *books) want(what string, got []guest.Event, want ...string) {
	b.Helper()
	var lines []string
	for _, e := range got {
		lines = append(lines, fmt.Sprintf("%d %s/%d", e.Number, e.Payload, e.Size))
	}
	if !slices.Equal(lines, want) {
		b.Errorf("%s: got %q, want %q", what, lines, want)
	}
}

// TestWhatAnEndedInstanceHadNotBegun: what waits in the process, and what has not
// been handled; and the process's death does not bring it back.
func TestWhatAnEndedInstanceHadNotBegun(t *testing.T) {
	b := openBooks(t)
	b.say(1, "a", "b", "c", "d", "e")
	b.ledger.Begun(2)
	b.handled(4) // the hello, a, b, c
	b.want("unbegun", b.ledger.Close(), "103 c/0", "104 d/0", "105 e/0")
	b.want("again", b.ledger.Close())
	begun, unbegun := b.p.out.remains()
	b.want("begun", begun)
	b.want("not begun", unbegun)
}

// TestWhatADeadProcessLeaves sorts events by how far each had come.
func TestWhatADeadProcessLeaves(t *testing.T) {
	b := openBooks(t)
	b.say(1, "over", "lasts", "had waited", "waits", "marked", "unmarked")
	b.stands(guestwire.Lasting, 1, 2)
	b.ledger.Begun(2)
	b.handled(5) // up to waits
	b.slot(7, 1, 3)
	binary.LittleEndian.PutUint64(b.p.out.marks.page, 6)
	begun, unbegun := b.p.out.remains()
	b.want("begun", begun, "102 /5", "103 had waited/0", "105 marked/0")
	b.want("not begun", unbegun, "104 waits/0", "106 unmarked/0")
	b.want("after it", b.ledger.Close())
}

// TestEventsThatLast are forgotten when they are over, also those that had waited.
func TestEventsThatLast(t *testing.T) {
	b := openBooks(t)
	b.say(1, "a", "b", "c")
	b.stands(guestwire.Lasting, 1, 1)
	b.ledger.Begun(1)
	b.handled(4)
	b.stands(guestwire.Lasting, 1, 2)
	b.ledger.Begun(2)
	b.stands(guestwire.Over, 1, 1)
	b.stands(guestwire.Lasting, 9, 1) // of nobody
	begun, unbegun := b.p.out.remains()
	b.want("begun", begun, "102 /1")
	b.want("not begun", unbegun, "103 c/0")
}

// TestWhatWentFirst: events whose frames the process has taken out of their turn. Of one
// that is over, as it has told, nothing is lost.
func TestWhatWentFirst(t *testing.T) {
	b := openBooks(t)
	b.say(1, "over", "lasts", "marked", "went first", "neither")
	b.stands(guestwire.Lasting, 1, 2)
	b.ledger.Begun(2)
	binary.LittleEndian.PutUint64(b.p.out.marks.page, 4)
	b.slot(0, 1, 4)
	b.p.out.marks.page[crowdedAt] = 1 // of no frame that has not been handled
	begun, unbegun := b.p.out.remains()
	b.want("begun", begun, "102 lasts/0", "103 marked/0", "104 went first/0")
	b.want("not begun", unbegun, "105 neither/0")
}

// TestCrowdedMarks: without a place for the mark nothing that waited is said twice.
func TestCrowdedMarks(t *testing.T) {
	b := openBooks(t)
	b.say(1, "a", "b")
	b.handled(3)
	b.p.out.marks.page[crowdedAt] = 1
	begun, unbegun := b.p.out.remains()
	b.want("begun", begun, "101 a/0", "102 b/0")
	b.want("not begun", unbegun)
}

// TestNotesAreBounded by what has not been handled.
func TestNotesAreBounded(t *testing.T) {
	b := openBooks(t)
	n := uint32(0)
	for range 100_000 {
		n++
		b.say(n, "x")
		b.ledger.Begun(n)
		if n > 10 {
			b.handled(uint64(n + 1 - 10))
		}
	}
	if c := cap(b.p.out.events); c > 4*keepEvents {
		t.Errorf("%d notes are held for 10 events", c)
	}
}
