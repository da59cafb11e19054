// Package assets serves a Worker's static files as Cloudflare's assets do: it
// knows a folder, the names that a path may mean there, and what to say when
// there is none. It never sees a Worker or an object.
//
// Cloudflare: "Static Assets", routing and HTML handling.
package assets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"
)

// Config says how paths become files.
type Config struct {
	Directory string
	// HTML is "auto-trailing-slash" (also when empty), "force-trailing-slash",
	// "drop-trailing-slash" or "none".
	HTML string
	// NotFound is "single-page-application", "404-page" or "none" (also when
	// empty).
	NotFound string
}

// Assets serves one folder. Nothing outside of it can be reached, also not
// through links.
type Assets struct {
	cfg  Config
	root *os.Root

	mu   sync.Mutex // guards the following
	tags map[string]tag
}

// tag is the hash of a file as it was at that time.
type tag struct {
	size  int64
	time  time.Time
	value string
}

const (
	// maxTags bounds how many hashes are remembered; past it all are forgotten.
	maxTags = 100_000
	// maxFile is the largest file that is served, in bytes, as on Cloudflare.
	maxFile = 25 << 20
)

// Open opens the folder. Close releases it.
func Open(c Config) (*Assets, error) {
	switch c.HTML {
	case "":
		c.HTML = "auto-trailing-slash"
	case "auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none":
	default:
		return nil, fmt.Errorf("html_handling %q is not known", c.HTML)
	}
	root, err := os.OpenRoot(c.Directory)
	if err != nil {
		return nil, fmt.Errorf("assets: %w", err)
	}
	return &Assets{cfg: c, root: root, tags: make(map[string]tag)}, nil
}

// Close releases the folder.
func (a *Assets) Close() error { return a.root.Close() }

// Has says whether the path names a file, or leads to one by a redirect.
func (a *Assets) Has(urlPath string) bool {
	file, redirect := a.find(urlPath)
	return file != "" || redirect != ""
}

// NotFoundServes says whether a path that names nothing is answered from here:
// with the page of a single-page application, or a 404 page.
func (a *Assets) NotFoundServes() bool {
	return a.cfg.NotFound == "single-page-application" || a.cfg.NotFound == "404-page"
}

// ServeHTTP answers from the folder alone.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	file, redirect := a.find(r.URL.Path)
	switch {
	case redirect != "":
		if r.URL.RawQuery != "" {
			redirect += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", redirect)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case file != "":
		a.serve(w, r, file, http.StatusOK)
	case a.cfg.NotFound == "single-page-application" && a.file("/index.html"):
		a.serve(w, r, "/index.html", http.StatusOK)
	default:
		a.notFound(w, r)
	}
}

