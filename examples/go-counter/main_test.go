package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse/dormousetest"
	"github.com/dormouse-dev/dormouse/server"
)

func TestVisitsOutliveSleepsAndRestartsAndAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := t.TempDir()
		start := func() (*dormousetest.Server, func(string) string) {
			s := dormousetest.New(t)
			s.Data = data
			h := pages(s.Server)
			return s, func(page string) string {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/"+page, nil))
				return strings.TrimSpace(w.Body.String())
			}
		}
		visits := func(s *dormousetest.Server, page string) int {
			t.Helper()
			n, err := server.Call(t.Context(), s.Namespace("Counter").ByName(page), func(c *counter, _ context.Context) (int, error) { return c.visits() })
			if err != nil {
				t.Fatal(err)
			}
			return n
		}

		s, visit := start()
		for _, want := range []string{"1", "2"} {
			if got := visit("a"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		time.Sleep(time.Hour) // the object leaves memory
		if got := visit("a"); got != "3" {
			t.Errorf("after a sleep: got %s", got)
		}
		s.Crash(s.Namespace("Counter").ByName("a"))
		if got := visit("b"); got != "1" {
			t.Errorf("another page has %s", got)
		}
		s.Stop()

		s, _ = start()
		if got := visits(s, "a"); got != 3 {
			t.Errorf("after a restart: %d visits", got)
		}
		// Nobody visits: the alarms forget them, first two, an hour later the third.
		time.Sleep(23*time.Hour + time.Minute)
		if got := visits(s, "a"); got != 1 {
			t.Errorf("a day after the first: %d visits", got)
		}
		time.Sleep(time.Hour)
		if a, b := visits(s, "a"), visits(s, "b"); a != 0 || b != 0 {
			t.Errorf("a day after the last: %d and %d visits", a, b)
		}
	})
}
