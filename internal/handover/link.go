package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Link carries frames, and descriptors with them, between two processes. It is
// used by one goroutine at a time.
type Link struct {
	c    *net.UnixConn
	held []int // descriptors that have come and belong to no frame yet
	oob  []byte
}

// Kind says what a frame is.
type Kind uint8

// The frames, in the order in which they are said.
const (
	HelloFrame    Kind = 1 + iota // successor, then predecessor: a Hello as JSON
	FilesFrame                    // predecessor: names as JSON, a descriptor for each
	PreparedFrame                 // successor: it is ready to be given everything
	PieceFrame                    // predecessor: a piece of the state, with descriptors
	AckFrame                      // successor: it has a piece
	EndFrame                      // predecessor: the state ends
	HaveFrame                     // successor: it has understood everything; a Total as JSON
	YoursFrame                    // predecessor: serve; a Farewell as JSON
	TakenFrame                    // successor: it serves. The point of no return
	RefuseFrame                   // successor, at any time before: why it does not
	ServingFrame                  // successor: it has everything in its place; an Arrival as JSON
)

func (k Kind) String() string {
	names := [...]string{"nothing", "hello", "files", "prepared", "piece", "ack", "end", "have", "yours", "taken", "refuse", "serving"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	frameHeader = 8
	maxFrame    = 256 << 10
	// maxPassed is what the kernel lets one message carry (SCM_MAX_FD).
	maxPassed = 253
	// maxUnacked is how many pieces may be on their way: without privileges about
	// as many descriptors as a process may open may be in flight, of all links.
	maxUnacked = 8
)

// Pair makes a link and the file for the process at its other end.
func Pair() (*Link, *os.File, error) {
	fds, err := socketPair()
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair for a successor: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "handover")
	ours, err := NewLink(os.NewFile(uintptr(fds[0]), "handover"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// NewLink makes a link of its file, which it takes over.
func NewLink(f *os.File) (*Link, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("handover: the descriptor is no Unix socket")
	}
	return &Link{c: u, oob: make([]byte, rightsSpace(maxPassed))}, nil
}

// Close ends the link, and closes what has come and was not taken.
func (l *Link) Close() {
	l.c.Close()
	CloseAll(l.held)
	l.held = nil
}

// CloseAll closes descriptors.
func CloseAll(descriptors []int) {
	for _, fd := range descriptors {
		closeDescriptor(fd)
	}
}

// Within bounds everything that follows.
func (l *Link) Within(d time.Duration) { l.c.SetDeadline(time.Now().Add(d)) }

// Send sends a frame. The descriptors stay the caller's.
func (l *Link) Send(k Kind, body []byte, descriptors ...int) error {
	if len(body) > maxFrame || len(descriptors) > maxPassed {
		panic(fmt.Sprintf("handover: a frame of %d bytes and %d descriptors", len(body), len(descriptors)))
	}
	var head [frameHeader]byte
	head[0], head[1] = byte(k), byte(len(descriptors))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(body)))
	var rights []byte
	if len(descriptors) > 0 {
		rights = encodeRights(descriptors)
	}
	n, _, err := l.c.WriteMsgUnix(head[:], rights, nil)
	if err == nil && n < len(head) {
		_, err = l.c.Write(head[n:])
	}
	if err == nil && len(body) > 0 {
		_, err = l.c.Write(body)
	}
	if err != nil {
		return fmt.Errorf("say %s: %w", k, err)
	}
	return nil
}

// Receive waits for a frame. Body and descriptors are the caller's.
func (l *Link) Receive() (k Kind, body []byte, descriptors []int, err error) {
	var head [frameHeader]byte
	if err := l.read(head[:]); err != nil {
		return 0, nil, nil, err
	}
	k = Kind(head[0])
	size := binary.LittleEndian.Uint32(head[4:])
	if size > maxFrame || head[2] != 0 || head[3] != 0 {
		return 0, nil, nil, fmt.Errorf("a frame that begins % x", head)
	}
	body = make([]byte, size)
	if err := l.read(body); err != nil {
		return 0, nil, nil, err
	}
	n := int(head[1])
	if n > len(l.held) {
		return 0, nil, nil, fmt.Errorf("%s has %d descriptors, and %d have come", k, n, len(l.held))
	}
	descriptors = append([]int(nil), l.held[:n]...)
	l.held = l.held[n:]
	return k, body, descriptors, nil
}

// read fills p and keeps the descriptors that come meanwhile.
func (l *Link) read(p []byte) error {
	for len(p) > 0 {
		n, m, flags, _, err := l.c.ReadMsgUnix(p, l.oob)
		if m > 0 {
			if err := l.keep(l.oob[:m]); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			return err
		case cutShort(flags):
			return errors.New("descriptors were lost: this process may not open more; raise its limit (ulimit -n, LimitNOFILE)")
		case n == 0:
			return io.EOF
		}
		p = p[n:]
	}
	return nil
}

func (l *Link) keep(oob []byte) error {
	fds, err := decodeRights(oob)
	l.held = append(l.held, fds...)
	if err != nil {
		return err
	}
	if len(l.held) > maxPassed*(maxUnacked+1) {
		return fmt.Errorf("%d descriptors that belong to no frame", len(l.held))
	}
	return nil
}
