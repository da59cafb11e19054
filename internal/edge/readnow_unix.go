//go:build unix

package edge

import (
	"net"
	"syscall"
)

// readNow reads what has come already; 0 if that is nothing, or not to be known.
func readNow(c *net.TCPConn, p []byte) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), p)
		return true
	})
	if err != nil {
		return 0
	}
	return max(n, 0)
}
