package guestwire_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire/wiretest"
)

// line is a frame of the corpus.
type line struct {
	name string
	raw  bool // body is the whole frame, length and all
	t    guestwire.Type
	body []byte
	why  string // of bad ones
}

// frame is the line as it goes over the stream.
func (l *line) frame() []byte {
	if l.raw {
		return l.body
	}
	var frame []byte
	wiretest.Encoder{Out: func(b []byte) { frame = b }}.Raw(uint8(l.t), l.body)
	return frame
}

func (l *line) toGuest() bool {
	return l.t < guestwire.Response || l.t == guestwire.Trace || l.t == guestwire.Inspect || l.t == guestwire.Props || l.t == guestwire.Foreign || l.t == guestwire.Clock || l.t == guestwire.BeginSession || l.t >= guestwire.Database && l.t <= guestwire.CloseDatabase || l.t == guestwire.Past
}
func (l *line) peer() bool {
	return l.t >= guestwire.Response && l.t <= guestwire.Failure || l.t >= guestwire.SessionMessage && l.t <= guestwire.SessionFailure
}
func (l *line) toHost() bool { return l.t >= guestwire.Ready && !l.toGuest() && !l.peer() }
func (l *line) hello() bool  { return l.t == guestwire.Ready || l.t == guestwire.Unfit }

func corpus(t testing.TB, file string) []line {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []line
	seen := make(map[string]bool)
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		words := strings.Fields(s.Text())
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		l, err := parse(words)
		if err != nil || seen[l.name] {
			t.Fatalf("%s: bad or second line %q: %v", file, s.Text(), err)
		}
		seen[l.name] = true
		lines = append(lines, l)
	}
	if s.Err() != nil || len(lines) == 0 {
		t.Fatalf("%s: %d lines, %v", file, len(lines), s.Err())
	}
	return lines
}

func parse(words []string) (l line, err error) {
	if len(words) < 2 {
		return l, fmt.Errorf("%d words", len(words))
	}
	l.name, l.raw = words[0], words[1] == "raw"
	if !l.raw {
		t, err := strconv.ParseUint(words[1], 16, 8)
		if err != nil {
			return l, err
		}
		l.t = guestwire.Type(t)
	}
	if len(words) > 2 && words[2] != "-" {
		l.body, err = hex.DecodeString(words[2])
	}
	if len(words) > 3 {
		l.why = words[3]
	}
	return l, err
}

// rewriter is a guest that writes what it is told as frames again.
type rewriter struct{ *guestwire.Writer }

func (w rewriter) Start(a guest.Activation)                { w.Writer.Start(&a) }
func (w rewriter) Reset(o guest.Object, e *dormouse.Error) { w.ResetObject(o, e) }
func (w rewriter) Hello(n uint32, config []byte)           { w.Writer.Hello(n, config) }
func (w rewriter) Shutdown(d time.Duration)                { w.Writer.Shutdown(d) }
func (w rewriter) Backlog() int                            { return 0 }
func (w rewriter) Incarnation() uint32                     { return 0 }

// TestCorpusToTheGuest has the guest's bank read and ours write.
func TestCorpusToTheGuest(t *testing.T) {
	var w guestwire.Writer
	d := wiretest.Decoder{To: rewriter{&w}}
	var want []byte
	for _, l := range corpus(t, "good.hex") {
		if l.toHost() {
			continue
		}
		if err := d.Frame(uint8(l.t), l.body); err != nil {
			t.Fatalf("%s: %v", l.name, err)
		}
		want = append(want, l.frame()...)
		if !d.Whole() {
			continue // its table of sockets comes with the next line
		}
		if !bytes.Equal(w.Bytes(), want) {
			t.Errorf("%s: got  %x\nwant %x", l.name, w.Bytes(), want)
		}
		w.Reset(0)
		want = nil
	}
}

