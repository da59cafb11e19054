//go:build unix

package nodeguest_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/guest/nodeguest"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
)

// TestKit runs the kit of the contract against a Node process with the real
// JavaScript side.
func TestKit(t *testing.T) {
	guesttest.Run(t, startNode)
}

// The host is told when the process has handled what it was told, and not only when
// that has been written to it.
func TestNodeSaysWhatItHasHandled(t *testing.T) {
	s := startNode(t)
	handled := make(chan struct{}, 1)
	s.Loop.Call(func() {
		h := s.Guest.(guest.Handler)
		before := h.Told()
		s.Guest.Why(1, 1)
		s.Guest.Why(2, 1)
		if n := h.Told(); n != before+2 {
			t.Errorf("%d frames counted after 2, %d before", n, before)
		}
		if n := h.Handled(); n > before {
			t.Errorf("%d frames handled of %d that were written", n, before)
		}
		s.Host.OnTaken = func(guest.Guest) {
			if h.Handled() == before+2 && len(handled) == 0 {
				handled <- struct{}{}
			}
		}
	})
	select {
	case <-handled:
	case <-time.After(30 * time.Second):
		t.Error("the host was not told within 30 s that what the guest was told is handled")
	}
}

func startNode(t *testing.T) guesttest.Subject {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	node, err := project.FindNode(t.Context(), project.NodeSearch{Named: os.Getenv("DORMOUSE_NODE"), NamedBy: "DORMOUSE_NODE", Dir: root, Path: os.Getenv("PATH")})
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true, so this test must run: %v", err)
		}
		t.Skipf("NOT TESTED: %v", err)
	}
	config, err := project.Load(project.Options{Dir: "testdata/kit", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Build(config, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := deploy.Prepare(config, b, deploy.Options{Data: t.TempDir(), Node: node.Path, SocketsPerObject: 32768, TaskKeepalive: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	h := guesttest.NewHost()
	slot := nodeguest.NewSlot(nodeguest.SlotConfig{
		Loop: l, Host: h, Command: v.Command, Next: new(atomic.Uint32), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	l.Start()
	t.Cleanup(func() {
		slot.Stop()
		l.Stop()
	})
	first := make(chan error, 1)
	slot.Start(first)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	return guesttest.Subject{Loop: l, Guest: h.Guests()[0], Host: h}
}
