package e2e

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestLimitsOfClientAddresses: a line each, and one address has no more sockets
// and speaks no faster than it says.
func TestLimitsOfClientAddresses(t *testing.T) {
	t.Parallel()
	const rate, messages = 40, 120
	d := StartDormouse(t, Options{
		Dir:  filepath.Join(root(t), "internal/e2e/testdata/limits"),
		More: []string{"--limits-client-sockets", "2", "--limits-client-messages", "40"},
	})
	first, second := dial(t, d, "one"), dial(t, d, "two")
	status := func() int {
		conn, _, _, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(d.URL, "http")+"/three")
		if err == nil {
			conn.Close()
			return http.StatusSwitchingProtocols
		}
		if e, ok := errors.AsType[ws.StatusError](err); ok {
			return int(e)
		}
		t.Fatal(err)
		return 0
	}
	if got := status(); got != http.StatusTooManyRequests {
		t.Errorf("the third socket of an address: status %d", got)
	}

	began := time.Now()
	for range messages / 2 {
		first.say("told")
		second.say("told")
	}
	for range messages / 2 {
		first.hear()
		second.hear()
	}
	if took := time.Since(began); took < (messages-rate)/rate*time.Second/2 {
		t.Errorf("%d messages took %v at %d a second", messages, took, rate)
	}

	first.conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := Until(ctx, "the place of a socket that has gone is free", func() (bool, error) {
		return status() == http.StatusSwitchingProtocols, nil
	})
	if err != nil {
		t.Error(err)
	}
}
