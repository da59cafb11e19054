package admin

import (
	"net/http"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// Timeline is implemented by a Runtime that remembers what happened to its
// objects.
type Timeline interface {
	Timeline(dormouse.Key) []Moment // oldest first
}

// Moment is something that happened to an object.
type Moment struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // wake, sleep, reset, isolated, error
	Why  string    `json:"why,omitempty"`
	// Of an error: its event, and the version of the code in which it was thrown.
	Event   string  `json:"event_id,omitempty"`
	Version string  `json:"version,omitempty"`
	Events  uint32  `json:"events,omitempty"`
	Lasted  float64 `json:"lasted_seconds,omitempty"`
}

func timelineHandler(mux *http.ServeMux, rt Runtime, t Timeline) {
	mux.HandleFunc("GET /api/objects/{namespace}/{id}/timeline", func(w http.ResponseWriter, r *http.Request) {
		withKey(w, r, rt, func(k dormouse.Key) {
			WriteJSON(w, http.StatusOK, map[string]any{"timeline": t.Timeline(k)})
		})
	})
}
