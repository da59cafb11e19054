package assets

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// site makes a folder of files, each with its name as content.
func site(t *testing.T, c Config, files ...string) *Assets {
	t.Helper()
	c.Directory = t.TempDir()
	for _, f := range files {
		p := filepath.Join(c.Directory, filepath.FromSlash(f))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func get(a *Assets, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// TestHTMLHandling is the table of Cloudflare's documentation.
func TestHTMLHandling(t *testing.T) {
	files := []string{"file.html", "folder/index.html", "both.html", "both/index.html", "bin/%.txt"}
	for mode, want := range map[string]map[string]string{
		"auto-trailing-slash": {
			"/file": "file.html", "/file.html": ">/file", "/file/": ">/file", "/file/index": "", "/file/index.html": "",
			"/folder": ">/folder/", "/folder.html": "", "/folder/": "folder/index.html", "/folder/index.html": ">/folder/",
			"/both": "both.html", "/both/": "both/index.html", "/bin/%.txt": "bin/%.txt", "/folder?q=1": ">/folder/?q=1",
		},
		"force-trailing-slash": {
			"/file": ">/file/", "/file.html": ">/file/", "/file/": "file.html",
			"/folder": ">/folder/", "/folder/": "folder/index.html", "/folder/index.html": ">/folder/",
		},
		"drop-trailing-slash": {
			"/file": "file.html", "/file.html": ">/file", "/file/": ">/file",
			"/folder": "folder/index.html", "/folder/": ">/folder", "/folder/index.html": ">/folder",
		},
		"none": {
			"/file": "", "/file.html": "file.html", "/folder/": "", "/folder/index.html": "folder/index.html",
		},
	} {
		a := site(t, Config{HTML: mode}, files...)
		for p, want := range want {
			w := get(a, p)
			got := w.Body.String()
			if l := w.Header().Get("Location"); l != "" {
				got = ">" + l
			}
			if got != want {
				t.Errorf("%s: %s: got %q, want %q", mode, p, got, want)
			}
			bare, _, _ := strings.Cut(p, "?")
			if has := a.Has(bare); has != (want != "") {
				t.Errorf("%s: Has(%s) is %v", mode, p, has)
			}
		}
	}
}

func TestNotFound(t *testing.T) {
	files := []string{"index.html", "404.html", "docs/404.html"}
	for mode, want := range map[string][2]string{
		"none":                    {"404", ""},
		"404-page":                {"404", "docs/404.html"},
		"single-page-application": {"200", "index.html"},
	} {
		w := get(site(t, Config{NotFound: mode}, files...), "/docs/a/b")
		if got := [2]string{http.StatusText(w.Code), w.Body.String()}; w.Code != map[string]int{"404": 404, "200": 200}[want[0]] || got[1] != want[1] {
			t.Errorf("%s: got %d %q, want %s %q", mode, w.Code, got[1], want[0], want[1])
		}
	}
}

func TestConditionsAndRanges(t *testing.T) {
	a := site(t, Config{}, "app.js")
	first := get(a, "/app.js")
	etag := first.Header().Get("ETag")
	if first.Code != 200 || etag == "" || first.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Fatalf("got %d %v", first.Code, first.Header())
	}
	if w := get(a, "/app.js", "If-None-Match", etag); w.Code != http.StatusNotModified {
		t.Errorf("with the same tag: got %d", w.Code)
	}
	if w := get(a, "/app.js", "Range", "bytes=1-2"); w.Code != http.StatusPartialContent || w.Body.String() != "pp" {
		t.Errorf("a range: got %d %q", w.Code, w.Body)
	}
	if err := os.WriteFile(filepath.Join(a.cfg.Directory, "app.js"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if w := get(a, "/app.js", "If-None-Match", etag); w.Code != 200 || w.Body.String() != "other" {
		t.Errorf("after a change: got %d %q", w.Code, w.Body)
	}
}

func TestNothingOutsideIsServed(t *testing.T) {
	a := site(t, Config{}, "index.html", "_headers")
	secret := filepath.Join(filepath.Dir(a.cfg.Directory), "secret.txt")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(a.cfg.Directory, "link.txt")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/../secret.txt", "/./../secret.txt", "/link.txt", "/_headers", "//secret.txt", "/a\x00b", "/.", "/..", `/..\secret.txt`, secret, ""} {
		if w := get(a, p); w.Code == 200 {
			t.Errorf("%q: got %d %q", p, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "/index.html", nil)
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", w.Code)
	}
}
