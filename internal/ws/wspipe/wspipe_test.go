package wspipe

import (
	"net"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

func open(t *testing.T) *wstest.Subject {
	l := loop.NewPortable()
	tr := New(l)
	l.Start()
	t.Cleanup(l.Stop)
	return &wstest.Subject{Loop: l, Transport: tr, Pair: func(*testing.T) (net.Conn, net.Conn) { return Pipe() }}
}

func TestContract(t *testing.T) { wstest.Run(t, open) }
