// Package e2e drives whole servers from outside, the way people and their
// programs do: real sockets, npm's ws, a real browser. It knows the chat
// example's protocol, how servers are started and killed, and where the tools
// for that are found. It never sees the inside of a server, so the same
// scenario runs against Dormouse and against workerd.
package e2e

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Target is a server that serves examples/chat, and all that a scenario knows
// of it.
type Target struct {
	// URL is where it serves, "http://127.0.0.1:8787".
	URL string
	// HibernateAfter is how long a room must be left alone to leave memory.
	HibernateAfter time.Duration
	// Asleep says whether a room has left memory, without waking it. Nil where
	// nobody can be asked.
	Asleep func(ctx context.Context, room string) (bool, error)
	// LosesPongs says that a ping between two fragments may get no pong, on a
	// machine that is busy: seen of workerd 1.20261117.1, two runs in ten.
	LosesPongs bool
}

// WebSocket is the address of a room's socket for somebody of that name.
func (s Target) WebSocket(room, name string) string {
	return "ws" + strings.TrimPrefix(s.room(room), "http") + "/websocket?name=" + url.QueryEscape(name)
}

// Portrait is the address of a picture in a room.
func (s Target) Portrait(room, id string) string {
	return s.room(room) + "/portrait/" + url.PathEscape(id)
}

func (s Target) room(room string) string { return s.URL + "/api/room/" + url.PathEscape(room) }

// WaitAsleep returns when the room has left memory, provided that the caller
// leaves it alone. Where nobody can be asked it lets the time pass, and a quarter
// more: whoever needs a proof looks at whether the next news come from a new
// instance.
func (s Target) WaitAsleep(ctx context.Context, room string) error {
	if s.Asleep == nil {
		select {
		case <-time.After(s.HibernateAfter * 5 / 4):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return Until(ctx, fmt.Sprintf("room %s is asleep", room), func() (bool, error) { return s.Asleep(ctx, room) })
}

// Until asks until the answer is yes. An error of ask is remembered for the
// message that says what did not come true; it does not end the asking.
func Until(ctx context.Context, what string, ask func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ask()
		if yes && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err != nil {
				return fmt.Errorf("waiting until %s: %w: %w", what, context.Cause(ctx), err)
			}
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		}
	}
}
