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

// keepsAlarms skips a test of a server that does not keep its index of alarms.
func keepsAlarms(t *testing.T, data string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(data, "do", "journal")); err != nil {
		t.Skip("NOT TESTED: this Dormouse has no journal, which would keep the index of alarms")
	}
}

// Alarms that were set before the server ended run after its next start, with
// nobody asking for their objects: those that have passed at once.
func TestAlarmsOutliveTheServer(t *testing.T) {
	for name, end := range map[string]func(*Dormouse){"Killed": (*Dormouse).Kill, "Interrupted": (*Dormouse).Interrupt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			d := startClocks(t, data)
			keepsAlarms(t, data)
			soon, later, hangs := clock{t, d, "soon"}, clock{t, d, "later"}, clock{t, d, "hangs"}
			at := hangs.set(100*time.Millisecond, "hang")
			hangs.ran(run{false, 0, at})
			const wait = 3 * time.Second
			atSoon := soon.set(wait, "")
			atLater := later.set(time.Hour, "")
			end(d)
			time.Sleep(time.Until(time.UnixMilli(atSoon))) // it passes while nobody is there

			d = startClocks(t, data)
			if got := d.rang(2); got.Alarms != 1 || got.Repairs != 0 || got.Failures != 0 {
				t.Errorf("counted %+v", got)
			}
			soon.d, later.d, hangs.d = d, d, d
			soon.ran(run{false, 0, atSoon})
			hangs.ran(run{false, 0, at}, run{false, 0, at})
			if runs, alarm := later.runs(); len(runs) != 0 || alarm == nil || *alarm != atLater {
				t.Errorf("an alarm in the future: %d runs, %v; want the alarm at %d", len(runs), alarm, atLater)
			}
		})
	}
}

// A retry goes on where it was.
func TestRetriesOutliveTheServer(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := startClocks(t, data)
	keepsAlarms(t, data)
	c := clock{t, d, "a"}
	at := c.set(100*time.Millisecond, "throw")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := Until(ctx, "the failure is counted", func() (bool, error) { return d.alarms().Failures == 1, nil }); err != nil {
		t.Fatal(err)
	}
	d.Interrupt()
	d = startClocks(t, data)
	c.d = d
	c.ran(run{false, 0, at}, run{true, 1, at})
	c.done()
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
