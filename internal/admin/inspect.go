package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Inspector is implemented by a Runtime whose guests can be debugged while they
// run.
type Inspector interface {
	// Inspect lets DevTools into a guest, on loopback, or no longer, and returns the
	// URL of its protocol. ErrNoGuest: there is none with that number.
	Inspect(ctx context.Context, guest uint32, on bool) (url string, err error)
}

// ErrNoGuest is returned for a guest that does not run.
var ErrNoGuest = errors.New("there is no such guest; GET /api/guests lists them")

// inspectLimit is how long a guest may take to answer.
const inspectLimit = 5 * time.Second

func inspectHandler(mux *http.ServeMux, rt Inspector) {
	handle := func(on bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n, err := strconv.ParseUint(r.PathValue("guest"), 10, 32)
			if err != nil {
				fail(w, http.StatusBadRequest, "a guest is named by its number")
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), inspectLimit)
			defer cancel()
			url, err := rt.Inspect(ctx, uint32(n), on)
			switch {
			case errors.Is(err, ErrNoGuest):
				fail(w, http.StatusNotFound, err.Error())
			case err != nil:
				fail(w, http.StatusConflict, err.Error())
			case !on:
				WriteJSON(w, http.StatusOK, map[string]any{"guest": n, "inspected": false})
			default:
				WriteJSON(w, http.StatusOK, map[string]any{
					"guest": n, "inspected": true, "url": url,
					"devtools": "devtools://devtools/bundled/js_app.html?ws=" + strings.TrimPrefix(url, "ws://"),
				})
			}
		}
	}
	mux.HandleFunc("POST /api/guests/{guest}/inspect", handle(true))
	mux.HandleFunc("DELETE /api/guests/{guest}/inspect", handle(false))
}
