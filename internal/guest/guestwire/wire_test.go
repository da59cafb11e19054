package guestwire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire/wiretest"
)

func TestNextWaitsForTheWholeFrame(t *testing.T) {
	var w guestwire.Writer
	w.Message(2, true, []byte("hello"))
	w.Why(1, 2)
	b := w.Bytes()
	first := guestwire.Need(b)
	for n := range first {
		if _, _, rest, ok, err := guestwire.Next(b[:n]); ok || err != nil || len(rest) != n {
			t.Fatalf("with %d of %d bytes: ok %v, %d left, %v", n, first, ok, len(rest), err)
		}
	}
	typ, body, rest, ok, err := guestwire.Next(b)
	if typ != guestwire.Message || !ok || err != nil || len(body) != first-5 || len(rest) != len(b)-first {
		t.Fatalf("got type %#x, %d bytes, %d left, %v, %v", typ, len(body), len(rest), ok, err)
	}
	if cap(body) > len(body)+len(rest) {
		t.Error("the body reaches past the buffer")
	}
}

func TestNextRefusesImpossibleLengthsAtOnce(t *testing.T) {
	for _, n := range []uint32{0, guestwire.MaxFrame + 1, math.MaxInt32, math.MaxUint32} {
		head := binary.LittleEndian.AppendUint32(nil, n)
		if _, _, _, ok, err := guestwire.Next(append(head, 0x45)); ok || err == nil {
			t.Errorf("a frame of %d bytes: ok %v, %v", n, ok, err)
		}
	}
	head := binary.LittleEndian.AppendUint32(nil, guestwire.MaxFrame)
	if _, _, _, ok, err := guestwire.Next(append(head, 0x45)); ok || err != nil {
		t.Errorf("the largest frame, not whole yet: ok %v, %v", ok, err)
	}
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want int
	}{
		{nil, 5},
		{[]byte{1, 0}, 5},
		{[]byte{1, 0, 0, 0}, 5},
		{[]byte{9, 0, 0, 0, 4}, 13},
		{[]byte{255, 255, 255, 255}, 4 + guestwire.MaxFrame},
	} {
		if got := guestwire.Need(c.b); got != c.want {
			t.Errorf("need of %x: got %d, want %d", c.b, got, c.want)
		}
	}
}

// collector keeps the activations that a guest gets.
type collector struct {
	rewriter
	got []guest.Activation
}

func (c *collector) Start(a guest.Activation) { c.got = append(c.got, a) }

// TestLargeTablesTravelInPieces sends the largest table there may be: it has to
// arrive whole, in order, in frames that hold nobody up.
func TestLargeTablesTravelInPieces(t *testing.T) {
	a := guest.Activation{Object: 7, Name: "lobby", HasName: true, Pair: &guest.Pair{Request: "a", Response: "b"}, EventTimeout: time.Minute}
	for i := range dormouse.MaxSocketsPerObject {
		s := guest.Socket{ID: dormouse.SocketID(2 * i), Tags: []string{fmt.Sprint("t", i)}}
		if i%100 == 0 {
			s.Attachment = bytes.Repeat([]byte{byte(i)}, 16<<10)
		}
		a.Sockets = append(a.Sockets, s)
	}
	var w guestwire.Writer
	w.Start(&a)
	for b := w.Bytes(); len(b) > 0; {
		_, body, rest, ok, err := guestwire.Next(b)
		if !ok || err != nil {
			t.Fatal("the table is not made of whole frames:", err)
		}
		if len(body) > 300<<10 {
			t.Errorf("a frame of %d bytes in a table", len(body))
		}
		b = rest
	}
	c := new(collector)
	d := wiretest.Decoder{To: c}
	if rest, err := d.Feed(w.Bytes()); err != nil || len(rest) > 0 || len(c.got) != 1 {
		t.Fatalf("%d activations, %d bytes left, %v", len(c.got), len(rest), err)
	}
	if got := c.got[0]; len(got.Sockets) != len(a.Sockets) || !reflect.DeepEqual(got.Sockets[32700], a.Sockets[32700]) {
		t.Errorf("got %d sockets, want %d; one is %+v, want %+v", len(got.Sockets), len(a.Sockets), got.Sockets[32700], a.Sockets[32700])
	}
}

