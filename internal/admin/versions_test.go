package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// kept is a Versions that writes down what it is asked.
type kept struct {
	asked []string
	err   error
}

func (k *kept) List() []Version { return []Version{{Number: 2, State: "current"}, {Number: 1}} }

func (k *kept) Deploy(_ context.Context, body io.Reader, sum [32]byte, d time.Duration) (Version, error) {
	b, err := io.ReadAll(body)
	if err == nil && !SameSum(sha256.Sum256(b), sum) {
		err = errors.New("another sum")
	}
	k.asked = append(k.asked, "deploy "+string(b)+" "+d.String())
	return Version{Number: 3}, errors.Join(err, k.err)
}

func (k *kept) Rollback(_ context.Context, n int, d time.Duration) (Version, error) {
	k.asked = append(k.asked, "rollback "+string(rune('0'+n))+" "+d.String())
	return Version{Number: n}, k.err
}

func TestVersions(t *testing.T) {
	right := Digest(sha256.Sum256([]byte("package")))
	for _, c := range []struct {
		method, path, digest, host string
		err                        error
		status                     int
		asked, answer              string
	}{
		{"GET", "/api/versions", "", "", nil, 200, "", `"number": 2`},
		{"POST", "/api/versions", right, "", nil, 200, "deploy package 0s", `"number": 3`},
		{"POST", "/api/versions?deadline=5s", right, "", nil, 200, "deploy package 5s", ""},
		{"POST", "/api/versions?deadline=2h", right, "", nil, 400, "", "up to 1h"},
		{"POST", "/api/versions", "", "", nil, 400, "", "Content-Digest"},
		{"POST", "/api/versions", "sha-256=:AAAA:", "", nil, 400, "", "Content-Digest"},
		{"POST", "/api/versions", right, "evil.example", nil, 403, "", ""},
		{"POST", "/api/versions", right, "", &NotDeployed{422, errors.New("no class Room")}, 422, "deploy package 0s", "no class Room"},
		{"POST", "/api/versions/1/deploy", "", "", nil, 200, "rollback 1 0s", `"number": 1`},
		{"POST", "/api/versions/previous/deploy", "", "", nil, 200, "rollback 0 0s", ""},
		{"POST", "/api/versions/x/deploy", "", "", nil, 400, "", "a number"},
		{"DELETE", "/api/versions", "", "", nil, 405, "", ""},
	} {
		k := &kept{err: c.err}
		r := httptest.NewRequest(c.method, "http://127.0.0.1:8788"+c.path, bytes.NewReader([]byte("package")))
		if c.host != "" {
			r.Host = c.host
		}
		if c.digest != "" {
			r.Header.Set(DigestHeader, c.digest)
		}
		w := httptest.NewRecorder()
		NewHandler(nil, Options{Versions: k}).ServeHTTP(w, r)
		if w.Code != c.status || strings.Join(k.asked, ",") != c.asked || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %s: status %d, asked %q, answer %s; want %d, %q and something with %q", c.method, c.path, w.Code, k.asked, w.Body, c.status, c.asked, c.answer)
		}
	}
}

func TestNoVersionsAreKept(t *testing.T) {
	w := httptest.NewRecorder()
	NewHandler(nil, Options{}).ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8788/api/versions", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", w.Code)
	}
}
