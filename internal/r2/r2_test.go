package r2

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/dormouse-dev/dormouse/internal/shelf"
)

func newBucket(t testing.TB) (*Bucket, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := shelf.Open(Shelf(dir, true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return New(s), dir
}

func files(dir string) int {
	list, _ := filepath.Glob(filepath.Join(dir, shelf.FilesFolder, "*", "*"))
	drafts, _ := filepath.Glob(filepath.Join(dir, shelf.FilesFolder, ".new-*"))
	return len(list) + len(drafts)
}

func put(t testing.TB, b *Bucket, key, body string) {
	t.Helper()
	if _, err := b.Put(t.Context(), key, putting{}, int64(len(body)), strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, b *Bucket, key string, p PartOf) string {
	t.Helper()
	_, body, err := b.Get(t.Context(), key, nil, p)
	if err != nil {
		return err.Error()
	}
	defer body.Close()
	s, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

func TestBodyThatIsNotWholeChangesNothing(t *testing.T) {
	b, dir := newBucket(t)
	put(t, b, "k", "before")
	for label, body := range map[string]io.Reader{
		"short":  strings.NewReader("abc"),
		"long":   strings.NewReader("abcdef"),
		"broken": io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(errors.New("gone"))),
	} {
		if _, err := b.Put(t.Context(), "k", putting{}, 5, body); err == nil {
			t.Errorf("%s: stored", label)
		}
	}
	_, err := b.Put(t.Context(), "k", putting{Checksums: map[string]string{"sha256": strings.Repeat("00", 32)}}, 3, strings.NewReader("abc"))
	if p, ok := errors.AsType[*problem](err); !ok || p.Code != 10037 {
		t.Errorf("wrong checksum: %v", err)
	}
	if got := text(t, b, "k", PartOf{}); got != "before" || files(dir) != 1 {
		t.Errorf("%q, %d files; want what was there, in one", got, files(dir))
	}
}

func TestReplacedBodyIsReadToItsEnd(t *testing.T) {
	b, dir := newBucket(t)
	put(t, b, "k", "before")
	_, body, err := b.Get(t.Context(), "k", nil, PartOf{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, b, "k", "after")
	if err := b.Delete(t.Context(), []string{"k"}); err != nil {
		t.Fatal(err)
	}
	if s, _ := io.ReadAll(body); string(s) != "before" {
		t.Errorf("%q", s)
	}
	body.Close()
	if n := files(dir); n != 0 {
		t.Errorf("%d files", n)
	}
}

// A list is what the keys in their order are, cut into pages, with groups told
// once: however large the pages are.
func TestListIsWhatAModelSays(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b, _ := newBucket(t)
		word := rapid.StringOfN(rapid.SampledFrom([]rune("ab/ü\x00")), 0, 5, -1)
		keys := rapid.SliceOfNDistinct(word, 0, 12, func(s string) string { return s }).Draw(r, "keys")
		for _, k := range keys {
			put(t, b, k, "x")
		}
		q := listing{Prefix: rapid.SampledFrom([]string{"", "a", "a/", "ü"}).Draw(r, "prefix"), Delimiter: rapid.SampledFrom([]string{"", "/", "b/", "ü"}).Draw(r, "delimiter")}
		if rapid.Bool().Draw(r, "after") {
			s := word.Draw(r, "startAfter")
			q.StartAfter = &s
		}
		var want []string
		slices.Sort(keys)
		for _, k := range keys {
			rest, ok := strings.CutPrefix(k, q.Prefix)
			if !ok || q.StartAfter != nil && k <= *q.StartAfter {
				continue
			}
			if head, _, found := strings.Cut(rest, q.Delimiter); found && q.Delimiter != "" {
				k = "group " + q.Prefix + head + q.Delimiter
			} else {
				k = "key " + k
			}
			if !slices.Contains(want, k) {
				want = append(want, k)
			}
		}
		var got []string
		limit := float64(rapid.IntRange(1, 5).Draw(r, "limit"))
		q.Limit = &limit
		for page := 0; ; page++ {
			l, err := b.List(t.Context(), q)
			if err != nil || len(l.Objects)+len(l.Prefixes) > int(limit) || page > 50 {
				r.Fatalf("page %d: %+v (%v)", page, l, err)
			}
			for _, o := range l.Objects {
				got = append(got, "key "+o.Key)
			}
			for _, p := range l.Prefixes {
				got = append(got, "group "+p)
			}
			if !l.Truncated {
				break
			}
			q.Cursor = l.Cursor
		}
		order := func(a, b string) int { return cmp.Compare(a, b) }
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if !slices.Equal(got, want) {
			r.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestRangesStayWithinTheBody(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.Int64Range(0, 20).Draw(r, "size")
		maybe := func(name string) *float64 {
			if !rapid.Bool().Draw(r, name+"?") {
				return nil
			}
			n := rapid.OneOf(rapid.Float64(), rapid.Map(rapid.IntRange(-3, 30), func(n int) float64 { return float64(n) })).Draw(r, name)
			return &n
		}
		p := PartOf{Offset: maybe("offset"), Length: maybe("length"), Suffix: maybe("suffix")}
		if rapid.Bool().Draw(r, "header?") {
			p.Header = rapid.OneOf(rapid.String(), rapid.StringMatching(`bytes=[0-9]{0,20}-[0-9]{0,20}`)).Draw(r, "header")
		}
		part, err := p.of(size)
		if err == nil && (part.Offset < 0 || part.Length < 0 || part.Offset+part.Length > size) {
			r.Fatalf("%+v of %d bytes", part, size)
		}
	})
}

// Whatever is asked, there is an answer, and errors say what is wrong.
func FuzzQuestions(f *testing.F) {
	b, dir := newBucket(f)
	put(f, b, "k", "hello")
	for _, what := range []string{"head", "get", "put", "list", "delete", "uploadPart", "../x", ""} {
		for _, q := range []string{`{"key":"k"}`, `{"key":"../../k","range":{"offset":-1}}`, `{`, `null`, `[]`, `{"key":1}`, `{"cursor":"!!"}`, `{"limit":1e308}`,
			`{"key":"n","checksums":{"md5":"zz"}}`, `{"key":"n","checksums":{"crc":"00"}}`, `{"onlyIf":{"etagMatches":[{}]}}`, `["k"]`} {
			f.Add(what, q, "body")
		}
	}
	f.Fuzz(func(t *testing.T, what, question, body string) {
		r := httptest.NewRequest("PUT", "http://r2/", strings.NewReader(body))
		r.URL.Path = "/" + what
		r.Header[requestHeader] = []string{question}
		rec := httptest.NewRecorder()
		b.ServeHTTP(rec, r)
		if rec.Code >= 400 {
			var p problem
			if err := json.Unmarshal([]byte(rec.Header().Get(errorHeader)), &p); err != nil || p.Message == "" || p.Code == 0 || rec.Code == 500 {
				t.Fatalf("%s %q: %d %q (%v)", what, question, rec.Code, rec.Header().Get(errorHeader), err)
			}
		}
		if outside, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(outside) != 1 {
			t.Fatalf("beside the folder: %q", outside)
		}
	})
}

func TestDeleteIsAllOrNothing(t *testing.T) {
	b, _ := newBucket(t)
	put(t, b, "a", "x")
	if err := b.Delete(t.Context(), []string{"a", strings.Repeat("x", MaxKey+1)}); !errors.Is(err, errName) {
		t.Errorf("%v, want errName", err)
	}
	if err := b.Delete(t.Context(), make([]string, MaxDelete+1)); !errors.Is(err, errTooMany) {
		t.Errorf("%v, want errTooMany", err)
	}
	if _, err := b.Head(t.Context(), "a"); err != nil {
		t.Errorf("a has gone: %v", err)
	}
	if got := fmt.Sprint(b.Delete(t.Context(), []string{"a", "never there"})); got != "<nil>" {
		t.Error(got)
	}
}
