package snapshot

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

const childOf = "SNAPSHOT_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(childOf); path != "" {
		if err := writeForever(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeForever commits and moves the whole log into the file each time, so that
// every commit begins the log anew: until its input ends.
func writeForever(path string) error {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		return err
	}
	do := func(sql string) {
		if err == nil {
			err = sqlitex.ExecuteTransient(conn, sql, nil)
		}
	}
	do("PRAGMA journal_mode = WAL")
	do("PRAGMA synchronous = OFF")
	do("PRAGMA wal_autocheckpoint = 0")
	do("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, pad BLOB)")
	do("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 5000) INSERT INTO t SELECT i, 0, zeroblob(4000) FROM s")
	do("PRAGMA wal_checkpoint(PASSIVE)")
	fmt.Println("ready")
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for n := 1; err == nil; n++ {
		select {
		case <-ended:
			return nil
		default:
		}
		do(fmt.Sprintf("UPDATE t SET n = %d WHERE id IN (1, 2500, 5000)", n))
		do("PRAGMA wal_checkpoint(PASSIVE)")
	}
	return err
}

func TestHoldKeepsTheLogOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "live.sqlite")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childOf+"="+path)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		t.Fatal(err)
	}
	// 20 MB take longer to copy than the log stays the same.
	for end, n := time.Now().Add(time.Second), 0; n < 3 || time.Now().Before(end); n++ {
		row, err := copyOf(t, Source{Path: path, Foreign: true}, "SELECT min(n), max(n) FROM t WHERE id IN (1, 2500, 5000)")
		if err != nil || row[0] != row[1] {
			t.Fatalf("copy %d: %v (%v), want one commit", n, row, err)
		}
	}
}
