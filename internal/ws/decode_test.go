package ws

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// transcript decodes data, cut into pieces whose sizes come from cut, and says
// what it found, how it ended and how much the decoder kept.
func transcript(p *Pool, t Terms, data []byte, cut func() int) (found []string, kept int) {
	d := p.Decoder(t)
	defer p.Release(d)
	for len(data) > 0 {
		n := min(cut(), len(data))
		piece := bytes.Clone(data[:n])
		data = data[n:]
		for len(piece) > 0 {
			op, payload, n, err := d.Next(piece)
			kept = max(kept, cap(d.body), len(payload))
			if err != nil {
				return append(found, err.Error()), kept
			}
			if op != OpContinuation {
				found = append(found, fmt.Sprintf("%d %q", op, payload))
			}
			piece = piece[n:]
		}
	}
	return append(found, fmt.Sprint("idle: ", d.Idle())), kept
}

// FuzzDecoder: the cut of the input must not matter, nothing a peer sends may
// take more memory than it has sent or the limit allows, and nothing panics.
func FuzzDecoder(f *testing.F) {
	masked := func(first byte, payload string) []byte {
		b := []byte{first, 0x80 | byte(len(payload)), 1, 2, 3, 4}
		for i := range len(payload) {
			b = append(b, payload[i]^byte(i%4+1))
		}
		return b
	}
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	for _, seed := range [][]byte{
		masked(0x81, "text"),
		masked(0x82, "\xff\x00"),
		bytes.Join([][]byte{masked(0x01, "a\xce"), masked(0x89, "ping"), masked(0x80, "\xbab")}, nil),
		masked(0xC1, hello),
		bytes.Join([][]byte{masked(0x41, hello[:3]), masked(0x80, hello[3:])}, nil),
		masked(0x88, "\x03\xe8bye"),
		masked(0x83, ""),
		{0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5},
		{0x82, 0xFE, 0, 3, 1, 2, 3, 4, 5, 6, 7},
	} {
		f.Add(seed, uint8(1))
		f.Add(seed, uint8(77))
	}
	const limit = 4096
	f.Fuzz(func(t *testing.T, data []byte, seed uint8) {
		for _, terms := range []Terms{{MaxMessage: limit}, {MaxMessage: limit, Inflate: true}, {MaxMessage: limit, FromServer: true}} {
			var p Pool
			whole, kept := transcript(&p, terms, data, func() int { return len(data) })
			if most := max(2*len(data), 512, limit+1); kept > most {
				t.Errorf("the decoder kept %d bytes for an input of %d", kept, len(data))
			}
			x := uint32(seed)
			for name, cut := range map[string]func() int{
				"every byte": func() int { return 1 },
				"random":     func() int { x = x*1664525 + 1013904223; return 1 + int(x>>28) },
			} {
				if got, _ := transcript(&p, terms, data, cut); strings.Join(got, "\n") != strings.Join(whole, "\n") {
					t.Errorf("%s:\n%s\nwhole:\n%s", name, strings.Join(got, "\n"), strings.Join(whole, "\n"))
				}
			}
		}
	})
}

// FuzzInflate: the result is the standard library's, and never past the limit.
func FuzzInflate(f *testing.F) {
	for _, seed := range []string{
		"\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
		"\x00", "\x06\x00", "\xf2\x48\xcd", "\x03\x00\x03\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, 9)
	w.Write(make([]byte, 1<<20))
	w.Flush()
	f.Add(bomb.Bytes())
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Pool
		got, err := p.inflate(bytes.Clone(data), limit)
		if len(got) > limit+1 {
			t.Errorf("inflated %d bytes, past the limit of %d", len(got), limit)
		}
		want, wantErr := inflateStandard(data, limit)
		switch {
		case err != nil && wantErr == nil && len(want) <= limit:
			t.Errorf("got error %v, want %d bytes", err, len(want))
		case err == nil && !bytes.Equal(got, want):
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// inflateStandard is what inflate promises, said with the standard library.
func inflateStandard(data []byte, limit int) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	in := bytes.NewReader(append(bytes.Clone(data), inflateTail...))
	var out []byte
	for range maxStreams {
		r := flate.NewReaderDict(in, lastWindow(out))
		b, err := io.ReadAll(io.LimitReader(r, int64(limit+1-len(out))))
		out = append(out, b...)
		if err != nil || len(out) > limit {
			return out, err
		}
		if in.Len() <= len(inflateTail) {
			return out, nil
		}
	}
	return out, errors.New("too many streams")
}

// FuzzCompress: whatever the window, the other side gets the message back.
func FuzzCompress(f *testing.F) {
	f.Add([]byte("hello hello hello"), uint8(0))
	f.Add(bytes.Repeat([]byte("0123456789"), 5000), uint8(1))
	f.Add([]byte{}, uint8(7))
	var p Pool // one for all: a fresh deflater a time would be most of the work
	f.Fuzz(func(t *testing.T, data []byte, bits uint8) {
		out, shorter := p.compress(data, 8+bits%8)
		if shorter != (len(out) < len(data)) {
			t.Errorf("shorter is %t for %d bytes of %d", shorter, len(out), len(data))
		}
		back, err := p.inflate(bytes.Clone(out), len(data))
		if err != nil || !bytes.Equal(back, data) {
			t.Errorf("got %d bytes back, %v; want %d", len(back), err, len(data))
		}
	})
}

// FuzzUTF8: the checker agrees with the standard library however a text is cut,
// and refuses it at the first byte that no valid text could have there.
func FuzzUTF8(f *testing.F) {
	for _, s := range []string{"", "abc", "κόσμε", "\U0001F600", "\xed\xa0\x80", "\xf4\x90", "\xc0\x80", "a\x80", "\xe2\x82"} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var c utf8Checker
		ok, at := true, 0
		for n := 1 + int(step%8); at < len(data) && ok; {
			end := min(at+n, len(data))
			ok = c.write(data[at:end])
			at = end
			if ok != viable(data[:at]) {
				t.Fatalf("after %q the checker says %t", data[:at], ok)
			}
		}
		if got := ok && c.complete(); got != utf8.Valid(data) {
			t.Errorf("%q: got %t, want %t", data, got, utf8.Valid(data))
		}
	})
}

