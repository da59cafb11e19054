package stores

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/r2"
	"github.com/dormouse-dev/dormouse/internal/shelf"
)

// oneBucket keeps a bucket named files, and nothing else.
type oneBucket struct{ *r2.Bucket }

func (oneBucket) KVNames() ([]string, error)      { return nil, nil }
func (oneBucket) R2Names() ([]string, error)      { return []string{"files"}, nil }
func (oneBucket) KV(string) (*kv.Store, error)    { panic("nobody asks for a namespace") }
func (k oneBucket) R2(string) (*r2.Bucket, error) { return k.Bucket, nil }

// ask says a type of the body that no header can hold as it is.
func ask(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/plain; mood=\"\U0001f600\"")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestObjectHeaderIsJSON: whatever characters a key or metadata have, a header can
// hold them, and a parser of JSON gives them back.
func TestObjectHeaderIsJSON(t *testing.T) {
	s, err := shelf.Open(r2.Shelf(t.TempDir(), true))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := Handler(oneBucket{r2.New(s)})
	for _, key := range []string{"plain", "ünïcode", "a\u2028b", "\U0001f600", "\U0010ffff\ue000"} {
		target := "/api/r2/files/object?key=" + url.QueryEscape(key)
		if w := ask(h, "PUT", target, "body"); w.Code != http.StatusOK {
			t.Fatalf("%q: put answers %d, %s", key, w.Code, w.Body)
		}
		w := ask(h, "GET", target, "")
		header := w.Header().Get(objectHeader)
		var o struct {
			Key  string
			HTTP struct{ ContentType string } `json:"http"`
		}
		if err := json.Unmarshal([]byte(header), &o); err != nil {
			t.Errorf("%q: %v in %s", key, err, header)
			continue
		}
		if o.Key != key || o.HTTP.ContentType != "text/plain; mood=\"\U0001f600\"" {
			t.Errorf("%q: got %q, %q", key, o.Key, o.HTTP.ContentType)
		}
		if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			t.Errorf("%q: no header can hold %q", key, header)
		}
	}
}
