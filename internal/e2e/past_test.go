package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// diary is an object of testdata/past.
type diary struct {
	Vault
	name string
}

type diaryPage struct {
	Last  *int
	Count int
	Alarm *int64
	Ran   int
}

func startPast(t *testing.T, data string, more ...string) *Dormouse {
	t.Helper()
	return StartDormouse(t, Options{Dir: "testdata/past", Data: data, More: more})
}

func (d diary) write(n int) (bookmark string) {
	d.t.Helper()
	return Ask[string](d.Vault, d.name, "write", n)
}

// read asks what the diary holds. It asks again where its own request has met
// the object's end.
func (d diary) read() (p diaryPage) {
	d.t.Helper()
	for end := time.Now().Add(limit); ; {
		p, err := TryAsk[diaryPage](d.t.Context(), d.Vault, d.name, "read", nil)
		if err == nil {
			return p
		}
		if time.Now().After(end) {
			d.t.Fatal(err)
		}
	}
}

// holds compares what the diary holds with the first n numbers.
func (d diary) holds(n int) {
	d.t.Helper()
	p := d.read()
	last := 0
	if p.Last != nil {
		last = *p.Last
	}
	if last != n || p.Count != n {
		d.t.Errorf("%s holds %d numbers up to %d, want %d", d.name, p.Count, last, n)
	}
}

func (d diary) abort() {
	d.t.Helper()
	if _, err := TryAsk[any](d.t.Context(), d.Vault, d.name, "abort", nil); err == nil || !strings.Contains(err.Error(), "back to the past") {
		d.t.Errorf("abort: %v", err)
	}
}

// back goes to a bookmark, as an author does, and returns what undoes it.
func (d diary) back(bookmark string) (undo string) {
	d.t.Helper()
	undo = Ask[string](d.Vault, d.name, "restore", bookmark)
	d.abort()
	return undo
}

func (d diary) refused(operation string, argument any, want string) {
	d.t.Helper()
	if _, err := TryAsk[any](d.t.Context(), d.Vault, d.name, operation, argument); err == nil || !strings.Contains(err.Error(), want) {
		d.t.Errorf("%s %v: %v, want %q", operation, argument, err, want)
	}
}

// An object goes back to several of its bookmarks and undoes it; what it writes
// afterwards is kept, and nothing is lost when everything is killed or restarted
// in between.
func TestObjectGoesBack(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := startPast(t, data)
	o := diary{Vault{t, d.URL}, "diary"}
	empty := Ask[string](o.Vault, o.name, "bookmark", nil)
	var marks []string
	for n := 1; n <= 30; n++ {
		marks = append(marks, o.write(n))
		switch n {
		case 10: // in another session, from another process
			d.Interrupt()
			d = startPast(t, data)
			o.URL = d.URL
		case 20:
			d.Kill()
			d = startPast(t, data)
			o.URL = d.URL
		}
	}
	for i := 1; i < len(marks); i++ {
		if marks[i-1] >= marks[i] {
			t.Fatalf("bookmarks do not grow: %s, %s", marks[i-1], marks[i])
		}
	}
	for _, n := range []int{15, 3, 29, 1} {
		undo := o.back(marks[n-1])
		o.holds(n)
		if n == 29 {
			marks[29] = o.write(30) // a future of its own
			o.holds(30)
		}
		again := o.back(undo)
		o.holds(30)
		o.back(again)
		o.holds(n + n/29) // 29 has got another number
		o.back(undo)
		o.holds(30)
	}
	o.back(empty)
	o.holds(0)
	o.back(marks[24])
	o.holds(25)

	// An order outlives everything; before it takes effect the object goes on.
	Ask[string](o.Vault, o.name, "restore", marks[4])
	o.holds(25)
	d.Kill()
	d = startPast(t, data)
	o.URL = d.URL
	o.holds(5)
	undo := Ask[string](o.Vault, o.name, "restore", marks[6])
	d.Interrupt()
	d = startPast(t, data)
	o.URL = d.URL
	o.holds(7)
	o.back(undo)
	o.holds(5)
	Ask[any](o.Vault, o.name, "delete all", nil)
	o.holds(0)
	o.back(marks[27])
	o.holds(28)
}

