package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// How long does it take to look at an object of one megabyte?
func BenchmarkTake(b *testing.B) {
	w := newWriter(b)
	w.do("CREATE TABLE t(b)")
	w.do("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 250) INSERT INTO t SELECT randomblob(4000) FROM s")
	w.do("PRAGMA wal_checkpoint(PASSIVE)")
	w.do("INSERT INTO t VALUES (randomblob(40000))") // ten pages in the log
	dst := filepath.Join(b.TempDir(), "copy")
	for n := 0; b.Loop(); n++ {
		name := fmt.Sprint(dst, n)
		if err := Take(b.Context(), Source{Path: w.path}, name); err != nil {
			b.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			b.Fatal(err)
		}
	}
}
