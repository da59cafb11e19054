package main

import (
	"fmt"
	"net"
	"net/netip"
)

// checkInspect refuses an address for DevTools that others can reach: whoever
// does may run any code.
func checkInspect(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--inspect: %w; write it like 127.0.0.1:9229", err)
	}
	if a, err := netip.ParseAddr(host); err != nil || !a.IsLoopback() {
		return fmt.Errorf("--inspect %s: whoever reaches DevTools may run any code here; use 127.0.0.1 and a tunnel (ssh -L)", address)
	}
	return nil
}
