package kv

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dormouse-dev/dormouse/internal/shelf"
)

type world struct {
	*Store
	t   testing.TB
	dir string
	at  time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), at: time.Unix(1_800_000_000, 0)}
	s, err := shelf.Open(Shelf(w.dir, true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w.Store = New(s)
	w.now = func() time.Time { return w.at }
	return w
}

// ask returns the status and the body of an answer.
func (w *world) ask(method, path string, body io.Reader, header ...string) (int, string) {
	w.t.Helper()
	r := httptest.NewRequest(method, "http://kv"+path, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

func (w *world) files() int {
	list, _ := filepath.Glob(filepath.Join(w.dir, shelf.FilesFolder, "*", "*"))
	drafts, _ := filepath.Glob(filepath.Join(w.dir, shelf.FilesFolder, ".new-*"))
	return len(list) + len(drafts)
}

func TestValuesOfEverySize(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{0, 1, maxInline - 1, maxInline, maxInline + 1, 5 * maxInline, MaxValue} {
		value := strings.Repeat("x", n)
		if code, text := w.ask("PUT", "/k", strings.NewReader(value)); code != 200 {
			t.Fatalf("%d bytes: %d %s", n, code, text)
		}
		if code, got := w.ask("GET", "/k", nil); code != 200 || got != value {
			t.Errorf("%d bytes: %d, %d bytes", n, code, len(got))
		}
		if want := min(1, n/(maxInline+1)); w.files() != want {
			t.Errorf("%d bytes: %d files, want %d", n, w.files(), want)
		}
	}
	if code, text := w.ask("PUT", "/k", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", MaxValue+1))}); code != 413 {
		t.Errorf("too long: %d %s", code, text)
	}
	if w.files() != 1 {
		t.Errorf("%d files, want that of the last value", w.files())
	}
	w.ask("DELETE", "/k", nil)
	if w.files() != 0 {
		t.Errorf("%d files after delete", w.files())
	}
}

func TestValueThatBreaksOffChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.ask("PUT", "/k", strings.NewReader("before"))
	for _, n := range []int{10, 2 * maxInline} {
		broken := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(fmt.Errorf("gone")))
		if code, _ := w.ask("PUT", "/k", broken); code == 200 {
			t.Errorf("%d bytes: stored", n)
		}
		if _, got := w.ask("GET", "/k", nil); got != "before" || w.files() != 0 {
			t.Errorf("%d bytes: %q, %d files", n, got, w.files())
		}
	}
}

func TestEntriesGoWhenTheirTimeHasCome(t *testing.T) {
	w := newWorld(t)
	big := strings.Repeat("x", 2*maxInline)
	for i := range 20 {
		if code, text := w.ask("PUT", fmt.Sprintf("/k%02d?expiration_ttl=60", i), strings.NewReader(big)); code != 200 {
			t.Fatal(code, text)
		}
	}
	w.ask("PUT", "/stays", strings.NewReader("x"))
	w.at = w.at.Add(59 * time.Second)
	if code, _ := w.ask("GET", "/k01", nil); code != 200 {
		t.Errorf("%d before its time", code)
	}
	w.at = w.at.Add(time.Second)
	if code, _ := w.ask("GET", "/k01", nil); code != 404 {
		t.Errorf("%d after its time", code)
	}
	if _, list := w.ask("GET", "/", nil); !strings.Contains(list, `"keys":[{"name":"stays"}]`) {
		t.Errorf("list: %s", list)
	}
	for range 3 { // each write takes some of them along
		w.ask("PUT", "/stays", strings.NewReader("x"))
	}
	if w.files() != 0 {
		t.Errorf("%d files, want none: their time is over", w.files())
	}
}

func TestHostileQuestions(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("a", MaxKey+1)
	for _, q := range []struct {
		method, path, body string
		code               int
	}{
		{"GET", "/%2e%2e", "", 400}, {"PUT", "/.", "x", 400}, {"GET", "/" + long, "", 414}, {"PATCH", "/a", "", 405}, {"PUT", "/", "x", 400},
		{"GET", "/?cursor=%21%21", "", 400}, {"GET", "/?cursor=" + strings.Repeat("AAAA", 1000), "", 400}, {"GET", "/?prefix=" + long, "", 414},
		{"GET", "/?key_count_limit=1e9", "", 400}, {"GET", "/?key_count_limit=-1", "", 400}, {"PUT", "/a?expiration=x", "x", 400},
		{"PUT", "/a?expiration_ttl=99999999999999999999", "x", 400}, {"GET", "/a?cache_ttl=x", "", 400},
		{"POST", "/", "{", 400}, {"POST", "/", `{"keys":"a"}`, 400}, {"POST", "/", `{"keys":[]}`, 400}, {"POST", "/", `{"keys":["` + strings.Repeat("x", maxQuestion) + `"]}`, 413},
	} {
		if code, text := w.ask(q.method, q.path, strings.NewReader(q.body)); code != q.code || text == "" {
			t.Errorf("%s %.60s: %d %q, want %d and why", q.method, q.path, code, text, q.code)
		}
	}
	if code, text := w.ask("PUT", "/a", strings.NewReader("x"), "CF-KV-Metadata", "{no json"); code != 400 {
		t.Errorf("metadata: %d %s", code, text)
	}
}

// Whatever is asked: an answer, nothing outside of the folder, and what was
// stored under a key is what is read under it.
func FuzzKeys(f *testing.F) {
	for _, k := range []string{"a", "..", "../../x", "a/b", "a\x00b", "%00", "ü", "\xff", "", "?", "#", strings.Repeat("x", 600)} {
		f.Add(k, "p")
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, key, prefix string) {
		w.t = t
		path := "/" + url.PathEscape(key)
		code, text := w.ask("PUT", path, strings.NewReader(key))
		bad := key == "" || key == "." || key == ".." || len(key) > MaxKey
		if bad != (code != http.StatusOK) {
			t.Fatalf("put %q: %d %s", key, code, text)
		}
		if bad {
			return
		}
		if code, got := w.ask("GET", path, nil); code != 200 || got != key {
			t.Fatalf("get %q: %d %q", key, code, got)
		}
		if code, text := w.ask("GET", "/?prefix="+url.QueryEscape(prefix)+"&cursor="+url.QueryEscape(cursorOf(key)), nil); code == 200 && !json.Valid([]byte(text)) {
			t.Fatalf("list: %s", text)
		}
		if code, _ := w.ask("DELETE", path, nil); code != 200 {
			t.Fatalf("delete %q: %d", key, code)
		}
		entries, err := os.ReadDir(filepath.Dir(w.dir))
		if err != nil || len(entries) != 1 {
			t.Fatalf("beside the folder: %v (%v)", entries, err)
		}
	})
}
