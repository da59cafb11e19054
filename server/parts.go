package server

import (
	"os"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Parts are what a server stands on, where that is not the system: package
// dormousetest runs servers in memory. A nil function means the system's.
type Parts struct {
	Loop      func() (*loop.Loop, error)
	Transport func(*loop.Loop) Transport
	Control   *Control // is given the server; may be nil
	// Clock is what is watched for jumps; see health.Watcher.
	Clock func() (day time.Time, passed time.Duration)
}

func (p *Parts) clock() func() (time.Time, time.Duration) {
	if p == nil {
		return nil
	}
	return p.Clock
}

// Transport is where a loop's client sockets come from.
type Transport interface {
	ws.Transport
	// SetPaused stops and resumes the reading of every client.
	SetPaused(bool)
	// Shut ends what is still connected. Not on the loop.
	Shut(*loop.Loop)
}

func (s *Server) newLoop() (*loop.Loop, error) {
	if s.Parts != nil && s.Parts.Loop != nil {
		return s.Parts.Loop()
	}
	return loop.New()
}

func (s *Server) newTransport(l *loop.Loop) Transport {
	if s.Parts != nil && s.Parts.Transport != nil {
		return s.Parts.Transport(l)
	}
	return newSystem(l)
}

// makeTemporary makes the data folder of a server that has none.
func (s *Server) makeTemporary() (err error) {
	if s.Data == "" {
		s.temporary, err = os.MkdirTemp("", "dormouse-")
		s.Data = s.temporary
	}
	return err
}

// removeTemporary pairs with makeTemporary.
func (s *Server) removeTemporary() error {
	if s.temporary == "" {
		return nil
	}
	return os.RemoveAll(s.temporary)
}