// TestCorpusToTheHost has ours read and the guest's bank write.
func TestCorpusToTheHost(t *testing.T) {
	for _, l := range corpus(t, "good.hex") {
		if l.toGuest() || l.hello() {
			continue
		}
		var got []byte
		h := wiretest.Encoder{Out: func(b []byte) { got = append(got, b...) }}
		if l.t == guestwire.Handled { // of the stream, not of the contract
			n, err := guestwire.ReadHandled(l.body)
			if err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			h.Raw(uint8(l.t), binary.LittleEndian.AppendUint64(nil, n))
		} else if l.t == guestwire.Inspecting {
			url, failure, err := guestwire.ReadInspecting(l.body)
			if err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			var b []byte
			for _, s := range []string{url, failure} {
				b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
			}
			h.Raw(uint8(l.t), b)
		} else if l.t == guestwire.Traced {
			context, err := guestwire.ReadTraced(l.body)
			if err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			h.Raw(uint8(l.t), []byte(context))
		} else if l.t == guestwire.Cause {
			session, n, err := guestwire.ReadCause(l.body)
			if err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			b := []byte{0}
			if session {
				b[0] = 1
			}
			h.Raw(uint8(l.t), binary.LittleEndian.AppendUint32(b, n))
		} else if l.t == guestwire.Direct {
			o, n, took, err := guestwire.ReadDirect(l.body)
			if err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(o)), n)
			h.Raw(uint8(l.t), binary.LittleEndian.AppendUint32(b, uint32(took.Microseconds())))
		} else if l.t == guestwire.Blame || l.t == guestwire.DirectCause || l.t == guestwire.Lasting || l.t == guestwire.Over {
			o, event, err := guestwire.ReadEventOf(l.t, l.body)
			if err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			b := binary.LittleEndian.AppendUint32(nil, uint32(o))
			h.Raw(uint8(l.t), binary.LittleEndian.AppendUint32(b, event))
		} else if l.t == guestwire.Waited {
			o, d, err := guestwire.ReadWaited(l.body)
			if err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
			b := binary.LittleEndian.AppendUint32(nil, uint32(o))
			h.Raw(uint8(l.t), binary.LittleEndian.AppendUint32(b, uint32(d.Microseconds())))
		} else if err := guestwire.Dispatch(rewriter{}, h, l.t, l.body); err != nil {
			t.Errorf("%s: %v", l.name, err)
			continue
		}
		if want := l.frame(); !bytes.Equal(got, want) {
			t.Errorf("%s: got  %x\nwant %x", l.name, got, want)
		}
	}
}

func TestCorpusOfBadFrames(t *testing.T) {
	for _, l := range corpus(t, "bad.hex") {
		if l.toHost() || l.peer() || l.why == "unknown" {
			if err := read(l.frame()); err == nil {
				t.Errorf("%s: the host's bank reads it", l.name)
			}
		}
		if l.toGuest() || l.peer() || l.why == "unknown" {
			d := wiretest.Decoder{To: rewriter{new(guestwire.Writer)}}
			if l.t == guestwire.Sockets { // of an activation that waits for one
				start(t, &d, 6, 1)
			}
			if _, err := d.Feed(l.frame()); err == nil {
				t.Errorf("%s: the guest's bank reads it", l.name)
			}
		}
	}
}

// start has d wait for the table of an object.
func start(t *testing.T, d *wiretest.Decoder, o guest.Object, rows int) {
	t.Helper()
	var w guestwire.Writer
	w.Start(&guest.Activation{Object: o, Sockets: make([]guest.Socket, rows)})
	head := 4 + int(w.Bytes()[0])
	if rest, err := d.Feed(w.Bytes()[:head]); err != nil || len(rest) > 0 || d.Whole() {
		t.Fatalf("start of object %d: %d bytes left, %v", o, len(rest), err)
	}
}

// read reads one whole frame as a host does. It returns nil if all of b is one.
func read(b []byte) error {
	typ, body, rest, ok, err := guestwire.Next(b)
	switch {
	case err != nil:
		return err
	case !ok || len(rest) > 0:
		return fmt.Errorf("not one frame")
	case typ == guestwire.Ready || typ == guestwire.Unfit:
		r, err := guestwire.ReadReady(typ, body)
		if _, ours := err.(*dormouse.Error); ours || r != nil {
			return nil // the author's error is a good frame
		}
		return err
	case typ == guestwire.Handled:
		_, err := guestwire.ReadHandled(body)
		return err
	case typ == guestwire.Inspecting:
		_, _, err := guestwire.ReadInspecting(body)
		return err
	case typ == guestwire.Traced:
		_, err := guestwire.ReadTraced(body)
		return err
	case typ == guestwire.Cause:
		_, _, err := guestwire.ReadCause(body)
		return err
	case typ == guestwire.Direct:
		_, _, _, err := guestwire.ReadDirect(body)
		return err
	case typ == guestwire.Blame || typ == guestwire.DirectCause || typ == guestwire.Lasting || typ == guestwire.Over:
		_, _, err := guestwire.ReadEventOf(typ, body)
		return err
	case typ == guestwire.Waited:
		_, _, err := guestwire.ReadWaited(body)
		return err
	}
	return guestwire.Dispatch(rewriter{}, wiretest.Encoder{Out: func([]byte) {}}, typ, body)
}
