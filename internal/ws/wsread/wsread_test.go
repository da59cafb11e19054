package wsread

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

func TestFrame(t *testing.T) {
	var wire bytes.Buffer
	ws.WriteFrame(&wire, ws.NewTextFrame([]byte("hello")))
	ws.WriteFrame(&wire, ws.NewPingFrame(nil))
	whole := bytes.Clone(wire.Bytes())
	for _, want := range []string{"hello", ""} {
		if f, err := Frame(&wire); err != nil || string(f.Payload) != want {
			t.Errorf("got %q, %v, want %q", f.Payload, err, want)
		}
	}
	if _, err := Frame(&wire); err != io.EOF {
		t.Errorf("at the end: %v, want EOF", err)
	}
	for _, n := range []int{1, 3} {
		if _, err := Frame(bytes.NewReader(whole[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v, want ErrUnexpectedEOF", n, err)
		}
	}
	wire.Reset()
	ws.WriteHeader(&wire, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: MaxFrame + 1})
	if _, err := Frame(&wire); err == nil {
		t.Error("a frame that is too long was read")
	}
}
