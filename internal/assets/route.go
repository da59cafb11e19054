package assets

import (
	"net/http"
	"path"
	"strings"
)

// Router decides which requests go to the assets and which to the Worker.
type Router struct {
	*Assets
	// WorkerFirst sends every request to the Worker; it has the assets as a
	// binding.
	WorkerFirst bool
	// WorkerPaths go to the Worker first; a pattern with a leading ! excepts.
	// A * stands for any text.
	WorkerPaths []string
	// Navigation answers a browser's navigation with the page for paths that
	// are not found, without asking the Worker (compatibility flag
	// assets_navigation_prefers_asset_serving).
	Navigation bool
}

// First says whether the assets answer r.
func (t *Router) First(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || t.WorkerFirst || t.workerPath(r.URL.Path) {
		return false
	}
	if t.Has(r.URL.Path) {
		return true
	}
	return t.Navigation && t.NotFoundServes() && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// workerPath says whether the patterns send a path to the Worker.
func (t *Router) workerPath(p string) bool {
	first := false
	for _, pattern := range t.WorkerPaths {
		if bare, except := strings.CutPrefix(pattern, "!"); except {
			if matches(bare, p) {
				return false
			}
		} else if matches(pattern, p) {
			first = true
		}
	}
	return first
}

// matches compares a path with a pattern whose * stands for any text.
func matches(pattern, p string) bool {
	p = path.Clean("/"+p) + map[bool]string{true: "/"}[strings.HasSuffix(p, "/") && p != "/"]
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return p == pattern
	}
	if !strings.HasPrefix(p, parts[0]) {
		return false
	}
	p = p[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(p, part)
		if i < 0 {
			return false
		}
		p = p[i+len(part):]
	}
	return strings.HasSuffix(p, parts[len(parts)-1])
}
