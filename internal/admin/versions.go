package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Versions keeps versions of the code that guests run. Methods may be called on
// any goroutine.
type Versions interface {
	// List is the versions that are kept, the newest first.
	List() []Version
	// Deploy keeps the version whose package body is, and has guests run it. sum is
	// what the body's SHA-256 has to be. It returns when the version serves.
	Deploy(ctx context.Context, body io.Reader, sum [32]byte, deadline time.Duration) (Version, error)
	// Rollback has guests run a version that is kept; 0 means the previous one.
	Rollback(ctx context.Context, number int, deadline time.Duration) (Version, error)
}

// Version is code that the server has run or runs.
type Version struct {
	Number  int       `json:"number"`
	Made    time.Time `json:"made"`
	Hash    string    `json:"hash"`
	Worker  string    `json:"worker"`
	Source  string    `json:"source"`
	Classes []string  `json:"classes"`
	State   string    `json:"state"`   // current, previous, kept
	Objects int       `json:"objects"` // in memory that run it now
	// Moving is set while objects of the version, which is not current any more,
	// have not moved.
	Moving bool `json:"moving"`
	// Unchanged says, in the answer to a deploy, that it is what served already.
	Unchanged bool `json:"unchanged,omitempty"`
}

// NotDeployed is why a version does not serve: the one before it goes on.
type NotDeployed struct {
	Status int // of HTTP
	Err    error
}

func (r *NotDeployed) Error() string { return r.Err.Error() }
func (r *NotDeployed) Unwrap() error { return r.Err }

// DigestHeader carries the sum of a package. RFC 9530.
const DigestHeader = "Content-Digest"

// Digest is the value of DigestHeader.
func Digest(sum [32]byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func readDigest(value string) (sum [32]byte, ok bool) {
	text, ok := strings.CutPrefix(value, "sha-256=:")
	text, closed := strings.CutSuffix(text, ":")
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || !closed || err != nil || len(b) != len(sum) {
		return sum, false
	}
	return [32]byte(b), true
}

// SameSum compares in the time that it always takes.
func SameSum(a, b [sha256.Size]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// handleVersions adds what there is of versions.
func handleVersions(mux *http.ServeMux, v Versions) {
	mux.HandleFunc("GET /api/versions", func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"versions": v.List()})
	})
	mux.HandleFunc("POST /api/versions", func(w http.ResponseWriter, r *http.Request) {
		sum, ok := readDigest(r.Header.Get(DigestHeader))
		if !ok {
			fail(w, http.StatusBadRequest, DigestHeader+" must be sha-256=:…: with the sum of the package")
			return
		}
		withDeadline(w, r, func(d time.Duration) {
			// A package may take longer than the server gives a request's head.
			http.NewResponseController(w).SetReadDeadline(time.Time{})
			answer, err := v.Deploy(r.Context(), r.Body, sum, d)
			tell(w, answer, err)
		})
	})
	mux.HandleFunc("POST /api/versions/{number}/deploy", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("number"))
		if r.PathValue("number") == "previous" {
			n, err = 0, nil
		}
		if err != nil || n < 0 {
			fail(w, http.StatusBadRequest, "a version is a number, or \"previous\"")
			return
		}
		withDeadline(w, r, func(d time.Duration) {
			answer, err := v.Rollback(r.Context(), n, d)
			tell(w, answer, err)
		})
	})
}

// withDeadline reads the parameter.
func withDeadline(w http.ResponseWriter, r *http.Request, f func(time.Duration)) {
	text := r.URL.Query().Get("deadline")
	if text == "" {
		f(0)
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > time.Hour {
		fail(w, http.StatusBadRequest, "deadline must be a duration up to 1h, such as 30s")
		return
	}
	f(d)
}

func tell(w http.ResponseWriter, v Version, err error) {
	switch refused, ok := errors.AsType[*NotDeployed](err); {
	case ok:
		fail(w, refused.Status, refused.Error())
	case err != nil:
		fail(w, http.StatusInternalServerError, err.Error())
	default:
		WriteJSON(w, http.StatusOK, v)
	}
}
