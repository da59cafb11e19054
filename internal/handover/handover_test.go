package handover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// everything is a state in which each thing that can be said is said.
func everything() []*Object {
	key := func(n byte) dormouse.Key { return dormouse.Key{Namespace: "chat-Room", ID: dormouse.ID{n, 2, 3}} }
	frame := ws.AppendFrame(nil, ws.OpText, []byte("unsent"))
	return []*Object{
		{
			Key: key(1), Name: "lobby", HasName: true, Awake: true,
			Sockets: hibernation.SavedSet{
				Pair: &guest.Pair{Request: "ping", Response: "pong"}, EventTimeout: 1500 * time.Millisecond,
				Sockets: []hibernation.SavedSocket{
					{ID: 1<<32 + 2, Tags: []string{"a", ""}, Attachment: []byte{0xff, 0x0f}, Stamp: 1_700_000_000_000, Passed: 300, Client: new("192.0.2.1"), Conn: &ws.Saved{Descriptor: 10}},
					{ID: 1<<32 + 4, Attachment: []byte{}, WeClosed: true, Echoed: true, Patience: time.Second,
						Conn: &ws.Saved{Descriptor: 11, Closed: true, PeerClosed: true, Deflate: ws.DeflateParams{ServerBits: 9, ClientBits: 15}}},
					{ID: 1<<32 + 6, Conn: &ws.Saved{Descriptor: 12, Unsent: append([]byte("half a fr"), frame...), Begun: 9, Pong: []byte{0x8a, 0}}},
					{ID: 1<<32 + 8, Conn: &ws.Saved{Descriptor: 13, Partial: &ws.Partial{
						Message: ws.OpText, Compressed: true, Body: []byte("so far"),
						Frame: &ws.Frame{Op: ws.OpContinuation, Fin: true, Masked: true, Mask: [4]byte{1, 2, 3, 4}, Got: 3, Left: 4000},
					}}},
					{ID: 1<<32 + 10, Conn: &ws.Saved{Descriptor: 14, Partial: &ws.Partial{Head: []byte{0x81, 0xfe, 1}, Held: []byte("more")}}},
					{ID: 1<<32 + 12, Conn: &ws.Saved{Descriptor: 15, Partial: &ws.Partial{Frame: &ws.Frame{Op: ws.OpPing, Fin: true, Got: 2, Left: 3, Control: []byte("pi")}}}},
					{ID: 1<<32 + 14, PeerClosed: true, Ended: true},
					{ID: 1<<32 + 16, Relayed: true},
					{ID: 1<<32 + 18, Client: new(""), Conn: &ws.Saved{Descriptor: 16, Mute: true}},
				},
			},
			Mail: []guest.Event{
				{Socket: 1<<32 + 2, Kind: guest.MessageEvent, Text: true, Payload: []byte("hello")},
				{Socket: 1<<32 + 2, Kind: guest.MessageEvent},
				{Socket: 1<<32 + 14, Kind: guest.ClosedEvent, Closing: guest.Closing{Code: 1001, Reason: "bye", Clean: true, Ended: true}},
				{Socket: 1<<32 + 2, Kind: guest.ErroredEvent, Payload: []byte("broken")},
			},
		},
		{Key: key(2), Sockets: hibernation.SavedSet{Pair: &guest.Pair{}}},
	}
}

func alarms() []Alarm {
	k := dormouse.Key{Namespace: "chat-Room", ID: dormouse.ID{7}}
	return []Alarm{{k, storage.Wake{At: time.UnixMilli(1_800_000_000_123), Retry: 3}}, {k, storage.Wake{At: time.UnixMilli(-5)}}}
}

func encode(t testing.TB, objects []*Object, alarms ...Alarm) (b []byte, descriptors []int, total Total) {
	t.Helper()
	var out bytes.Buffer
	e := NewEncoder(&out, func(fd int) error { descriptors = append(descriptors, fd); return nil })
	for _, o := range objects {
		if err := e.Object(o); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range alarms {
		if err := e.Alarm(a); err != nil {
			t.Fatal(err)
		}
	}
	total, err := e.End()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), descriptors, total
}

// giver hands out descriptors in order.
func giver(list []int) func() (int, error) {
	return func() (int, error) {
		if len(list) == 0 {
			return 0, errors.New("no descriptor is left")
		}
		fd := list[0]
		list = list[1:]
		return fd, nil
	}
}

