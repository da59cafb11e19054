package server

import (
	"context"
	"slices"

	"github.com/dormouse-dev/dormouse/internal/admin"
)

// GuestInspector is implemented by slots whose guests can be debugged.
type GuestInspector interface {
	// Inspect lets a debugger into a guest of this slot, on loopback, or no longer.
	// Any goroutine.
	Inspect(ctx context.Context, guest uint32, on bool) (url string, err error)
}

// Inspect implements admin.Inspector.
func (r runtime) Inspect(ctx context.Context, guest uint32, on bool) (string, error) {
	for _, sh := range r.s.js {
		info, described := sh.slot.(GuestInfo)
		slot, ok := sh.slot.(GuestInspector)
		if described && ok && slices.ContainsFunc(info.Describe(), func(g admin.Guest) bool { return g.ID == guest }) {
			return slot.Inspect(ctx, guest, on)
		}
	}
	return "", admin.ErrNoGuest
}
