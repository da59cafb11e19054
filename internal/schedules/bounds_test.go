package schedules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wspipe"
)

// holder is the recipient of a set: an object whose guest hears everything at
// once.
type holder struct {
	hibernation.Recipient
	set  *hibernation.Set
	ends int
}

func (h *holder) Closed(s dormouse.SocketID, _ guest.Closing) {
	h.ends++
	h.set.Ended(s)
}
func (h *holder) Open() bool { return true }
func (h *holder) Emptied()   {}

// crowd is one object with n connected clients, with tags and attachments. Use
// it on its loop.
type crowd struct {
	*holder
	reg     *hibernation.Registry
	clients []*wspipe.End
}

func newCrowd(t *testing.T, n, attachment int) (*loop.Loop, *crowd) {
	l := loop.NewPortable()
	transport := wspipe.New(l)
	c := &crowd{holder: &holder{}}
	c.reg = hibernation.New(hibernation.Config{
		Loop: l, Transport: transport, AutoReply: true, MaxSockets: dormouse.MaxSocketsPerObject,
		Home: func(uint32) *hibernation.Registry { return nil },
	})
	l.Start()
	l.Call(func() {
		c.set = c.reg.NewSet(c.holder, true)
		for i := range n {
			id := dormouse.SocketID(1<<32 + 2*i)
			if err := c.reg.Accept(c.set, id, []string{"all", fmt.Sprint("user ", i)}); err != nil {
				t.Errorf("socket %d: %v", i, err)
				return
			}
			near, far := wspipe.Pipe()
			if err := c.reg.Attach(id.Peer(), far, nil, ws.Options{}); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			c.reg.SetAttachment(id, make([]byte, attachment))
			c.clients = append(c.clients, near)
		}
	})
	return l, c
}

// TestMostSockets: as many sockets as an object may have, and not one more; and
// their table travels whole, in parts.
func TestMostSockets(t *testing.T) {
	const attachment = 64
	l, c := newCrowd(t, dormouse.MaxSocketsPerObject, attachment)
	defer l.Stop()
	var w guestwire.Writer
	l.Call(func() {
		if err := c.reg.Accept(c.set, 1<<33, nil); !errors.Is(err, hibernation.ErrTooMany) {
			t.Errorf("one socket too many: %v, want %v", err, hibernation.ErrTooMany)
		}
		if n := c.reg.Counts().Sockets; n != dormouse.MaxSocketsPerObject {
			t.Errorf("the registry holds %d sockets, want %d", n, dormouse.MaxSocketsPerObject)
		}
		w.Start(&guest.Activation{Object: 7, Sockets: c.set.Table()})
	})
	frames, rows := 0, 0
	for b := w.Bytes(); len(b) > 0; frames++ {
		kind, body, rest, ok, err := guestwire.Next(b)
		if !ok || err != nil {
			t.Fatalf("frame %d: %v", frames, err)
		}
		b = rest
		if frames == 0 {
			if n := binary.LittleEndian.Uint32(body[len(body)-4:]); kind != guestwire.Start || n != dormouse.MaxSocketsPerObject {
				t.Fatalf("begins with frame 0x%x for %d sockets", kind, n)
			}
			continue
		}
		rows += readRows(t, body, rows, attachment)
	}
	if rows != dormouse.MaxSocketsPerObject || frames < 3 {
		t.Errorf("%d rows in %d frames, want %d in more than one part", rows, frames-1, dormouse.MaxSocketsPerObject)
	}
}

// readRows checks a part of the table of newCrowd, from the given row on, and
// returns how many rows it has.
func readRows(t *testing.T, b []byte, first, attachment int) int {
	t.Helper()
	take := func(n int) []byte {
		if n > len(b) {
			t.Fatalf("a part of the table ends within a row")
		}
		v := b[:n]
		b = b[n:]
		return v
	}
	str := func() string { return string(take(int(binary.LittleEndian.Uint32(take(4))))) }
	if o := binary.LittleEndian.Uint32(take(4)); o != 7 {
		t.Fatalf("a part of the table of object %d, want 7", o)
	}
	n := int(binary.LittleEndian.Uint16(take(2)))
	for i := first; i < first+n; i++ {
		if id := binary.LittleEndian.Uint64(take(8)); id != uint64(1<<32+2*i) {
			t.Fatalf("row %d is socket %d", i, id)
		}
		take(1 + 8) // flags, stamp
		if tags := take(1)[0]; tags != 2 {
			t.Fatalf("row %d has %d tags", i, tags)
		}
		if a, b := str(), str(); a != "all" || b != fmt.Sprint("user ", i) {
			t.Fatalf("row %d has the tags %q and %q", i, a, b)
		}
		str() // protocol
		str() // extensions
		if has := take(1)[0]; has != 1 {
			t.Fatalf("row %d has no attachment", i)
		}
		if a := str(); len(a) != attachment {
			t.Fatalf("row %d has an attachment of %d bytes", i, len(a))
		}
	}
	if len(b) > 0 {
		t.Fatalf("%d bytes behind the last row", len(b))
	}
	return n
}

// TestAttachmentsAreFreed when the close handler has run.
func TestAttachmentsAreFreed(t *testing.T) {
	const sockets, attachment = 2000, 16 << 10
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	l, c := newCrowd(t, sockets, attachment)
	defer l.Stop()
	before := heap()
	for _, e := range c.clients {
		e.Close()
	}
	for ended := 0; ended < sockets; {
		if !l.Call(func() { ended = c.ends }) {
			t.Fatal("the loop has stopped")
		}
		runtime.Gosched()
	}
	l.Call(func() {
		if n := c.reg.Counts().Sockets; n != 0 {
			t.Errorf("the registry holds %d sockets", n)
		}
	})
	const want = sockets * attachment * 9 / 10
	if freed := before - heap(); freed < want {
		t.Errorf("%d bytes are free that were not, want at least %d", freed, want)
	}
	runtime.KeepAlive(c)
}