func TestStateComesBack(t *testing.T) {
	want := everything()
	b, descriptors, total := encode(t, want, alarms()...)
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "byte by byte": &dripping{b}} {
		got, have, err := Decode(r, giver(descriptors))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if have != total {
			t.Errorf("%s: totals %+v, want %+v", name, have, total)
		}
		if again, _, _ := encode(t, got.Objects, got.Alarms...); !bytes.Equal(again, b) {
			t.Errorf("%s: what was read is not written as it was", name)
		}
		for i := range want {
			if !reflect.DeepEqual(plain(got.Objects[i]), plain(want[i])) {
				t.Errorf("%s: object %d:\ngot  %s\nwant %s", name, i, plain(got.Objects[i]), plain(want[i]))
			}
		}
	}
	// Nothing of an object may be new without being here.
	golden := filepath.Join("testdata", "everything.state")
	if os.Getenv("UPDATE") != "" {
		os.WriteFile(golden, b, 0o644)
	}
	if kept, err := os.ReadFile(golden); err != nil || !bytes.Equal(kept, b) {
		t.Errorf("the state differs from %s (%v): a change of the format needs another Format", golden, err)
	}
}

// plain prints what empty and absent slices have in common.
func plain(o *Object) string {
	text := fmt.Sprintf("%+v %+v", *o, o.Sockets.Pair)
	for _, s := range o.Sockets.Sockets {
		if s.Client != nil {
			text += "\nclient " + *s.Client
		}
		if s.Conn != nil {
			text += fmt.Sprintf("\n%+v", *s.Conn)
			if q := s.Conn.Partial; q != nil {
				text += fmt.Sprintf(" %+v %+v", *q, q.Frame)
			}
		}
	}
	return pointers(text)
}

func pointers(s string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }) {
		if i := strings.Index(word, "0x"); i >= 0 {
			word = word[:i]
		}
		b.WriteString(word + " ")
	}
	return b.String()
}

type dripping struct{ b []byte }

func (d *dripping) Read(p []byte) (int, error) {
	if len(d.b) == 0 {
		return 0, io.EOF
	}
	p[0] = d.b[0]
	d.b = d.b[1:]
	return 1, nil
}

// TestDecodeRefuses: whatever is cut off or changed is noticed.
func TestDecodeRefuses(t *testing.T) {
	b, descriptors, _ := encode(t, everything())
	for n := range b {
		if _, _, err := Decode(bytes.NewReader(b[:n]), giver(descriptors)); err == nil {
			t.Fatalf("the first %d of %d bytes were read as a state", n, len(b))
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		c := bytes.Clone(b)
		c[rnd.IntN(len(c))] ^= 1 << rnd.IntN(8)
		if _, _, err := Decode(bytes.NewReader(c), giver(descriptors)); err == nil {
			t.Fatalf("a changed bit was not noticed")
		}
	}
	for name, change := range map[string]func([]*Object){
		"a socket twice": func(o []*Object) { o[1].Sockets.Sockets = o[0].Sockets.Sockets[:1] },
		"a connection that is over": func(o []*Object) {
			o[0].Sockets.Sockets[0].Ended = true
		},
		"unsent bytes that are no frames": func(o []*Object) {
			o[0].Sockets.Sockets[0].Conn.Unsent = []byte("GET / HTTP/1.1")
		},
	} {
		objects := everything()
		change(objects)
		c, descriptors, _ := encode(t, objects)
		if _, _, err := Decode(bytes.NewReader(c), giver(descriptors)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, _, err := Decode(bytes.NewReader(b), giver(descriptors[1:])); err == nil {
		t.Error("a state with a descriptor too few was read")
	}
}

func TestDecodeRefusesAnotherFormat(t *testing.T) {
	b, descriptors, _ := encode(t, nil)
	b[len(magic)]++
	_, _, err := Decode(bytes.NewReader(b), giver(descriptors))
	if err == nil || !strings.Contains(err.Error(), "format 2; this version reads 1 to 1") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	b, _, _ := encode(f, everything(), alarms()...)
	f.Add(b)
	empty, _, _ := encode(f, nil)
	f.Add(empty)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4 { // otherwise the checksum would let nothing through
			b = binary.LittleEndian.AppendUint32(bytes.Clone(b[:len(b)-4]), crc32.Checksum(b[:len(b)-4], checksum))
		}
		n := 0
		state, _, err := Decode(bytes.NewReader(b), func() (int, error) { n++; return n, nil })
		if err != nil {
			return
		}
		again, _, _ := encode(t, state.Objects, state.Alarms...)
		if second, _, err := Decode(bytes.NewReader(again), giver(make([]int, n))); err != nil || len(second.Objects) != len(state.Objects) {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}
