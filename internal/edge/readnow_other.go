//go:build !unix

package edge

import "net"

func readNow(*net.TCPConn, []byte) int { return 0 }
