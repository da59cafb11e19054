package hibernation

import (
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// meter lets a number of messages pass.
type meter struct{ left, done int }

func (m *meter) Message() time.Duration {
	if m.left--; m.left >= 0 {
		return 0
	}
	return time.Millisecond
}

func (m *meter) Done() { m.done++ }

func (m *meter) Client() string { return "192.0.2.1" }

// TestClientThatSpeaksTooFast is not read for a while, whatever else stops and
// resumes it meanwhile; what it has said is heard.
func TestClientThatSpeaksTooFast(t *testing.T) {
	r := newRig(t, false)
	m := &meter{left: 1}
	const id = dormouse.SocketID(2)
	if err := r.reg.Accept(r.set, id, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.reg.Attach(id.Peer(), nil, nil, ws.Options{Meter: m}); err != nil {
		t.Fatal(err)
	}
	c := r.tr.made[0]
	c.sink.Message(ws.OpText, []byte("one"))
	if c.paused {
		t.Error("not read although it kept its rate")
	}
	c.sink.Message(ws.OpText, []byte("two"))
	if !c.paused || len(r.rec.heard) != 2 {
		t.Errorf("paused %v, heard %q", c.paused, r.rec.heard)
	}
	r.set.Pause()
	r.set.Resume()
	r.reg.Pause(id, true)
	r.reg.Pause(id, false)
	if !c.paused {
		t.Error("somebody else has let it go on")
	}
	r.set.Pause()
	c.sink.(*metered).goOn()
	if !c.paused {
		t.Error("read although its object is behind")
	}
	r.set.Resume()
	if c.paused {
		t.Error("not read although its time is over")
	}
	c.sink.Message(ws.OpText, []byte("three"))
	c.sink.Gone(ws.ErrNoCloseFrame)
	c.sink.(*metered).goOn()
	if m.done != 1 {
		t.Errorf("the place was given back %d times", m.done)
	}
}
