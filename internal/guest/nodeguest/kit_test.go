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
