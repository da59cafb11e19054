package wal_test

import (
	"testing"

	"github.com/dormouse-dev/dormouse/internal/storage/wal"
	"github.com/dormouse-dev/dormouse/internal/storage/wal/waltest"
)

// What is compared with SQLite itself stands in waltest: its instrumented code
// would slow the fuzzing down a thousandfold.

func log(pageSize, frames int) []byte {
	w, log := waltest.New(pageSize, 0, [8]byte{1})
	page := make([]byte, pageSize)
	for i := range frames {
		page[0] = byte(i)
		log = w.AppendFrame(log, 1, uint32(i&1), page)
	}
	return log
}

func FuzzScan(f *testing.F) {
	f.Add(log(512, 4))
	f.Add(log(4096, 1)[:100])
	f.Fuzz(func(t *testing.T, log []byte) {
		h, err := wal.ParseHeader(log)
		if err != nil {
			return
		}
		s := h.Scan(h.Start(), log[wal.HeaderSize:])
		if s.Committed.Offset > s.Valid.Offset || s.Valid.Offset > int64(len(log)) {
			t.Fatalf("%+v in a log of %d bytes", s, len(log))
		}
	})
}

// What does it cost to verify a page?
func BenchmarkScan(b *testing.B) {
	log := log(4096, 64)
	h, err := wal.ParseHeader(log)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if s := h.Scan(h.Start(), log[wal.HeaderSize:]); s.Valid.Offset != int64(len(log)) {
			b.Fatal(s)
		}
	}
}
