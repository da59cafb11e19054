package hibernation

import (
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// metered is a Socket as the Sink of a connection whose client has limits. A
// client that speaks too fast is not read for a while: TCP holds it back, and
// nothing is lost.
type metered struct {
	*Socket
	meter ws.Meter
	rest  *loop.Timer // until it is read again
}

// metered is the sink of a connection.
func (s *Socket) metered(m ws.Meter) ws.Sink {
	if m == nil {
		return s
	}
	d := &metered{Socket: s, meter: m}
	s.reg.meters[s] = m
	d.rest = loop.NewTimer(d.goOn)
	return d
}

// Message implements ws.Sink.
func (d *metered) Message(op ws.Opcode, payload []byte) {
	s := d.Socket
	s.Message(op, payload)
	wait := d.meter.Message()
	if wait <= 0 || s.conn == nil || s.slowed {
		return
	}
	s.slowed = true
	s.conn.Pause()
	l := s.reg.cfg.Loop
	l.Schedule(d.rest, l.Now().Add(wait))
}

// Several implements ws.RunSink: each message is counted alone.
func (d *metered) Several() bool { return false }

func (d *metered) goOn() {
	s := d.Socket
	if !s.slowed {
		return
	}
	s.slowed = false
	if s.conn != nil && !s.paused && (s.set == nil || !s.set.paused) {
		s.conn.Resume()
	}
}

// Gone implements ws.Sink.
func (d *metered) Gone(err error) {
	d.slowed = false
	d.reg.cfg.Loop.Cancel(d.rest)
	delete(d.reg.meters, d.Socket)
	d.meter.Done()
	d.Socket.Gone(err)
}
