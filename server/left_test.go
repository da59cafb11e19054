package server_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// keeper is an object that stores what it is told.
type keeper struct{ state *dormouse.State }

func newKeeper(s *dormouse.State, _ struct{}) (*keeper, error) { return &keeper{s}, nil }

func (k *keeper) Keep(context.Context) (string, error) {
	return "", k.state.Storage().Put("k", []byte("v"))
}

// TestOrderlyEndIsKnown: once all folders have been looked through, an orderly end
// says so, and the next start need not look, however soon it ends.
func TestOrderlyEndIsKnown(t *testing.T) {
	data := t.TempDir()
	mark := filepath.Join(server.DatabaseFolder(data), "journal", "clean")
	session := func() (marked bool) {
		t.Helper()
		s := &server.Server{Config: server.Config{Data: data, Shards: 2}}
		keepers := s.Define(dormouse.NewClass("Keeper", newKeeper, struct{}{}))
		if _, err := server.Call(t.Context(), keepers.ByName("a"), (*keeper).Keep); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(mark); err == nil {
			t.Error("the mark of an orderly end is there while the server runs")
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(mark)
		return err == nil
	}
	for end := time.Now().Add(30 * time.Second); !session(); {
		if time.Now().After(end) {
			t.Fatal("no session has looked through all folders")
		}
	}
	for range 3 {
		if !session() {
			t.Fatal("the server ended in order, and the next start would look through all folders")
		}
	}
}
