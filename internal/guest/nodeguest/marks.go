//go:build unix

package nodeguest

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// marks is a page that a process writes to, through a descriptor, before it
// begins to handle frames: it outlives the process. docs/guest-protocol.md,
// "Marks".
type marks struct{ page []byte }

// The page: what docs/guest-protocol.md says stands where.
const (
	marksBytes = 64 << 10
	crowdedAt  = 16
	snapshotAt = 20
	slotsAt    = 64
	slotBytes  = 8
)

// newMarks makes a page and the file for the process, which the caller closes.
func newMarks() (marks, *os.File, error) {
	f, err := marksFile()
	if err != nil {
		return marks{}, nil, fmt.Errorf("file for the marks of a guest: %w", err)
	}
	if err := f.Truncate(marksBytes); err != nil {
		f.Close()
		return marks{}, nil, fmt.Errorf("file for the marks of a guest: %w", err)
	}
	page, err := unix.Mmap(int(f.Fd()), 0, marksBytes, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return marks{}, nil, fmt.Errorf("map the marks of a guest: %w", err)
	}
	return marks{page}, f, nil
}

// read returns how many of the host's frames may have begun to be handled.
func (m marks) read() uint64 {
	if m.page == nil {
		return 0
	}
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&m.page[0])))
}

// running returns the object whose turn the process has last seen take long; 0:
// none.
func (m marks) running() guest.Object {
	if m.page == nil {
		return 0
	}
	return guest.Object(atomic.LoadUint32((*uint32)(unsafe.Pointer(&m.page[8]))))
}

// turns returns a number that changes, a little later, when the process has got
// from one event to the next.
func (m marks) turns() uint32 {
	if m.page == nil {
		return 0
	}
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&m.page[12])))
}

// What stands at snapshotAt.
const (
	snapshotBegun = 1
	snapshotOver  = 2
)

// snapshot says how far the process is with a heap snapshot; 0: it writes none.
func (m marks) snapshot() uint32 {
	if m.page == nil {
		return 0
	}
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&m.page[snapshotAt])))
}

// begun returns what says whether an event that had waited in the process may have
// begun, and whether one has gone before others whose frames are not marked.
func (m marks) begun() (waited, wentFirst func(o guest.Object, event uint32) bool) {
	up := make(map[guest.Object]uint32)
	if m.page == nil {
		always := func(guest.Object, uint32) bool { return true }
		return always, always
	}
	for at := slotsAt; at < marksBytes; at += slotBytes {
		if o := guest.Object(binary.LittleEndian.Uint32(m.page[at:])); o != 0 {
			up[o] = binary.LittleEndian.Uint32(m.page[at+4:])
		}
	}
	wentFirst = func(o guest.Object, event uint32) bool {
		last, ok := up[o]
		return ok && int32(last-event) >= 0
	}
	crowded := m.page[crowdedAt] != 0
	return func(o guest.Object, event uint32) bool { return crowded || wentFirst(o, event) }, wentFirst
}

// close unmaps the page.
func (m *marks) close() {
	if m.page != nil {
		unix.Munmap(m.page)
		m.page = nil
	}
}
