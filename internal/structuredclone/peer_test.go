package structuredclone_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	. "github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// peer is a Node that reads and writes values.
type peer struct {
	in  io.Writer
	out *bufio.Reader
	n   int // questions asked
}

// start runs testdata/peer.ts, or skips the test if there is no Node.
func start(t testing.TB) *peer {
	t.Helper()
	node, err := runtimes.FindNode()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(node, "--disable-warning=ExperimentalWarning", "testdata/peer.ts")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other side: %v\n%s", err, complaints.String())
		}
	})
	return &peer{in: in, out: bufio.NewReader(out)}
}

// copy has JavaScript read a value and write it again.
func (p *peer) copy(t testing.TB, b []byte) (again []byte, refused string) {
	t.Helper()
	p.n++
	if _, err := fmt.Fprintf(p.in, "%d %x\n", p.n, b); err != nil {
		t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSpace(line)
	number, line, _ := strings.Cut(line, " ")
	if number != fmt.Sprint(p.n) {
		t.Fatalf("answer %s to question %d", number, p.n)
	}
	if why, bad := strings.CutPrefix(line, "!"); bad {
		return nil, why
	}
	again, err = hex.DecodeString(line)
	if err != nil {
		t.Fatal(err)
	}
	return again, ""
}

// TestJavaScriptReadsWhatGoWrites makes values, has JavaScript read and write
// them, and reads them back.
func TestJavaScriptReadsWhatGoWrites(t *testing.T) {
	p := start(t)
	for seed := range uint64(2000) {
		m := &maker{r: rand.New(rand.NewPCG(seed, 1))}
		v := m.value(0)
		b, err := Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		again, refused := p.copy(t, b)
		if refused != "" {
			t.Fatalf("seed %d: JavaScript refuses %x: %s", seed, b, refused)
		}
		w, err := Decode(again)
		if err != nil {
			t.Fatalf("seed %d: %x came back as %x: %v", seed, b, again, err)
		}
		c, err := Encode(w)
		if err != nil {
			t.Fatal(err)
		}
		if string(c) != string(b) {
			t.Fatalf("seed %d:\nsent %x\ngot  %x", seed, b, c)
		}
	}
}

// TestGoRefusesWhatJavaScriptRefuses changes bytes of values. What both read is
// the same, and what V8 cannot read is not read here either.
func TestGoRefusesWhatJavaScriptRefuses(t *testing.T) {
	p := start(t)
	for seed := range uint64(3000) {
		m := &maker{r: rand.New(rand.NewPCG(seed, 2))}
		b, err := Encode(m.value(0))
		if err != nil {
			t.Fatal(err)
		}
		b[2+m.r.IntN(len(b)-2)] ^= byte(1 << m.r.IntN(8))
		again, refused := p.copy(t, b)
		v, err := Decode(b)
		if refused != "" || err != nil {
			// The pattern of a RegExp is not read here, and no memory is kept for a
			// resizable buffer.
			if refused != "" && err == nil && !bytes.ContainsAny(b, "R~") {
				t.Errorf("seed %d: %x is read, and JavaScript says: %s", seed, b, refused)
			}
			continue
		}
		w, err := Decode(again)
		if err != nil {
			t.Fatalf("seed %d: %x came back as %x: %v", seed, b, again, err)
		}
		if ours, theirs := normal(t, v), normal(t, w); string(ours) != string(theirs) {
			t.Errorf("seed %d: %x\nours   %x\ntheirs %x", seed, b, ours, theirs)
		}
	}
}

var (
	fuzzPeer *peer
	fuzzOnce sync.Once
)

// FuzzAgainstJavaScript asks Node about each input: both sides read the same.
func FuzzAgainstJavaScript(f *testing.F) {
	for _, b := range recorded(f) {
		f.Add(b)
	}
	fuzzOnce.Do(func() { fuzzPeer = start(f) })
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Decode(b)
		if err != nil || len(b) < 2 || b[0] != 0xff {
			return
		}
		again, refused := fuzzPeer.copy(t, b)
		if refused != "" {
			return
		}
		w, err := Decode(again)
		if err != nil {
			t.Fatalf("%x came back as %x: %v", b, again, err)
		}
		if ours, theirs := normal(t, v), normal(t, w); string(ours) != string(theirs) {
			t.Fatalf("%x\nours   %x\ntheirs %x", b, ours, theirs)
		}
	})
}

// maker makes values from random numbers: of every kind, nested, and with parts
// that come again.
type maker struct {
	r    *rand.Rand
	seen []Value
}

