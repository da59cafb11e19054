package assets

import (
	"net/http/httptest"
	"testing"
)

func TestWhoAnswers(t *testing.T) {
	a := site(t, Config{NotFound: "single-page-application"}, "index.html", "app.js", "api/open.json")
	plain := &Router{Assets: a}
	navigation := &Router{Assets: a, Navigation: true}
	first := &Router{Assets: a, WorkerFirst: true}
	paths := &Router{Assets: a, WorkerPaths: []string{"/api/*", "!/api/open*"}}
	for _, c := range []struct {
		name     string
		router   *Router
		method   string
		path     string
		navigate bool
		want     bool
	}{
		{"a file", plain, "GET", "/app.js", false, true},
		{"a file with POST", plain, "POST", "/app.js", false, false},
		{"no file", plain, "GET", "/room", false, false},
		{"a navigation, before the flag", plain, "GET", "/room", true, false},
		{"a navigation", navigation, "GET", "/room", true, true},
		{"no navigation", navigation, "GET", "/room", false, false},
		{"the Worker first", first, "GET", "/app.js", false, false},
		{"a path of the Worker", paths, "GET", "/api/x", false, false},
		{"an exception", paths, "GET", "/api/open.json", false, true},
		{"another path", paths, "GET", "/app.js", false, true},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if c.navigate {
			r.Header.Set("Sec-Fetch-Mode", "navigate")
		}
		if got := c.router.First(r); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/api/*", "/api/x/y", true}, {"/api/*", "/api", false}, {"/a*b", "/aXXb", true}, {"/a*b*c", "/a1b2c", true},
		{"/a*b*c", "/a1c", false}, {"/x", "/x", true}, {"/x", "/x/", false}, {"/*", "/", true}, {"/api/*", "/app/../api/x", true},
	} {
		if got := matches(c.pattern, c.path); got != c.want {
			t.Errorf("%s %s: got %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
}
