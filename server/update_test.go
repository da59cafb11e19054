package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// TestShutdownOfAServerThatHasNotStarted ends, and gives the data folder back.
func TestShutdownOfAServerThatHasNotStarted(t *testing.T) {
	data := t.TempDir()
	for range 2 {
		s, err := server.New(server.Config{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s := &server.Server{Config: server.Config{Data: data}}
	s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