func (m *maker) value(depth int) Value {
	if len(m.seen) > 0 && m.r.IntN(10) == 0 {
		return m.seen[m.r.IntN(len(m.seen))]
	}
	kinds := 20
	if depth > 4 {
		kinds = 7
	}
	switch m.r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return Undefined{}
	case 2:
		return m.r.IntN(2) == 0
	case 3:
		return float64(int32(m.r.Uint32()) >> m.r.IntN(32))
	case 4:
		return m.double()
	case 5:
		return m.text()
	case 6:
		return m.bigInt()
	case 7:
		return &Date{float64(m.r.Int64N(1 << 42))}
	case 8:
		return &Boxed{[]Value{true, m.double(), m.text(), m.bigInt()}[m.r.IntN(4)]}
	case 9:
		return &RegExp{"a.b", uint32(m.r.IntN(8))}
	case 10, 11, 12:
		o := new(Object)
		m.seen = append(m.seen, o)
		o.Props = m.props(depth)
		return o
	case 13, 14:
		return m.array(depth)
	case 15:
		v := new(Map)
		m.seen = append(m.seen, v)
		for i := range m.r.IntN(4) {
			v.Entries = append(v.Entries, [2]Value{float64(i), m.value(depth + 1)})
		}
		return v
	case 16:
		v := new(Set)
		m.seen = append(m.seen, v)
		for i := range m.r.IntN(4) {
			v.Values = append(v.Values, float64(i))
		}
		return v
	case 17:
		return m.buffer()
	case 18:
		return m.view()
	}
	e := &Error{Name: []string{"Error", "TypeError", "Mine"}[m.r.IntN(3)], Message: m.text(), Stack: "as if from here"}
	if e.Message == "" {
		e.Message = "x" // an empty message is no own property
	}
	m.seen = append(m.seen, e)
	return e
}

func (m *maker) double() float64 {
	if f := math.Float64frombits(m.r.Uint64()); f == f {
		return f
	}
	return math.Inf(1)
}

func (m *maker) bigInt() *BigInt {
	b := &BigInt{Abs: make([]byte, m.r.IntN(20))}
	for i := range b.Abs {
		b.Abs[i] = byte(m.r.Uint32()) | 1
	}
	b.Negative = len(b.Abs) > 0 && m.r.IntN(2) == 0
	return b
}

func (m *maker) text() string {
	var b strings.Builder
	for range m.r.IntN(8) {
		b.WriteString([]string{"a", "é", "日", "😀", "\x00", "\xed\xa0\x81"}[m.r.IntN(6)])
	}
	s := b.String()
	return strings.ReplaceAll(s, "\xed\xa0\x81\xed\xa0\x81", "b")
}

func (m *maker) props(depth int) []Property {
	var list []Property
	if m.r.IntN(3) == 0 {
		list = append(list, Property{fmt.Sprint(m.r.IntN(1 << 20)), m.value(depth + 1)})
	}
	for i := range m.r.IntN(4) {
		list = append(list, Property{"k" + fmt.Sprint(i) + m.text(), m.value(depth + 1)})
	}
	return list
}

func (m *maker) array(depth int) Value {
	a := new(Array)
	m.seen = append(m.seen, a)
	if m.r.IntN(4) == 0 {
		a.Sparse, a.Length = true, 100000+uint32(m.r.IntN(1000))
		a.Props = []Property{{"7", m.value(depth + 1)}}
		return a
	}
	// The first is a text: an array of numbers alone is written in another way
	// when there are fractions in it.
	a.Elements = []Value{"first"}
	for range m.r.IntN(5) {
		a.Elements = append(a.Elements, m.value(depth+1))
	}
	a.Length = uint32(len(a.Elements))
	return a
}

func (m *maker) buffer() *Buffer {
	b := &Buffer{Data: make([]byte, 8*(1+m.r.IntN(3)))}
	m.seen = append(m.seen, b)
	for i := range b.Data {
		b.Data[i] = byte(m.r.Uint32())
	}
	if m.r.IntN(4) == 0 {
		b.Resizable, b.Max = true, 64
	}
	return b
}

func (m *maker) view() *View {
	kinds := []ViewKind{
		Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
		Float16Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView,
	}
	b := m.buffer()
	v := &View{Kind: kinds[m.r.IntN(len(kinds))], Buffer: b, Length: len(b.Data)}
	if b.Resizable {
		v.Flags = []uint32{2, 3}[m.r.IntN(2)]
	}
	m.seen = append(m.seen, v)
	return v
}
