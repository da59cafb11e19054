//go:build linux

package wsepoll

import (
	"net"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

func TestContract(t *testing.T) {
	wstest.Run(t, func(t *testing.T) *wstest.Subject {
		l, tr := startLoop(t)
		return &wstest.Subject{Loop: l, Transport: tr, Pair: func(t *testing.T) (net.Conn, net.Conn) { return tcpPair(t) }}
	})
}
