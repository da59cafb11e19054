package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
	"github.com/dormouse-dev/dormouse/internal/storage/sqlitefile"
)

// stores is a Runtime whose lobby has a database.
type stores struct {
	runtime
	path, temp string
	open       int
	changes    []string
	refusal    error
}

func newStores(t *testing.T) *stores {
	t.Helper()
	s := &stores{path: filepath.Join(t.TempDir(), "lobby.sqlite"), temp: t.TempDir()}
	db, err := sqlitefile.Create(s.path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(t.Context(), "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, x'00ff'), (9007199254740993, 'two')", sqlitefile.Limits{})
	for _, pair := range [][2]string{{"k", `{"a":1}`}, {"k\xff", "2"}, {"nul\x00/", "3"}} {
		value, e := browse.Serialize([]byte(pair[1]))
		err = errors.Join(err, e, db.Put(pair[0], value))
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.open != 0 {
			t.Errorf("%d views were not closed", s.open)
		}
	})
	return s
}

func (s *stores) Stored(q browse.Query) (*browse.Page, error) {
	if q.After == "nonsense" {
		return nil, Refused{errors.New("nonsense")}
	}
	return &browse.Page{Objects: []browse.Stored{}, Next: fmt.Sprint(q.Namespace, " ", q.After, " ", q.Limit)}, nil
}

func (s *stores) Look(ctx context.Context, k dormouse.Key) (*browse.View, error) {
	if k.ID != rooms.IDFromName("Lobby") {
		return nil, browse.ErrNoData
	}
	s.open++
	return browse.Open(ctx, snapshot.Source{Path: s.path}, s.temp, func() { s.open-- })
}

func (s *stores) Change(_ context.Context, _ dormouse.Key, name *string, c Change) (json.RawMessage, error) {
	if s.refusal != nil {
		return nil, s.refusal
	}
	s.changes = append(s.changes, fmt.Sprintf("%s %s %q %q", *name, c.Do, c.SQL, c.Key))
	return json.RawMessage(`{"done": true}`), nil
}

func (s *stores) Backup(_ context.Context, to io.Writer, which browse.Selection) error {
	fmt.Fprint(to, "some of it")
	return errors.New("the disk is gone")
}

