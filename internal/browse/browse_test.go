package browse

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// touch makes an object that looks as if it had a database.
func touch(t testing.TB, root string, k dormouse.Key) {
	t.Helper()
	path := storage.Path(root, k)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestListInParts(t *testing.T) {
	root := t.TempDir()
	var want []string
	for _, n := range []dormouse.Namespace{"b-Room", "a-Room", "ä/Ünder"} {
		for i := range 40 {
			k := dormouse.Key{Namespace: n, ID: n.IDFromName(fmt.Sprint(i))}
			touch(t, root, k)
			want = append(want, k.String())
		}
	}
	slices.Sort(want)
	// What else may lie there.
	os.WriteFile(filepath.Join(root, "b-Room", "stray"), nil, 0o600)
	os.MkdirAll(filepath.Join(root, "journal"), 0o700)
	k := dormouse.Key{Namespace: "b-Room"}
	touch(t, root, k)
	want = append(want, k.String())
	slices.Sort(want)
	for _, suffix := range []string{"-wal", "-shm", ".partial"} {
		os.WriteFile(storage.Path(root, k)+suffix, make([]byte, 11), 0o600)
	}

	for _, limit := range []int{1, 7, 40, 1000} {
		var got []string
		for q := (Query{Limit: limit}); ; {
			page, err := List(root, q)
			if err != nil || len(page.Objects) > limit {
				t.Fatalf("%d objects (%v)", len(page.Objects), err)
			}
			for _, o := range page.Objects {
				got = append(got, string(o.Namespace)+"/"+o.ID)
				if size := map[bool]int64{false: 100, true: 111}[o.ID == k.ID.String()]; o.Bytes != size || o.Changed.IsZero() {
					t.Errorf("%+v, want %d bytes", o, size)
				}
			}
			if page.Next == "" {
				break
			}
			q.After = page.Next
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d at a time: %d objects, want %d: %q", limit, len(got), len(want), got)
		}
	}
	page, err := List(root, Query{Namespace: "a-Room"})
	if err != nil || len(page.Objects) != 40 {
		t.Errorf("one namespace: %d objects (%v), want 40", len(page.Objects), err)
	}
	if page, err = List(filepath.Join(root, "nowhere"), Query{}); err != nil || len(page.Objects) != 0 {
		t.Errorf("without a folder: %v (%v)", page, err)
	}
	if _, err = List(root, Query{After: "nonsense"}); err == nil {
		t.Error("nonsense was taken for a place in the list")
	}
}

func TestListOfManySoak(t *testing.T) {
	if os.Getenv("DORMOUSE_SOAK") == "" {
		t.Skip("DORMOUSE_SOAK is not set: 100,000 files are made")
	}
	root := t.TempDir()
	const n = 100_000
	for i := range n {
		ns := dormouse.Namespace("many-Room")
		touch(t, root, dormouse.Key{Namespace: ns, ID: ns.IDFromName(fmt.Sprint(i))})
	}
	began, count := time.Now(), 0
	for q := (Query{Limit: 10_000}); ; {
		page, err := List(root, q)
		if err != nil {
			t.Fatal(err)
		}
		count += len(page.Objects)
		if q.After = page.Next; page.Next == "" {
			break
		}
	}
	if count != n {
		t.Errorf("%d objects are listed, want %d", count, n)
	}
	t.Logf("%d objects listed in %v", count, time.Since(began))
}

func TestJSONComesBack(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `0`, `-1.5`, `1e+300`, `""`, `"text \u0000 \ud83d\ude00"`, `[]`, `{}`, `[1,[2,{"three":[null]}]]`,
		`{"b":1,"a":{"c":"d"},"":0}`,
	} {
		b, err := Serialize([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		v, err := structuredclone.Decode(b)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, ok := toJSON(v, 0)
		var want, have any
		if json.Unmarshal([]byte(text), &want); !ok || json.Unmarshal(got, &have) != nil || fmt.Sprint(want) != fmt.Sprint(have) {
			t.Errorf("%s came back as %s", text, got)
		}
	}
	for _, text := range []string{``, `nope`, `{"a":1`, `[1] 2`, `{"a" 1}`, `1e999`, `'x'`} {
		if _, err := Serialize([]byte(text)); err == nil || !strings.Contains(err.Error(), "not JSON") {
			t.Errorf("%s: %v, want that it is not JSON", text, err)
		}
	}
	if _, err := Serialize([]byte(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))); err == nil {
		t.Error("something very deep was taken")
	}
	for _, v := range []structuredclone.Value{structuredclone.Undefined{}, &structuredclone.Date{}, &structuredclone.Map{}, "\xed\xa0\x80"} {
		if b, ok := toJSON(v, 0); ok {
			t.Errorf("%v is %s in JSON, which does not come back", v, b)
		}
	}
}

func TestOpenLeavesNothing(t *testing.T) {
	temp, dir := t.TempDir(), t.TempDir()
	ended := 0
	done := func() { ended++ }
	if _, err := Open(t.Context(), snapshot.Source{Path: filepath.Join(dir, "missing")}, temp, done); !errors.Is(err, ErrNoData) || ended != 1 {
		t.Errorf("%v, %d ended; want ErrNoData and one", err, ended)
	}
	broken := filepath.Join(dir, "broken")
	os.WriteFile(broken, make([]byte, 5000), 0o600)
	if _, err := Open(t.Context(), snapshot.Source{Path: broken}, temp, done); err == nil || ended != 2 {
		t.Errorf("%v, %d ended; want an error and two", err, ended)
	}
	whole := filepath.Join(dir, "whole")
	db, err := sqlitefile.Create(whole)
	if err != nil {
		t.Fatal(err)
	}
	value, err := Serialize([]byte(`{"a":[1,"two"]}`))
	if err := errors.Join(err, db.Put("k\xff", value), db.Close()); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), snapshot.Source{Path: whole}, temp, done)
	if err != nil {
		t.Fatal(err)
	}
	list, err := v.List(Range{})
	if err != nil || len(list.Pairs) != 1 || list.Pairs[0].Raw() != "k\xff" || list.Pairs[0].Text != "{ a: [ 1, 'two' ] }" || string(list.Pairs[0].JSON) != `{"a":[1,"two"]}` {
		t.Errorf("%+v (%v)", list, err)
	}
	if err := v.Close(); err != nil || ended != 3 {
		t.Errorf("closed: %v, %d ended", err, ended)
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
