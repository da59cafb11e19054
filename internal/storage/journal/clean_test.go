package journal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// opened opens an engine, and says whether the last process had ended in order.
func opened(t *testing.T, data string) (*journal.Engine, bool) {
	t.Helper()
	e, r, err := journal.Open(data, journal.Options{SegmentBytes: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, r.Clean
}

// TestCleanEndIsKnown: once somebody has looked, each orderly end vouches for the
// next start, and no other does.
func TestCleanEndIsKnown(t *testing.T) {
	data := t.TempDir()
	e, clean := opened(t, data)
	if clean {
		t.Error("a folder that was never opened counts as clean")
	}
	e.Close()
	e, clean = opened(t, data)
	if clean {
		t.Error("nobody has looked, and it counts as clean")
	}
	e.Looked()
	e.Close()
	for range 3 {
		if e, clean = opened(t, data); !clean {
			t.Fatal("it was closed in order, and does not count as clean")
		}
		e.Close()
	}
	e, _ = opened(t, data)
	killed := t.TempDir() // as e was, when it was killed
	if err := os.CopyFS(killed, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	e.Close()
	e, clean = opened(t, killed)
	if clean {
		t.Error("it was killed, and counts as clean")
	}
	e.Close()
	if _, clean = opened(t, killed); clean {
		t.Error("nobody has looked since it was killed, and it counts as clean")
	}
}

// TestOldCleanEndIsNotBelieved: not one of another time, and not a damaged one.
func TestOldCleanEndIsNotBelieved(t *testing.T) {
	data := t.TempDir()
	mark := filepath.Join(data, "journal", "clean")
	e, _ := opened(t, data)
	e.Looked()
	e.Close()
	old, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	e, _ = opened(t, data)
	if _, err := os.Stat(mark); !os.IsNotExist(err) {
		t.Errorf("the mark is there while the folder is in use: %v", err)
	}
	e.Close()
	newer, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	torn := append([]byte(nil), newer...)
	torn[16] ^= 1
	for name, content := range map[string][]byte{
		"of an earlier end": old, "damaged": torn, "cut off": newer[:20], "empty": nil, "too long": append(newer[:28:28], 0),
	} {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, "journal", "clean"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, clean := opened(t, copied); clean {
			t.Errorf("a mark that is %s was believed", name)
		}
	}
	if _, clean := opened(t, data); !clean {
		t.Error("the mark of the last end was not believed")
	}
}

// TestOpenObjectIsNotClean: what a guest has open at the end may be committed to
// after it.
func TestOpenObjectIsNotClean(t *testing.T) {
	data := t.TempDir()
	e, _ := opened(t, data)
	e.Looked()
	w := newWriter(t, data, 0)
	open(t, e, w)
	w.create(t)
	w.commit(t)
	if err := w.durably(e); err != nil {
		t.Fatal(err)
	}
	e.Close()
	if _, clean := opened(t, data); clean {
		t.Error("a database was open, and it counts as clean")
	}
}