// What cannot be is said.
func TestWaysBackThatThereAreNot(t *testing.T) {
	t.Parallel()
	d := startPast(t, "")
	o, other := diary{Vault{t, d.URL}, "one"}, diary{Vault{t, d.URL}, "other"}
	mark := o.write(1)
	o.refused("restore", "nonsense", "bookmark is not valid")
	o.refused("restore", other.write(1), "bookmark belongs to another object")
	o.refused("restore", "0fffffff"+mark[8:], "has not come yet")
	o.refused("restore", "00000000-00000001-00000000"+mark[26:], "does not go back so far")
	o.refused("at", 1, "does not go back so far")
	o.refused("at", "yesterday", "is not of type 'date'")
	classic := diary{Vault{t, d.URL}, "classic"}
	Ask[any](classic.Vault, classic.name, "write", 1)
	classic.refused("at", 1, "does not implement point-in-time recovery")
	classic.refused("restore", mark, "does not implement point-in-time recovery")

	now := Ask[int64](o.Vault, o.name, "now", nil)
	at := Ask[string](o.Vault, o.name, "at", now)
	for Ask[int64](o.Vault, o.name, "now", nil) == now { // the clock is not finer than that
	}
	o.write(2)
	o.back(at)
	o.holds(1)

	none := startPast(t, "", "--history-bytes", "0")
	o = diary{Vault{t, none.URL}, "one"}
	mark = o.write(1)
	o.refused("restore", mark, "does not implement point-in-time recovery")
	o.refused("at", now, "does not implement point-in-time recovery")
}

// An alarm is a part of what is restored, and runs without anybody asking.
func TestAlarmComesBack(t *testing.T) {
	t.Parallel()
	d := startPast(t, "")
	o := diary{Vault{t, d.URL}, "diary"}
	o.write(1)
	mark := Ask[string](o.Vault, o.name, "alarm", 2000)
	Ask[string](o.Vault, o.name, "no alarm", nil)
	if p := o.read(); p.Alarm != nil {
		t.Fatalf("there is an alarm: %d", *p.Alarm)
	}
	undo := o.back(mark)
	for end := time.Now().Add(limit); o.read().Ran == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the alarm that was restored has not run")
		}
	}
	o.back(undo)
	if p := o.read(); p.Alarm != nil || p.Ran != 0 {
		t.Errorf("undone, there is %+v", p)
	}
}