func TestBodiesAreCutIntoChunks(t *testing.T) {
	for _, n := range []int{0, 1, guest.MaxChunk, guest.MaxChunk + 1, 3*guest.MaxChunk + 5} {
		var w guestwire.Writer
		p := bytes.Repeat([]byte("x"), n)
		w.Body(2, p)
		var sizes []int
		for b := w.Bytes(); len(b) > 0; {
			_, body, rest, ok, err := guestwire.Next(b)
			if !ok || err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(body)-4)
			b = rest
		}
		sum := 0
		for _, size := range sizes {
			sum += size
			if size > guest.MaxChunk || size == 0 {
				t.Errorf("a body of %d bytes has a chunk of %d", n, size)
			}
		}
		if sum != n {
			t.Errorf("a body of %d bytes travels as %d", n, sum)
		}
	}
}

// TestHeadersBeyondCounting: a list of more lines than a frame can count must
// not become a frame that ends the guest.
func TestHeadersBeyondCounting(t *testing.T) {
	var w guestwire.Writer
	w.Response(2, &guest.Response{Header: make([]guest.Header, 70_000)})
	typ, body, _, ok, err := guestwire.Next(w.Bytes())
	if !ok || err != nil {
		t.Fatal(err)
	}
	if err := guestwire.Dispatch(rewriter{}, wiretest.Encoder{Out: func([]byte) {}}, typ, body); err != nil {
		t.Error(err)
	}
}

func TestChunksPastTheLimitAreRefused(t *testing.T) {
	body := binary.LittleEndian.AppendUint32(nil, 2)
	body = append(body, make([]byte, guest.MaxChunk+1)...)
	h := wiretest.Encoder{Out: func([]byte) { t.Error("it was said to the host") }}
	if err := guestwire.Dispatch(rewriter{}, h, guestwire.Body, body); err == nil {
		t.Error("a chunk of 64 KiB and a byte was read")
	}
}

func TestReadReady(t *testing.T) {
	for _, l := range corpus(t, "good.hex") {
		r, err := guestwire.ReadReady(l.t, l.body)
		switch l.name {
		case "ready":
			if err != nil {
				t.Fatal(err)
			}
			if r.Node != "26.10.0" || r.SQLite != "3.53.4" || r.PID != 123 || !r.Worker.Fetch ||
				len(r.Classes) != 1 || r.Classes[0].Name != "Room" || !r.Classes[0].RPC || !r.Classes[0].Alarm {
				t.Errorf("got %+v", r)
			}
		case "unfit":
			if e, ok := errors.AsType[*dormouse.Error](err); !ok || e.Name != "SyntaxError" || e.Message != "Unexpected token" {
				t.Errorf("got %v", err)
			}
		default:
			if err == nil {
				t.Errorf("%s was taken for a first frame", l.name)
			}
		}
	}
	other := append([]byte{2, 0}, "{}"...)
	if _, err := guestwire.ReadReady(guestwire.Ready, other); err == nil || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("another version: %v; want an error that names both", err)
	}
}

// TestTimesThatAreNone pins what becomes of times that no clock shows.
func TestTimesThatAreNone(t *testing.T) {
	for _, ms := range []float64{0, math.Copysign(0, -1), -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300} {
		if got := guestwire.FromMillis(ms); !got.IsZero() {
			t.Errorf("%v ms: got %v, want no time", ms, got)
		}
	}
	for _, ms := range []float64{1, 0.25, 1795305600123.5, 253402300799999} {
		if got := guestwire.Millis(guestwire.FromMillis(ms)); got != ms {
			t.Errorf("%v ms: came back as %v", ms, got)
		}
	}
	if got := guestwire.Millis(time.Time{}); got != 0 {
		t.Errorf("no time: got %v ms, want 0", got)
	}
}

// alarms keeps what is said of alarms.
type alarms struct {
	wiretest.Encoder
	at []time.Time
}

func (a *alarms) SetAlarm(_ guest.Guest, _ guest.Object, at time.Time, _ bool) {
	a.at = append(a.at, at)
}

// TestAlarmsInTheFarFutureAreAlarms: an alarm after the year 9999 is possible in
// JavaScript, and must not be taken for none.
func TestAlarmsInTheFarFutureAreAlarms(t *testing.T) {
	body := append([]byte{1, 0, 0, 0, 1}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(8.64e15))...)
	h := new(alarms)
	if err := guestwire.Dispatch(rewriter{}, h, guestwire.SetAlarm, append(body, 0)); err != nil {
		t.Fatal(err)
	}
	if len(h.at) != 1 || h.at[0].Year() < 9999 {
		t.Errorf("got %v, want a time after all others", h.at)
	}
}

