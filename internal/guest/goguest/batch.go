package goguest

import (
	"bytes"
	"unsafe"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
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
	began int                 // in bytes: the first of the event that runs
	mark  int                 // the op that will be the commit; negative: nothing was written
}

// op is one thing that an instance says.
//
// It has no pointers, so that the collector has nothing to do with the many.
type op struct {
	kind     opKind
	text     bool
	from, to uint32 // in bytes: the payload, or the frames; in do: what is done
	sockets  uint32 // of a broadcast: where they begin in ids
	last     uint32 // of a run: where its last frame begins in bytes
	count    uint32 // of a run: messages
	socket   dormouse.SocketID
}

type opKind uint8

const (
	opNothing opKind = iota
	opSend           // a long message
	opRun            // short ones, for one socket
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
	if n := len(b.ops); n > 0 && n-1 != b.mark {
		last := &b.ops[n-1]
		if last.kind == opRun && last.socket == s {
			if len(payload) <= brief.Max && int(last.to) == len(b.bytes) {
				last.last = last.to
				b.bytes = brief.Append(b.bytes, text, payload)
				last.to = uint32(len(b.bytes))
				last.count++
				return
			}
		} else if last.socket != s && b.said(last, text, payload) {
			b.join(s)
			return
		}
	}
	from := uint32(len(b.bytes))
	o := op{kind: opSend, text: text, socket: s, from: from, last: from}
	if len(payload) > brief.Max {
		b.bytes = append(b.bytes, payload...)
	} else {
		o.kind, o.count = opRun, 1
		b.bytes = brief.Append(b.bytes, text, payload)
	}
	o.to = uint32(len(b.bytes))
	b.ops = append(b.ops, o)
}

// said reports whether a message is what the event that runs has said last, with
// this op.
func (b *batch) said(last *op, text bool, payload []byte) bool {
	switch {
	case int(last.last) < b.began:
		return false
	case last.kind == opRun:
		was, p, _ := brief.Split(b.bytes[last.last:last.to])
		return was == text && bytes.Equal(p, payload)
	case last.kind == opSend || last.kind == opBroadcast:
		return last.text == text && bytes.Equal(b.bytes[last.from:last.to], payload)
	}
	return false
}

// join makes the last message go to s as well.
func (b *batch) join(s dormouse.SocketID) {
	last := &b.ops[len(b.ops)-1]
	if last.kind != opBroadcast {
		last = b.broadcast(last)
	}
	b.ids = append(b.ids, s)
	last.count++
	last.socket = s
}

// broadcast makes a broadcast, to one as yet, of the last message of the last op.
func (b *batch) broadcast(last *op) *op {
	o := op{
		kind: opBroadcast, text: last.text, from: last.from, to: last.to, last: last.last,
		sockets: uint32(len(b.ids)), count: 1, socket: last.socket,
	}
	b.ids = append(b.ids, last.socket)
	if last.kind == opRun {
		o.text, o.from = b.bytes[last.last] == brief.Text, last.last+brief.Header
		if last.count > 1 {
			last.to = last.last
			last.count--
			b.ops = append(b.ops, o)
			return &b.ops[len(b.ops)-1]
		}
	}
	*last = o
	return last
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
			g.host.Send(g, o.socket, o.text, b.bytes[o.from:o.to])
		case opRun:
			g.host.SendAll(g, o.socket, brief.Run{Frames: b.bytes[o.from:o.to], N: int(o.count)})
		case opBroadcast:
			g.host.Broadcast(g, sockets(b.ids[o.sockets:o.sockets+o.count]), o.text, b.bytes[o.from:o.to])
		case opProgress:
			g.host.Progress(g, b.from.num, guest.Progress{Started: o.from, Finished: o.to, Tasks: o.count})
		case opDo, opAlways:
			b.do[o.from]()
		}
	}
}

// sockets is a list in place.
type sockets []dormouse.SocketID

func (s sockets) Len() int                   { return len(s) }
func (s sockets) At(i int) dormouse.SocketID { return s[i] }

// textBytes is a string as bytes that nobody writes to.
func textBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
