package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// rang waits until as many alarms have been looked after since the start,
// without touching an object.
func (d *Dormouse) rang(want int) alarms {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), limit)
	defer cancel()
	var got alarms
	if err := Until(ctx, fmt.Sprintf("%d alarms have run", want), func() (bool, error) {
		got = d.alarms()
		return got.Runs >= want && got.Running == 0, nil
	}); err != nil {
		d.t.Fatalf("%v; counted %+v", err, got)
	}
	return got
}

// An old data folder, or one whose index was lost: alarms are found when their
// objects are next opened.
func TestAlarmsWithoutAnIndex(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := startClocks(t, data)
	c := clock{t, d, "a"}
	at := c.set(2*time.Second, "")
	d.Interrupt()
	if err := os.RemoveAll(filepath.Join(data, "do", "journal")); err != nil {
		t.Fatal(err)
	}
	d = startClocks(t, data)
	c.d = d
	c.ran(run{false, 0, at})
	c.done()
	if got := d.alarms(); got.Repairs != 1 {
		t.Errorf("counted %+v, want one repair", got)
	}
}

// An alarm that was committed by a guest right before everything was killed, and
// of which nothing was told, is found after the next start.
func TestAlarmLeftInALog(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := startClocks(t, data)
	c := clock{t, d, "a"}
	c.ran() // makes it
	c.set(time.Hour, "")
	d.Interrupt()
	if err := os.RemoveAll(filepath.Join(data, "do", "journal")); err != nil {
		t.Fatal(err)
	}
	at := time.Now().UnixMilli()
	database := commitAlone(t, filepath.Join(data, "do"), at)
	if _, err := os.Stat(database + "-wal"); err != nil {
		t.Fatal(err)
	}
	d = startClocks(t, data)
	d.rang(1)
	c.d = d
	c.ran(run{false, 0, at})
}

// commitAlone sets the alarm of the only object below a folder, and leaves that
// in the log of its database.
func commitAlone(t *testing.T, folder string, at int64) (database string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*", "??", "*.sqlite"))
	if err != nil || len(found) != 1 {
		t.Fatalf("databases: %v, %v", found, err)
	}
	database = found[0]
	conn, err := sqlite.OpenConn(database, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("PRAGMA wal_autocheckpoint = 0; UPDATE _cf_METADATA SET value = %d WHERE key = 1", at*1_000_000)
	if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
		t.Fatal(err)
	}
	kept := make(map[string][]byte)
	for _, name := range []string{database, database + "-wal"} {
		if kept[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil { // checkpoints, and removes the log
		t.Fatal(err)
	}
	for name, content := range kept {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return database
}
