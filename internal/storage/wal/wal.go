// Package wal reads the write-ahead log of an SQLite database: which of its
// frames are valid, and where its last commit ends. It knows bytes, and never
// sees a file, a lock or SQLite.
//
// The format: https://www.sqlite.org/fileformat2.html, section 4.
package wal

import (
	"encoding/binary"
	"errors"
)

// Sizes of the parts of a log.
const (
	HeaderSize      = 32 // of the log
	FrameHeaderSize = 24 // of a frame, before the page
	MaxPageSize     = 65536
)

const (
	magic   = 0x377f0682 // the lowest bit: checksums are made of big-endian words
	version = 3007000
)

// Errors of ParseHeader.
var (
	// ErrNoHeader: the log is empty, or was never written.
	ErrNoHeader = errors.New("write-ahead log has no header")
	// ErrHeader: what stands there is not a header, or not a whole one.
	ErrHeader = errors.New("header of the write-ahead log is damaged")
)

// Header opens a generation of a log. When everything is in the database, the
// next writer starts a new generation over the old one; its salts tell which
// frames belong to it. Two headers are equal when they open the same
// generation.
type Header [HeaderSize]byte

// ParseHeader checks the beginning of a log.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) == 0 {
		return h, ErrNoHeader
	}
	if copy(h[:], b) < HeaderSize {
		return h, ErrHeader
	}
	if h == (Header{}) {
		return h, ErrNoHeader
	}
	size := h.PageSize()
	if h.word(0)&^1 != magic || h.word(4) != version || size < 512 || size > MaxPageSize || size&(size-1) != 0 {
		return h, ErrHeader
	}
	sum := h.sum(Sum{}, h[:24])
	if sum != h.start() {
		return h, ErrHeader
	}
	return h, nil
}

// NewHeader opens a generation of a log of one's own making. Its frames need no
// valid checksums where Raw reads them.
func NewHeader(pageSize int, salts [8]byte) Header {
	var h Header
	binary.BigEndian.PutUint32(h[0:], magic)
	binary.BigEndian.PutUint32(h[4:], version)
	binary.BigEndian.PutUint32(h[8:], uint32(pageSize))
	copy(h[16:], salts[:])
	sum := h.sum(Sum{}, h[:24])
	binary.BigEndian.PutUint32(h[24:], sum[0])
	binary.BigEndian.PutUint32(h[28:], sum[1])
	return h
}

// AppendRaw appends a frame as Raw reads it, without a checksum.
func AppendRaw(b []byte, f Frame) []byte {
	b = binary.BigEndian.AppendUint32(b, f.Number)
	b = binary.BigEndian.AppendUint32(b, f.Commit)
	b = append(b, make([]byte, FrameHeaderSize-8)...)
	return append(b, f.Page...)
}

func (h *Header) word(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }

func (h *Header) start() Sum { return Sum{h.word(24), h.word(28)} }

// PageSize is the size of a page in bytes.
func (h *Header) PageSize() int { return int(h.word(8)) }

// FrameSize is the size of a frame in bytes.
func (h *Header) FrameSize() int { return FrameHeaderSize + h.PageSize() }

// Sequence counts the generations since the log was created.
func (h *Header) Sequence() uint32 { return h.word(12) }

// Frames returns how many frames lie before the offset.
func (h *Header) Frames(offset int64) int {
	return int((offset - HeaderSize) / int64(h.FrameSize()))
}

// Offset returns where the frames after the first n begin.
func (h *Header) Offset(n int) int64 { return HeaderSize + int64(n)*int64(h.FrameSize()) }

// Sum is SQLite's running checksum. That of a frame goes on from the frame
// before it, so a valid frame vouches for all before it.
type Sum [2]uint32

// sum goes on over b, whose length is a multiple of 8.
func (h *Header) sum(s Sum, b []byte) Sum {
	s0, s1 := s[0], s[1]
	if h[3]&1 == 0 {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.LittleEndian.Uint32(b) + s1
			s1 += binary.LittleEndian.Uint32(b[4:]) + s0
		}
	} else {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.BigEndian.Uint32(b) + s1
			s1 += binary.BigEndian.Uint32(b[4:]) + s0
		}
	}
	return Sum{s0, s1}
}

// Position is a place between two frames of a generation, with what is needed
// to go on verifying from there.
type Position struct {
	Offset int64 // in the log
	Sum    Sum
}

// Start is the position before the first frame.
func (h *Header) Start() Position { return Position{HeaderSize, h.start()} }

// Frame is one frame, without its checksum. The bytes of Page are borrowed from
// what it was read from.
type Frame struct {
	Number uint32 // of the page, from 1
	Commit uint32 // size of the database in pages if this frame ends a commit, else 0
	Page   []byte
}

// Next verifies the frame at the beginning of b, which is what lies in the log
// at p. It returns the position behind the frame; ok is false when b does not
// hold a whole valid frame of this generation.
func (h *Header) Next(p Position, b []byte) (f Frame, after Position, ok bool) {
	size := h.FrameSize()
	if len(b) < size {
		return Frame{}, p, false
	}
	b = b[:size]
	if [8]byte(b[8:16]) != [8]byte(h[16:24]) { // the salts
		return Frame{}, p, false
	}
	f = Raw(b)
	if f.Number == 0 {
		return Frame{}, p, false
	}
	sum := h.sum(h.sum(p.Sum, b[:8]), f.Page)
	if sum != (Sum{binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])}) {
		return Frame{}, p, false
	}
	return f, Position{p.Offset + int64(size), sum}, true
}

// Raw reads the frame that b consists of without verifying it. b must be at
// least as long as a frame's header.
func Raw(b []byte) Frame {
	return Frame{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), b[FrameHeaderSize:]}
}

// Scan is what Header.Scan has found.
type Scan struct {
	Valid     Position // behind the last valid frame
	Committed Position // behind the last valid frame that ends a commit
	Commits   int      // frames that end a commit
}

// Scan verifies the frames in b, which is what lies in the log at p, until one
// is not whole or not valid.
func (h *Header) Scan(p Position, b []byte) Scan {
	s := Scan{Valid: p, Committed: p}
	for {
		f, after, ok := h.Next(s.Valid, b[s.Valid.Offset-p.Offset:])
		if !ok {
			return s
		}
		s.Valid = after
		if f.Commit != 0 {
			s.Committed = after
			s.Commits++
		}
	}
}
