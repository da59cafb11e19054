package goguest

import (
	"bytes"
	"unsafe"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// batch is what one instance says, in order, on its way to the loop. It is
// filled under the instance's lock, handed over, and applied on the loop.
type batch struct {
	from  *instance
	ops   []op
	bytes []byte              // of payloads
	ids   []dormouse.SocketID // of broadcasts
	do    []func()            // to be done on the loop
	began int                 // the first op of the event that runs
	mark  int                 // the op that will be the commit; negative: nothing was written
}

// op is one thing that an instance says.
//
// It has no pointers, so that the collector has nothing to do with the many.
type op struct {
	kind     opKind
	text     bool
	from, to uint32 // in bytes: the payload; in do: what is done
	sockets  uint32 // of a broadcast: where they begin in ids
	count    uint32
	socket   dormouse.SocketID
}

type opKind uint8

const (
	opNothing opKind = iota
	opSend
	opBroadcast
	opProgress // from, to and count are Started, Finished and Tasks
	opDo       // unless the instance has ended meanwhile
	opAlways   // also then: the instance's own life
)

// Bounds of a batch. A longer one is handed over in the middle of a run.
const (
	batchOps   = 256
	batchBytes = 64 << 10
)

func (b *batch) full() bool { return len(b.ops) >= batchOps || len(b.bytes) >= batchBytes }

// send adds a message. The same message to another socket, in the same event,
// makes a broadcast of both.
func (b *batch) send(s dormouse.SocketID, text bool, payload []byte) {
	if n := len(b.ops); n > b.began && n-1 > b.mark {
		last := &b.ops[n-1]
		same := last.kind == opSend || last.kind == opBroadcast
		if same && last.text == text && last.socket != s && bytes.Equal(b.bytes[last.from:last.to], payload) {
			b.join(last, s)
			return
		}
	}
	from := uint32(len(b.bytes))
	b.bytes = append(b.bytes, payload...)
	b.ops = append(b.ops, op{kind: opSend, text: text, socket: s, from: from, to: uint32(len(b.bytes))})
}

// join makes last, which is the last op, go to s as well.
func (b *batch) join(last *op, s dormouse.SocketID) {
	if last.kind == opSend {
		last.kind, last.sockets, last.count = opBroadcast, uint32(len(b.ids)), 1
		b.ids = append(b.ids, last.socket)
	}
	b.ids = append(b.ids, s)
	last.count++
	last.socket = s
}

// later adds something to be done on the loop, unless the instance has ended by
// then.
func (b *batch) later(f func()) { b.ops = append(b.ops, b.doing(opDo, f)) }

// always adds what is done even then.
func (b *batch) always(f func()) { b.ops = append(b.ops, b.doing(opAlways, f)) }

func (b *batch) doing(k opKind, f func()) op {
	b.do = append(b.do, f)
	return op{kind: k, from: uint32(len(b.do) - 1)}
}

// written notes that what follows waits for a commit.
func (b *batch) written() {
	if b.mark < 0 {
		b.mark = len(b.ops)
		b.ops = append(b.ops, op{})
	}
}

// committed says the commit in front of what followed the write.
func (b *batch) committed(say func()) {
	if b.mark >= 0 {
		b.ops[b.mark] = b.doing(opDo, say)
		b.mark = -1
	}
}

// undo forgets what followed the write.
func (b *batch) undo() {
	if b.mark >= 0 {
		b.ops = b.ops[:b.mark]
		b.mark = -1
	}
}

// apply says everything to the host. On the loop.
func (g *Guest) applyBatch(b *batch) {
	for i := 0; i < len(b.ops); i++ {
		o := &b.ops[i]
		if b.from != nil && b.from.gone && o.kind != opAlways {
			continue
		}
		switch o.kind {
		case opSend:
			n := b.run(i)
			if n == 1 {
				g.host.Send(g, o.socket, o.text, b.bytes[o.from:o.to])
				continue
			}
			g.saying = sends{b.ops[i : i+n], b.bytes}
			g.host.SendAll(g, o.socket, &g.saying)
			g.saying = sends{}
			i += n - 1
		case opBroadcast:
			g.host.Broadcast(g, sockets(b.ids[o.sockets:o.sockets+o.count]), o.text, b.bytes[o.from:o.to])
		case opProgress:
			g.host.Progress(g, b.from.num, guest.Progress{Started: o.from, Finished: o.to, Tasks: o.count})
		case opDo, opAlways:
			b.do[o.from]()
		}
	}
}

// run is how many messages for one socket begin with the op at i.
func (b *batch) run(i int) int {
	n := 1
	for ; i+n < len(b.ops); n++ {
		if o := &b.ops[i+n]; o.kind != opSend || o.socket != b.ops[i].socket {
			break
		}
	}
	return n
}

// sends are messages for one socket, in place.
type sends struct {
	ops   []op
	bytes []byte
}

// Len and At implement guest.Messages.
func (s *sends) Len() int { return len(s.ops) }
func (s *sends) At(i int) (text bool, payload []byte) {
	o := &s.ops[i]
	return o.text, s.bytes[o.from:o.to]
}

// sockets is a list in place.
type sockets []dormouse.SocketID

func (s sockets) Len() int                   { return len(s) }
func (s sockets) At(i int) dormouse.SocketID { return s[i] }

// textBytes is a string as bytes that nobody writes to.
func textBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
