package server

import (
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// patient is a listener that counts when there is no descriptor for a
// connection. net/http tries again after a while that grows to a second, and
// nothing else of the server is touched; the connection waits in the system.
type patient struct {
	net.Listener
	deferred *atomic.Uint64
	log      *slog.Logger
	said     time.Time // by the goroutine that accepts
}

// sayEvery is how often the log has it.
const sayEvery = time.Minute

// Accept implements net.Listener.
func (p *patient) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		p.deferred.Add(1)
		if now := time.Now(); now.Sub(p.said) >= sayEvery {
			p.said = now
			p.log.Warn("connections wait because there is no descriptor for them; raise the limit of the service (ulimit -n, LimitNOFILE=)", "reason", err)
		}
	}
	return c, err
}
