package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/wal"
	"github.com/dormouse-dev/dormouse/internal/storage/wal/waltest"
)

var testKey = dormouse.Key{Namespace: "chat-Room", ID: dormouse.Namespace("chat-Room").IDFromName("a")}

// records is a body with a record of each kind.
func records(t testing.TB) ([]byte, wal.Header) {
	t.Helper()
	w, log := waltest.New(512, 3, [8]byte{1, 2, 3})
	h, err := wal.ParseHeader(log)
	if err != nil {
		t.Fatal(err)
	}
	frames := w.AppendFrame(nil, 7, 0, make([]byte, 512))
	frames = w.AppendFrame(frames, 9, 12, bytes.Repeat([]byte{5}, 512))
	b := appendBase(nil, testKey, []byte("a database"))
	b = appendFrames(b, testKey, &h, h.Offset(4), frames)
	b = appendRecord(b, syncedRecord, testKey, 0)
	b = appendRecord(b, cleanRecord, testKey, 0)
	b = appendRecord(b, deletedRecord, testKey, 0)
	b = appendMoved(b, "chat-Room", "chat-Hall")
	b = appendWake(b, testKey, storage.Wake{At: time.UnixMilli(1_800_000_000_123), Retry: 3})
	return appendWake(b, testKey, storage.Wake{}), h
}

func TestRecordsAreReadAsWritten(t *testing.T) {
	b, h := records(t)
	var got []record
	for len(b) > 0 {
		r, rest, err := parseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
		b = rest
	}
	kinds := []recordKind{baseRecord, framesRecord, syncedRecord, cleanRecord, deletedRecord, movedRecord, wakeRecord, wakeRecord}
	if len(got) != len(kinds) {
		t.Fatalf("got %d records, want %d", len(got), len(kinds))
	}
	for i, r := range got {
		if r.kind != kinds[i] || r.key.Namespace != testKey.Namespace || r.kind != movedRecord && r.key != testKey {
			t.Errorf("record %d: got kind %d of %v, want kind %d of %v", i, r.kind, r.key, kinds[i], testKey)
		}
	}
	if s := string(got[0].body); s != "a database" {
		t.Errorf("base: got %q", s)
	}
	header, offset, frames, err := got[1].frames()
	if err != nil || header != h || offset != h.Offset(4) || len(frames) != 2*h.FrameSize() {
		t.Errorf("frames: got %d bytes at %d, %v", len(frames), offset, err)
	}
	if s := string(got[5].body); s != "chat-Hall" {
		t.Errorf("moved: got %q", s)
	}
	if w, err := parseWake(got[6].body); err != nil || !w.At.Equal(time.UnixMilli(1_800_000_000_123)) || w.Retry != 3 {
		t.Errorf("wake: got %v, %v", w, err)
	}
	if w, err := parseWake(got[7].body); err != nil || w != (storage.Wake{}) {
		t.Errorf("no wake: got %v, %v", w, err)
	}
}

func TestHeadersAreReadAsWritten(t *testing.T) {
	s := segmentHeader{number: 7, first: 8, oldest: 9, created: time.Unix(10, 11)}
	if got, err := parseSegmentHeader(s.encode()); err != nil || got != s {
		t.Errorf("got %+v, %v; want %+v", got, err, s)
	}
	body, _ := records(t)
	b := append(make([]byte, batchHeaderSize), body...)
	h := batchHeader{segment: 1, number: 3, durable: 2, oldest: 1, written: time.Unix(4, 5), body: len(body), records: 8}
	h.encode(b)
	got, ok := parseBatchHeader(b)
	if !ok || got != h || !got.verify(b) {
		t.Errorf("got %+v, %v; want %+v", got, ok, h)
	}
	for at := range b {
		b[at] ^= 1
		if got, ok := parseBatchHeader(b); ok && got.verify(b) {
			t.Fatalf("a change of byte %d is not noticed", at)
		}
		b[at] ^= 1
	}
}

func TestNewerFormatIsRefusedByName(t *testing.T) {
	b := (&segmentHeader{number: 1}).encode()
	binary.LittleEndian.PutUint32(b[8:], formatVersion+1)
	if _, err := parseSegmentHeader(b); !errors.Is(err, storage.ErrNewerFormat) {
		t.Errorf("segment: got %v, want ErrNewerFormat", err)
	}
	w := make([]byte, wakesHeaderSize+4)
	copy(w, wakesMagic)
	binary.LittleEndian.PutUint32(w[8:], formatVersion+1)
	if _, err := parseWakes(w, nil); !errors.Is(err, storage.ErrNewerFormat) {
		t.Errorf("wakes: got %v, want ErrNewerFormat", err)
	}
}

// Whatever a disk returns is refused or read, but nothing else happens.
func FuzzRecords(f *testing.F) {
	b, _ := records(f)
	f.Add(b)
	f.Add(b[:60])
	f.Fuzz(func(t *testing.T, b []byte) {
		objects := make(map[dormouse.Key]*redo)
		for offset := int64(0); len(b) > 0; {
			r, rest, err := parseRecord(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			if r.kind == wakeRecord {
				parseWake(r.body)
			} else {
				if objects[r.key] == nil {
					objects[r.key] = new(redo)
				}
				if objects[r.key].take(recordPlace{r, 1, offset}) != nil {
					return
				}
			}
			offset += int64(len(b) - len(rest))
			b = rest
		}
	})
}

func FuzzBatch(f *testing.F) {
	body, _ := records(f)
	b := append(make([]byte, batchHeaderSize), body...)
	(&batchHeader{segment: 1, number: 1, body: len(body)}).encode(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		parseSegmentHeader(b)
		if h, ok := parseBatchHeader(b); ok && h.verify(b) && (h.body < 0 || int(h.size()) < batchHeaderSize+h.body) {
			t.Fatalf("%+v", h)
		}
	})
}

func FuzzWakes(f *testing.F) {
	b := make([]byte, wakesHeaderSize)
	copy(b, wakesMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	b = appendWake(b, testKey, storage.Wake{At: time.UnixMilli(5)})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		parseWakes(b, func(key dormouse.Key, w storage.Wake) {
			if len(key.Namespace) > storage.MaxNamespace {
				t.Fatal(key)
			}
		})
	})
}
