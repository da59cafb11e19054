//go:build !linux

package edge

import "net"

// Bare has the connections of a listener come to Steps as they come to anybody.
func Bare(l net.Listener) net.Listener { return l }
