// Package waltest writes write-ahead logs as SQLite does, for tests and
// benchmarks that need many of them faster than SQLite can make them. It knows
// the format, and never sees a database.
package waltest

import (
	"encoding/binary"
)

// Writer makes the bytes of one generation of a log. Its checksums are made of
// little-endian words.
type Writer struct {
	pageSize int
	salts    [8]byte
	sum      [2]uint32
}

// New returns a writer and the header that opens the generation.
func New(pageSize int, sequence uint32, salts [8]byte) (*Writer, []byte) {
	w := &Writer{pageSize: pageSize, salts: salts}
	h := make([]byte, 0, 32)
	h = binary.BigEndian.AppendUint32(h, 0x377f0682)
	h = binary.BigEndian.AppendUint32(h, 3007000)
	h = binary.BigEndian.AppendUint32(h, uint32(pageSize))
	h = binary.BigEndian.AppendUint32(h, sequence)
	h = append(h, salts[:]...)
	w.add(h)
	return w, w.appendSum(h)
}

// AppendFrame appends the frame of a page. commit is the size of the database
// in pages if the frame ends a commit, else 0.
func (w *Writer) AppendFrame(b []byte, number, commit uint32, page []byte) []byte {
	if len(page) != w.pageSize {
		panic("page of another size")
	}
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, number)
	b = binary.BigEndian.AppendUint32(b, commit)
	w.add(b[at:])
	w.add(page)
	b = append(b, w.salts[:]...)
	b = w.appendSum(b)
	return append(b, page...)
}

func (w *Writer) appendSum(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, w.sum[0])
	return binary.BigEndian.AppendUint32(b, w.sum[1])
}

func (w *Writer) add(b []byte) {
	for ; len(b) > 0; b = b[8:] {
		w.sum[0] += binary.LittleEndian.Uint32(b) + w.sum[1]
		w.sum[1] += binary.LittleEndian.Uint32(b[4:]) + w.sum[0]
	}
}
