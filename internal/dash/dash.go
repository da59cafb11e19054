// Package dash is the page on the admin address: files that are part of the
// program, with the rules under which a browser may use them. What the page
// shows it asks of the admin API, like anybody else; this package knows nothing
// of it.
package dash

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed page
var files embed.FS

// policy lets the page load what lies beside it and ask the address it came
// from, and nothing else: no inline code, no other host, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Folder is where the files beside the page are served.
const Folder = "/dash/"

// Page serves the page itself.
func Page() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rules(w)
		http.ServeFileFS(w, r, files, "page/dashboard.html")
	})
}

// Files serves what lies beside it.
func Files() http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	serve := http.StripPrefix(Folder, http.FileServerFS(page))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == Folder {
			http.NotFound(w, r)
			return
		}
		rules(w)
		serve.ServeHTTP(w, r)
	})
}

func rules(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // the next version has the same names
}
