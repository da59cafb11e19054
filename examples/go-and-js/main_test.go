//go:build !windows

package main

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCartsInGoTakeFromAStockInJavaScript(t *testing.T) {
	s, err := shop(t.Context(), t.TempDir(), "worker")
	if err != nil {
		if strings.Contains(err.Error(), "no Node") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	defer func() {
		h.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct{ cart, body, want string }{
		{"ada", `{"item": "acorn", "count": 3}`, `[{"item":"acorn","count":3}]`},
		{"ada", `{"item": "nut", "count": 1}`, `[{"item":"acorn","count":3},{"item":"nut","count":1}]`},
		{"bob", `{"item": "acorn", "count": 7}`, `[{"item":"acorn","count":7}]`},
		{"bob", `{"item": "acorn", "count": 1}`, "only 0 of acorn left"},
	} {
		r, err := h.Client().Post(h.URL+"/"+c.cart, "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if got := strings.TrimSpace(string(b)); got != c.want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", c.body, got, err, c.want)
		}
	}
}
