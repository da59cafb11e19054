package dash_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/dash"
)

func TestPageComesWithItsRules(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", dash.Page())
	mux.Handle("GET "+dash.Folder, dash.Files())
	for path, kind := range map[string]string{"/": "text/html", "/dash/main.js": "text/javascript", "/dash/style.css": "text/css"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s has the policy %q", path, csp)
		}
	}
	for _, path := range []string{"/dash/", "/dash/nothing.js", "/dash/../dash.go"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code == http.StatusOK {
			t.Errorf("%s is there", path)
		}
	}
}

// TestPageAsksNobodyElse: no file names another host, and none makes markup out
// of what objects say.
func TestPageAsksNobodyElse(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|<script>|\son[a-z]+=|style=`)
	err := fs.WalkDir(os.DirFS("page"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(os.DirFS("page"), path)
		if at := foreign.FindString(string(b)); at != "" {
			t.Errorf("%s has %q", path, at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