// TestWriterKeepsNoLargeBuffer: one large message must not cost its memory for ever.
func TestWriterKeepsNoLargeBuffer(t *testing.T) {
	var w guestwire.Writer
	w.Message(2, false, make([]byte, 8<<20))
	w.Reset(1 << 20)
	if n := cap(w.Bytes()); n > 1<<20 {
		t.Errorf("%d bytes are kept", n)
	}
	w.Message(2, false, []byte("abc"))
	w.Why(1, 2)
	whole := slices.Clone(w.Bytes())
	w.Consume(7)
	if !bytes.Equal(w.Bytes(), whole[7:]) {
		t.Errorf("after 7 bytes: got %x, want %x", w.Bytes(), whole[7:])
	}
}

func BenchmarkDispatchSend(b *testing.B) {
	var frame []byte
	wiretest.Encoder{Out: func(p []byte) { frame = p }}.Send(nil, 2, true, make([]byte, 64))
	typ, body, _, _, _ := guestwire.Next(frame)
	h := nobody{}
	b.ReportAllocs()
	for b.Loop() {
		if err := guestwire.Dispatch(rewriter{}, h, typ, body); err != nil {
			b.Fatal(err)
		}
	}
}

// nobody is a host that does nothing with a message.
type nobody struct{ guest.Host }

func (nobody) Send(guest.Guest, dormouse.SocketID, bool, []byte)  {}
func (nobody) Progress(guest.Guest, guest.Object, guest.Progress) {}

// TestHotFramesAllocateNothing is a budget: 0 measured, 2026-11-22. If it trips,
// something on the path of each message has begun to escape.
func TestHotFramesAllocateNothing(t *testing.T) {
	var frames [][]byte
	e := wiretest.Encoder{Out: func(p []byte) { frames = append(frames, p) }}
	e.Send(nil, 2, true, make([]byte, 64))
	e.Progress(nil, 1, guest.Progress{Started: 1})
	var g guest.Guest = rewriter{}
	var h guest.Host = nobody{}
	for _, f := range frames {
		typ, body, _, _, _ := guestwire.Next(f)
		if n := testing.AllocsPerRun(100, func() { guestwire.Dispatch(g, h, typ, body) }); n > 0 {
			t.Errorf("frame 0x%02x: %v allocations, want none", uint8(typ), n)
		}
	}
	var w guestwire.Writer
	w.Message(2, true, make([]byte, 4096))
	if n := testing.AllocsPerRun(100, func() {
		w.Reset(1 << 20)
		w.Message(2, true, make([]byte, 64))
	}); n > 0 {
		t.Errorf("writing a message: %v allocations, want none", n)
	}
}

// FuzzDispatch: whatever a guest says, we read it or refuse it; we do not panic,
// and numbers that it makes up do not cost memory that it did not send.
func FuzzDispatch(f *testing.F) {
	for _, file := range []string{"good.hex", "bad.hex"} {
		for _, l := range corpus(f, file) {
			f.Add(uint8(l.t), l.body)
		}
	}
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		again := 0
		err := guestwire.Dispatch(rewriter{}, wiretest.Encoder{Out: func(b []byte) { again += len(b) }}, guestwire.Type(typ), body)
		guestwire.ReadReady(guestwire.Type(typ), body)
		runtime.ReadMemStats(&after)
		if err == nil && again > len(body)+64 {
			t.Errorf("a frame of %d bytes was read as one of %d", len(body), again)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > uint64(64*len(body)+64<<10) {
			t.Errorf("a frame of %d bytes cost %d", len(body), spent)
		}
	})
}

// FuzzNext: a stream is cut into frames, whatever it is made of.
func FuzzNext(f *testing.F) {
	for _, l := range corpus(f, "good.hex") {
		f.Add(l.frame())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for range len(b) + 1 {
			_, body, rest, ok, err := guestwire.Next(b)
			if err != nil || !ok {
				return
			}
			if len(body)+5+len(rest) != len(b) {
				t.Fatalf("%d bytes became %d and %d", len(b), len(body), len(rest))
			}
			b = rest
		}
		t.Fatal("Next does not end")
	})
}

// FuzzGuestBank: the guest's bank, and so this test's own tools, read or refuse
// everything too.
func FuzzGuestBank(f *testing.F) {
	for _, l := range corpus(f, "good.hex") {
		f.Add(l.frame())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wiretest.Decoder{To: rewriter{new(guestwire.Writer)}}
		d.Feed(b)
	})
}
