package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
)

// Past is implemented by a Runtime that keeps what objects were.
type Past interface {
	// History lists the last moments of an object's history.
	History(ctx context.Context, k dormouse.Key, limit int) (*browse.History, error)
	// PutBack resets an object and puts its storage back to an earlier state. It
	// returns when that is durable.
	PutBack(ctx context.Context, k dormouse.Key, to browse.PastPoint) (*browse.PutBack, error)
}

// putBackLimit is how long it may take to put an object back.
const putBackLimit = 5 * time.Minute

// pastHandlers adds the paths of history.
func pastHandlers(mux *http.ServeMux, rt Runtime, p Past) {
	mux.HandleFunc("GET /api/objects/{namespace}/{id}/history", func(w http.ResponseWriter, r *http.Request) {
		limit, ok := limitOf(w, r, 100, 10_000)
		if !ok {
			return
		}
		withKey(w, r, rt, func(k dormouse.Key) {
			h, err := p.History(r.Context(), k, limit)
			answer(w, h, err)
		})
	})
	mux.HandleFunc("POST /api/objects/{namespace}/{id}/restore", func(w http.ResponseWriter, r *http.Request) {
		withKey(w, r, rt, func(k dormouse.Key) { putBack(w, r, p, k) })
	})
}

func putBack(w http.ResponseWriter, r *http.Request, p Past, k dormouse.Key) {
	var to browse.PastPoint
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&to); err != nil || (to.Bookmark == "") == to.Time.IsZero() {
		text := `the request needs {"bookmark": "…"} or {"time": "2026-11-22T08:00:00Z"}`
		if err != nil {
			text += ": " + err.Error()
		}
		fail(w, http.StatusBadRequest, text)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), putBackLimit)
	defer cancel()
	x, err := p.PutBack(ctx, k, to)
	answer(w, x, err)
}