// An operator lists history, puts objects back and copies them as they were,
// while the server runs and when it does not.
func TestHistoryCommands(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := startPast(t, data)
	o := diary{Vault{t, d.URL}, "diary"}
	var marks []string
	for n := 1; n <= 10; n++ {
		marks = append(marks, o.write(n))
	}
	storage := func(args ...string) string {
		t.Helper()
		return Command(t, append([]string{"storage", "--data", data}, args...)...)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if out, err := TryCommand(t, append([]string{"storage", "--data", data}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v (printed %q), want %q", args, err, out, want)
		}
	}
	look := func() {
		t.Helper()
		h := storage("history", "Diary", "name:diary")
		if !strings.Contains(h, "created") || strings.Count(h, "commit") < 10 || !strings.Contains(h, "history goes back to") {
			t.Errorf("the history is listed as\n%s", h)
		}
		refused("no data", "history", "Diary", "name:nobody")
		refused("bookmark is not valid", "restore", "Diary", "name:diary", "--bookmark", "x")
		refused("say one of", "restore", "Diary", "name:diary")
		refused("say one of", "restore", "Diary", "name:diary", "--bookmark", marks[0], "--time", "1m")
		refused("does not go back so far", "restore", "Diary", "name:diary", "--time", "2020-01-01T00:00:00Z")
	}
	restore := func(mark string) (undo string) {
		t.Helper()
		out := storage("restore", "Diary", "name:diary", "--bookmark", mark)
		_, undo, _ = strings.Cut(strings.TrimSuffix(out, " undoes it\n"), "--bookmark ")
		return undo
	}
	look()
	undo := restore(marks[3])
	o.holds(4)
	restore(undo)
	o.holds(10)
	if n := strings.Count(storage("history", "Diary", "name:diary"), "restored"); n != 2 {
		t.Errorf("history tells of %d restores, want 2", n)
	}

	d.Interrupt()
	look()
	undo = restore(marks[6])
	storage("fork", "Diary", "name:diary", "name:copy", "--bookmark", marks[1])
	storage("fork", "Diary", "name:diary", "name:recent", "--bookmark", undo)
	refused("", "fork", "Diary", "name:diary", "name:copy", "--bookmark", marks[2]) // it has something

	d = startPast(t, data)
	o.URL = d.URL
	o.holds(7)
	diary{o.Vault, "copy"}.holds(2)
	diary{o.Vault, "recent"}.holds(10)
}

// TestGoingBackIsKilled kills everything in the middle of restores: afterwards
// the object is as it was before or as it was to be, and what was confirmed later
// is there.
func TestGoingBackIsKilled(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	d := startPast(t, data)
	o := diary{Vault{t, d.URL}, "diary"}
	var marks []string
	for n := 1; n <= 12; n++ {
		marks = append(marks, o.write(n))
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	kills := 4
	if os.Getenv("DORMOUSE_SOAK") != "" {
		kills = 60
	}
	for range kills {
		n := 1 + rnd.IntN(len(marks))
		before := o.read()
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			if _, err := TryAsk[string](t.Context(), o.Vault, o.name, "restore", marks[n-1]); err == nil {
				TryAsk[any](t.Context(), o.Vault, o.name, "abort", nil)
				TryAsk[diaryPage](t.Context(), o.Vault, o.name, "read", nil)
			}
		}()
		select {
		case <-asked:
		case <-time.After(time.Duration(rnd.IntN(60)) * time.Millisecond):
		}
		d.Kill()
		<-asked
		d = startPast(t, data)
		o.URL = d.URL
		p := o.read()
		if p.Last == nil || *p.Last != p.Count || *p.Last != *before.Last && *p.Last != n {
			t.Fatalf("killed on the way to %d the diary holds %s, and had %d", n, fmt.Sprint(p.Count), *before.Last)
		}
	}
}

// TestPurgedHasNoPast: an object has nothing of the one that had its name in a
// namespace that was purged.
func TestPurgedHasNoPast(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	serve := func(class string, migrations ...string) (Vault, *Dormouse) {
		t.Helper()
		return serveClass(t, dir, data, class, migrations...)
	}
	storage := func(args ...string) (string, error) {
		return TryCommand(t, append([]string{"storage", "--data", data}, args...)...)
	}
	put := func(v Vault, value string) {
		t.Helper()
		Ask[any](v, "box", "put", map[string]any{"key": "k", "value": value})
	}
	history := func() (bookmarks []string) {
		t.Helper()
		out, err := storage("history", "Room", "name:box", "--json")
		if err != nil {
			t.Fatal(out, err)
		}
		for line := range strings.Lines(out) {
			var point struct{ Bookmark string }
			if err := json.Unmarshal([]byte(line), &point); err != nil {
				t.Fatal(err)
			}
			bookmarks = append(bookmarks, point.Bookmark)
		}
		return bookmarks
	}
	v, d := serve("Room", `{"tag": "v1", "new_sqlite_classes": ["Room"]}`)
	put(v, "old")
	d.Interrupt()
	before := history()
	deleted := []string{`{"tag": "v1", "new_sqlite_classes": ["Room"]}`, `{"tag": "v2", "deleted_classes": ["Room"]}`, `{"tag": "v3", "new_sqlite_classes": ["Other"]}`}
	again := append(slices.Clone(deleted), `{"tag": "v4", "deleted_classes": ["Other"], "new_sqlite_classes": ["Room"]}`)
	_, d = serve("Other", deleted...)
	d.Interrupt()
	if out, err := storage("purge", "moving-Room", "--yes"); err != nil {
		t.Fatal(out, err)
	}
	v, d = serve("Room", again...)
	put(v, "new")
	d.Interrupt()
	if now := history(); len(now) == 0 || slices.Contains(now, before[0]) {
		t.Errorf("its history has %v, that of the purged one %v", now, before)
	}
	// At that time the object that is there now was not.
	if out, err := storage("restore", "Room", "name:box", "--bookmark", before[len(before)-1]); err != nil {
		t.Fatal(out, err)
	}
	v, _ = serve("Room", again...)
	if got := Ask[*string](v, "box", "get", "k"); got != nil {
		t.Errorf("it holds %q", *got)
	}
}
