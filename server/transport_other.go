//go:build !linux

package server

import (
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws/wsstd"
)

// system is the transport of this system.
type system struct{ *wsstd.Transport }

func newSystem(l *loop.Loop) Transport { return system{wsstd.New(l)} }

// Shut implements Transport.
func (t system) Shut(*loop.Loop) { t.Close() }