// viable reports whether some valid text begins with p: by trying.
func viable(p []byte) bool {
	if utf8.Valid(p) {
		return true
	}
	for _, a := range []string{"\x80", "\x90", "\x8f", "\x9f", "\xa0", "\xbf"} {
		for _, b := range []string{"", "\x80", "\x80\x80"} {
			if utf8.Valid(append(append(bytes.Clone(p), a...), b...)) {
				return true
			}
		}
	}
	return false
}

// TestBodyGrowsWithInput: a frame that announces much and brings little takes
// little.
func TestBodyGrowsWithInput(t *testing.T) {
	var p Pool
	d := p.Decoder(Terms{MaxMessage: DefaultMaxMessage})
	head := []byte{0x82, 0xFF, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0} // 32 MiB
	sent := 0
	for piece := head; sent < 1<<20; piece = make([]byte, 1000) {
		if _, _, _, err := d.Next(piece); err != nil {
			t.Fatal(err)
		}
		sent += len(piece)
		if c := cap(d.body); c > 2*sent+512 {
			t.Fatalf("%d bytes of memory for %d received", c, sent)
		}
	}
}

// TestPoolKeepsLittle: what was lent for large messages is not kept for ever.
func TestPoolKeepsLittle(t *testing.T) {
	var p Pool
	for range 2 * maxKeptDecoders {
		d := p.Decoder(Terms{MaxMessage: DefaultMaxMessage})
		d.Next([]byte{0x82, 0xFF, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0})
		d.Next(make([]byte, 4<<20-1))
		defer p.Release(d)
	}
	if _, err := p.inflate(bytes.Clone(deflateZeros(t, 8<<20)), 8<<20); err != nil {
		t.Fatal(err)
	}
	p.compress(bytes.Repeat([]byte("0123456789abcdef"), 1<<17), maxWindowBits)
	if n := cap(p.in) + cap(p.inflated) + p.deflated.Cap(); n > 3*maxKeptScratch {
		t.Errorf("%d bytes of scratch are kept", n)
	}
}

func deflateZeros(t *testing.T, n int) []byte {
	t.Helper()
	var p Pool
	out, _ := p.compress(make([]byte, n), maxWindowBits)
	return bytes.Clone(out)
}

// A maskedFrame is what a client sends for a small message.
func maskedFrame(op Opcode, payload []byte) []byte {
	b := AppendFrame(nil, op, payload)
	n := headerLen(len(payload))
	b[1] |= bitMask
	mask := []byte{1, 2, 3, 4}
	for i := range b[n:] {
		b[n+i] ^= mask[i%4]
	}
	return append(append(bytes.Clone(b[:n]), mask...), b[n:]...)
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	var p Pool
	source := maskedFrame(OpText, []byte("a small message"))
	in := make([]byte, len(source))
	got := testing.AllocsPerRun(1000, func() {
		copy(in, source)
		d := p.Decoder(Terms{MaxMessage: 1000})
		d.Next(in)
		p.Release(d)
	})
	if got != 0 {
		t.Errorf("%v allocations for a small message, want none", got)
	}
	half := testing.AllocsPerRun(1000, func() {
		copy(in, source)
		d := p.Decoder(Terms{MaxMessage: 1000})
		d.Next(in[:9])
		d.Next(in[9:])
		p.Release(d)
	})
	if half != 0 {
		t.Errorf("%v allocations for a small message in two parts, want none", half)
	}
}

// How long does a message take from bytes to a payload?
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{16, 125, 1024, 16384} {
		for _, op := range []Opcode{OpText, OpBinary} {
			b.Run(fmt.Sprintf("op%d/%d", op, n), func(b *testing.B) {
				var p Pool
				d := p.Decoder(Terms{MaxMessage: 1 << 20})
				source := maskedFrame(op, bytes.Repeat([]byte("a"), n))
				in := make([]byte, len(source))
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					copy(in, source)
					if got, _, _, err := d.Next(in); got != op || err != nil {
						b.Fatal(got, err)
					}
				}
			})
		}
	}
}

// What does compression cost the loop, each way?
func BenchmarkDeflate(b *testing.B) {
	text := bytes.Repeat([]byte(`{"type":"move","id":1234,"x":10.5,"y":-3.25},`), 400)
	for _, n := range []int{1024, 4096, 16384} {
		var p Pool
		b.Run(fmt.Sprintf("compress/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				p.compress(text[:n], maxWindowBits)
			}
		})
		short, _ := p.compress(text[:n], maxWindowBits)
		short = bytes.Clone(short)
		b.Run(fmt.Sprintf("inflate/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.inflate(short, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
