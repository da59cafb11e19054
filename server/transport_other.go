//go:build !linux

package server

import (
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws/wsstd"
)

// transport is where a shard's client sockets come from.
type transport struct{ *wsstd.Transport }

func newTransport(l *loop.Loop) transport { return transport{wsstd.New(l)} }

// close ends what is still connected. Not on the loop.
func (t transport) close(*loop.Loop) { t.Close() }
