package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Upgrade is how an upgrade of Dormouse itself went.
type Upgrade struct {
	PID     int     `json:"pid"` // of the process that serves now
	Version string  `json:"version"`
	Objects int     `json:"objects"`
	Sockets int     `json:"sockets"`         // taken along
	Told    int     `json:"sockets_told"`    // those that could not be, and were told 1012
	Cut     bool    `json:"cut"`             // something ran for too long and was cut
	Silence float64 `json:"silence_seconds"` // in which clients were not heard
	// Steps are where the time went, in order.
	Steps []UpgradeStep `json:"steps"`
}

// UpgradeStep is one of them; docs/operations.md has their names.
type UpgradeStep struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
}

// Upgrader has a successor take over. binary is empty for the running one's path.
// After an error the server goes on.
type Upgrader func(ctx context.Context, binary string) (Upgrade, error)

// ErrNoUpgrade is wrapped by errors over which nothing has been tried.
var ErrNoUpgrade = errors.New("not upgraded")

func upgrade(w http.ResponseWriter, r *http.Request, do Upgrader) {
	if do == nil {
		fail(w, http.StatusConflict, "this server cannot be upgraded in place")
		return
	}
	var ask struct {
		Binary string `json:"binary"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &ask)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, `the body is not like {"binary": "/path"}: `+err.Error())
		return
	}
	// A client that leaves does not stop an upgrade half way.
	done, err := do(context.WithoutCancel(r.Context()), ask.Binary)
	switch {
	case errors.Is(err, ErrNoUpgrade):
		fail(w, http.StatusConflict, err.Error())
	case err != nil:
		fail(w, http.StatusInternalServerError, "the old process serves on: "+err.Error())
	default:
		WriteJSON(w, http.StatusOK, done)
	}
}
