package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/admin"
)

// Under `dormouse dev` no versions are kept. To ask for them once ended the
// request without an answer.
func TestVersionsUnderDev(t *testing.T) {
	w := httptest.NewRecorder()
	admin.NewHandler(nil, admin.Options{Versions: new(versions)}).ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/api/versions", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"versions": []`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