// notFound answers with the nearest 404.html above the path, if that is wanted.
func (a *Assets) notFound(w http.ResponseWriter, r *http.Request) {
	if a.cfg.NotFound == "404-page" {
		for dir := path.Dir(path.Clean("/" + r.URL.Path)); ; dir = path.Dir(dir) {
			if page := path.Join(dir, "404.html"); a.file(page) {
				a.serve(w, r, page, http.StatusNotFound)
				return
			}
			if dir == "/" {
				break
			}
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// find says which file a path means, or where the client has to go for it.
func (a *Assets) find(p string) (file, redirect string) {
	if !strings.HasPrefix(p, "/") || strings.Contains(p, "\x00") || p != cleaned(p) {
		return "", ""
	}
	if a.cfg.HTML == "none" {
		if a.file(p) {
			return p, ""
		}
		return "", ""
	}
	switch {
	case strings.HasSuffix(p, "/"):
		return a.folder(p)
	case strings.HasSuffix(p, "/index.html"):
		if !a.file(p) {
			return "", ""
		}
		dir := strings.TrimSuffix(p, "index.html")
		if a.cfg.HTML == "drop-trailing-slash" && dir != "/" {
			dir = strings.TrimSuffix(dir, "/")
		}
		return "", dir
	case strings.HasSuffix(p, ".html") && a.file(p):
		bare := strings.TrimSuffix(p, ".html")
		if a.cfg.HTML == "force-trailing-slash" {
			bare += "/"
		}
		return "", bare
	case a.file(p):
		return p, ""
	}
	return a.page(p)
}

// folder is a path that ends in a slash.
func (a *Assets) folder(p string) (file, redirect string) {
	bare := strings.TrimSuffix(p, "/")
	index, page := p+"index.html", bare+".html"
	switch {
	case a.file(index):
		if a.cfg.HTML == "drop-trailing-slash" && bare != "" {
			return "", bare
		}
		return index, ""
	case bare != "" && a.file(page):
		if a.cfg.HTML == "force-trailing-slash" {
			return page, ""
		}
		return "", bare
	}
	return "", ""
}

// page is a path without an extension that is no file itself.
func (a *Assets) page(p string) (file, redirect string) {
	index, page := p+"/index.html", p+".html"
	switch {
	case a.file(page):
		if a.cfg.HTML == "force-trailing-slash" {
			return "", p + "/"
		}
		return page, ""
	case a.file(index):
		if a.cfg.HTML == "drop-trailing-slash" {
			return index, ""
		}
		return "", p + "/"
	}
	return "", ""
}

// cleaned is the path without dots and doubled slashes.
func cleaned(p string) string {
	c := path.Clean(p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// private are files that say how to serve, and are not served.
var private = map[string]bool{"/_headers": true, "/_redirects": true, "/.assetsignore": true, "/_worker.js": true, "/_routes.json": true}

// file says whether the path is a file that may be served.
func (a *Assets) file(p string) bool {
	if private[p] {
		return false
	}
	i, err := a.root.Stat(strings.TrimPrefix(p, "/"))
	return err == nil && i.Mode().IsRegular() && i.Size() <= maxFile
}

// serve sends a file; http.ServeContent knows ranges and conditions.
func (a *Assets) serve(w http.ResponseWriter, r *http.Request, p string, status int) {
	f, err := a.root.Open(strings.TrimPrefix(p, "/"))
	if err != nil {
		code := http.StatusInternalServerError
		if errors.Is(err, fs.ErrNotExist) {
			code = http.StatusNotFound // it has gone in between
		}
		w.WriteHeader(code)
		return
	}
	defer f.Close()
	etag, err := a.tag(p, f)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("ETag", etag)
	h.Set("Cache-Control", "public, max-age=0, must-revalidate")
	h.Set("Content-Type", contentType(p))
	if status != http.StatusOK {
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			io.Copy(w, f)
		}
		return
	}
	http.ServeContent(w, r, p, time.Time{}, f)
}

// tag is the hash of a file's contents, computed once for each change.
func (a *Assets) tag(p string, f *os.File) (string, error) {
	i, err := f.Stat()
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	t, ok := a.tags[p]
	a.mu.Unlock()
	if ok && t.size == i.Size() && t.time.Equal(i.ModTime()) {
		return t.value, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	t = tag{i.Size(), i.ModTime(), `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`}
	a.mu.Lock()
	if len(a.tags) >= maxTags {
		clear(a.tags)
	}
	a.tags[p] = t
	a.mu.Unlock()
	return t.value, nil
}

// types are those that the machine's own table may lack or have differently.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".json": "application/json", ".map": "application/json", ".webmanifest": "application/manifest+json",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".xml": "application/xml",
	".wasm": "application/wasm", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
	".gif": "image/gif", ".webp": "image/webp", ".avif": "image/avif", ".ico": "image/vnd.microsoft.icon",
	".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".pdf": "application/pdf",
	".mp3": "audio/mpeg", ".mp4": "video/mp4", ".webm": "video/webm",
}

func contentType(p string) string {
	ext := strings.ToLower(path.Ext(p))
	if t := types[ext]; t != "" {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}
