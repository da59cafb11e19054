package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse/dormousetest"
)

func TestNamesComeBackAfterASleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := dormousetest.New(t)
		h := chat(s.Server)
		ada := s.Dial(h, "/lobby/socket?name=Ada")
		bob := s.Dial(h, "/lobby/socket?name=Bob")
		for _, want := range []string{`{"text":"Ada has come"}`, `{"text":"Bob has come"}`} {
			if got := ada.Text(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		time.Sleep(time.Minute) // nobody speaks: the room leaves memory
		ada.SendText("ping")
		if got := ada.Text(); got != "pong" {
			t.Errorf("got %s", got)
		}
		if n := s.Constructions("Room"); n != 1 {
			t.Errorf("the room was built %d times, want once", n)
		}
		ada.SendText("still there?")
		bob.Text()
		if got, want := bob.Text(), `{"from":"Ada","text":"still there?"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if n := s.Constructions("Room"); n != 2 {
			t.Errorf("the room was built %d times, want twice", n)
		}
		ada.Drop()
		if got, want := bob.Text(), `{"text":"Ada has left"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestThePageAndBadNames(t *testing.T) {
	s := dormousetest.New(t)
	h := chat(s.Server)
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/":             {http.StatusFound, "/lobby"},
		"/lobby":        {http.StatusOK, "<title>Chat</title>"},
		"/lobby/socket": {http.StatusBadRequest, "say who you are"},
		"/lobby/socket?name=" + strings.Repeat("x", 41): {http.StatusBadRequest, "at most 40 bytes"},
		"/lobby/socket?name=Ada":                        {http.StatusUpgradeRequired, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want.code || !strings.Contains(w.Body.String(), want.body) {
			t.Errorf("%s: got %d %q", path, w.Code, w.Body)
		}
	}
}