func TestLookIntoDatabases(t *testing.T) {
	s := newStores(t)
	h := NewHandler(s, Options{})
	const lobby = "/api/objects/chat-Room/name:Lobby/"
	pair := func(key, text string, value any, more ...any) map[string]any {
		m := map[string]any{"key": key, "text": text, "bytes": 0.0, "json": value}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	for _, test := range []struct {
		request string
		body    string
		status  int
		want    any // the whole answer, or a part of its error
	}{
		{"GET /api/namespaces", "", 200, map[string]any{"namespaces": []any{"chat-User", "chat-Room"}}},
		{"GET /api/storage?namespace=chat-Room&after=x&limit=7", "", 200, map[string]any{"objects": []any{}, "next": "chat-Room x 7"}},
		{"GET /api/storage?limit=0", "", 400, "limit must be"},
		{"GET /api/storage?after=nonsense", "", 400, "nonsense"},
		{"POST " + lobby + "sql", `{"sql": "SELECT * FROM t"}`, 200, map[string]any{
			"columns": []any{"a", "b"}, "more": false, "changed": 0.0,
			"rows": []any{[]any{1.0, map[string]any{"blob": "AP8="}}, []any{map[string]any{"integer": "9007199254740993"}, "two"}},
		}},
		{"POST " + lobby + "sql", `{"sql": "SELECT a FROM t", "limit": 1}`, 200, map[string]any{"columns": []any{"a"}, "rows": []any{[]any{1.0}}, "more": true, "changed": 0.0}},
		{"POST " + lobby + "sql", `{"sql": "DELETE FROM t"}`, 400, "--write"},
		{"POST " + lobby + "sql", `{"sql": "selec"}`, 400, "syntax error"},
		{"POST " + lobby + "sql", `{"statement": "SELECT 1"}`, 400, "the request needs"},
		{"POST " + lobby + "sql", ``, 400, "the request needs"},
		{"POST /api/objects/chat-Room/name:other/sql", `{"sql": "SELECT 1"}`, 404, "the object has no data"},
		{"POST /api/objects/chat-Nothing/name:other/sql", `{"sql": "SELECT 1"}`, 404, "no namespace"},
		{"GET " + lobby + "sql", "", 405, "POST"},
		{"GET " + lobby + "kv?limit=2", "", 200, map[string]any{"more": true, "pairs": []any{
			pair("k", "{ a: 1 }", map[string]any{"a": 1.0}), pair("k\uFFFD", "2", 2.0, "key_base64", "a/8="),
		}}},
		{"GET " + lobby + "kv?after_base64=a/8%3D", "", 200, map[string]any{"more": false, "pairs": []any{pair("nul\x00/", "3", 3.0)}}},
		{"GET " + lobby + "kv?prefix=nothing", "", 200, map[string]any{"more": false, "pairs": []any{}}},
		{"GET " + lobby + "kv?after_base64=%21", "", 400, "base64"},
		{"GET " + lobby + "value?key=" + url.QueryEscape("nul\x00/"), "", 200, pair("nul\x00/", "3", 3.0)},
		{"GET " + lobby + "value?key_base64=a/8%3D", "", 200, pair("k\uFFFD", "2", 2.0, "key_base64", "a/8=")},
		{"GET " + lobby + "value?key=nothing", "", 404, "no such key"},
		{"GET " + lobby + "value", "", 400, "key="},
		{"PUT " + lobby + "value?key=k", `{"b":2}`, 200, map[string]any{"done": true}},
		{"PUT " + lobby + "value?key=k", `nope`, 400, "not JSON"},
		{"DELETE " + lobby + "value?key_base64=a/8%3D", "", 200, map[string]any{"done": true}},
		{"POST " + lobby + "sql", `{"sql": "DELETE FROM t", "write": true}`, 200, map[string]any{"done": true}},
	} {
		method, path, _ := strings.Cut(test.request, " ")
		status, got := ask(t, h, method, path, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(test.body)) })
		forget(got)
		text, isText := test.want.(string)
		switch {
		case status != test.status:
			t.Errorf("%s %s: %d %v, want %d", test.request, test.body, status, got, test.status)
		case isText && !strings.Contains(fmt.Sprint(got["error"]), text):
			t.Errorf("%s %s: %v, want %q", test.request, test.body, got, text)
		case !isText && !reflect.DeepEqual(got, test.want):
			t.Errorf("%s %s: got %v, want %v", test.request, test.body, got, test.want)
		}
	}
	want := []string{`Lobby put "" "k"`, `Lobby delete "" "k\xff"`, `Lobby sql "DELETE FROM t" ""`}
	if !reflect.DeepEqual(s.changes, want) {
		t.Errorf("changed %q, want %q", s.changes, want)
	}
	for _, test := range []struct {
		err    error
		status int
	}{{Refused{errors.New("no such table")}, 400}, {context.DeadlineExceeded, 504}, {errors.New("broken"), 500}} {
		s.refusal = fmt.Errorf("the object: %w", test.err)
		if status, got := ask(t, h, "DELETE", lobby+"value?key=k", nil); status != test.status {
			t.Errorf("%v: %d %v, want %d", test.err, status, got, test.status)
		}
	}
}

// forget drops what another test looks at: how long a value is, and its bytes.
func forget(answer map[string]any) {
	if _, ok := answer["bytes"]; ok {
		answer["bytes"] = 0.0
	}
	delete(answer, "value_base64")
	list, _ := answer["pairs"].([]any)
	for _, p := range list {
		p.(map[string]any)["bytes"] = 0.0
	}
}

func TestContents(t *testing.T) {
	status, got := ask(t, NewHandler(newStores(t), Options{}), "GET", "/api/objects/chat-Room/name:Lobby/tables", nil)
	tables, _ := got["tables"].([]any)
	if status != 200 || got["keys"] != 3.0 || got["bytes"].(float64) < 4096 || len(tables) != 1 || tables[0].(map[string]any)["name"] != "t" {
		t.Errorf("%d %v, want one table and three keys", status, got)
	}
}

func TestBackupThatFailsBreaksOff(t *testing.T) {
	defer func() {
		if r := recover(); r != http.ErrAbortHandler {
			t.Errorf("the answer ended with %v, want that it breaks off", r)
		}
	}()
	ask(t, NewHandler(newStores(t), Options{}), "POST", "/api/backup", nil)
}

func TestWithoutDatabases(t *testing.T) {
	if status, _ := ask(t, NewHandler(new(runtime), Options{}), "GET", "/api/storage", nil); status != 404 {
		t.Errorf("a runtime without databases answers %d, want 404", status)
	}
}
