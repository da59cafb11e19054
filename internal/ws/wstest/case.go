// Package wstest is the kit that every transport of WebSockets must pass, and
// the table of protocol cases that it is made of. The client's side is spoken
// with code that shares nothing with the server's.
package wstest

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Case is one exchange with a server that echoes messages and answers Close
// with the same code and reason. The client sends all of Send; both lists are
// what then happens, to the last.
type Case struct {
	Group string
	Name  string
	// Options of the connection; no head.
	Options ws.Options
	Send    []byte
	Heard   []string // by the server's owner
	Got     []string // by the client
}

// String is the case's name with its group.
func (c *Case) String() string { return c.Group + "/" + c.Name }

// show writes a payload: short ones as they are, long ones as length and sum.
func show(payload []byte) string {
	if len(payload) > 48 {
		return fmt.Sprintf("%d bytes %08x", len(payload), crc32.ChecksumIEEE(payload))
	}
	return fmt.Sprintf("%q", payload)
}

func message(op ws.Opcode, payload []byte) string {
	if op == ws.OpText {
		return "text " + show(payload)
	}
	return "binary " + show(payload)
}

func closing(code uint16, reason string) string { return fmt.Sprintf("close %d %q", code, reason) }

// Recorder is a Sink that writes down what it hears and behaves as a Case
// expects.
type Recorder struct {
	Conn  ws.Conn // set it before anything is heard
	Heard []string
	Done  bool // the last was heard
}

// Message implements ws.Sink.
func (r *Recorder) Message(op ws.Opcode, payload []byte) {
	r.Heard = append(r.Heard, message(op, payload))
	r.Conn.Send(op, payload)
}

// CloseFrame implements ws.Sink.
func (r *Recorder) CloseFrame(code uint16, reason string) {
	r.Heard = append(r.Heard, closing(code, reason))
	if code == ws.CloseNoStatus {
		code = 0
	}
	r.Conn.Close(code, reason)
}

// Drained implements ws.Sink.
func (r *Recorder) Drained() { r.Heard = append(r.Heard, "drained") }

// Gone implements ws.Sink.
func (r *Recorder) Gone(err error) {
	if r.Done {
		r.Heard = append(r.Heard, "gone twice")
	}
	r.Heard = append(r.Heard, gone(err))
	r.Done = true
}

func gone(err error) string {
	switch err := err.(type) {
	case nil:
		return "gone"
	case *ws.ProtocolError:
		return fmt.Sprintf("gone %d %s", err.Code, err.Text)
	default:
		return "gone " + err.Error()
	}
}

// Compare reports how a transcript differs from what it should be.
func Compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
