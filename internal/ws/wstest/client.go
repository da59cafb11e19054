package wstest

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	gws "github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// patience is how long anything in the kit may take before it counts as never.
const patience = 20 * time.Second

// frame encodes one frame of a client.
func frame(first byte, payload []byte) []byte {
	return masked(first, payload, [4]byte{0x37, 0xFA, 0x21, 0x3D})
}

func masked(first byte, payload []byte, mask [4]byte) []byte {
	h := gws.Header{
		Fin:    first&0x80 != 0,
		Rsv:    first >> 4 & 7,
		OpCode: gws.OpCode(first & 0x0F),
		Masked: true,
		Mask:   mask,
		Length: int64(len(payload)),
	}
	var b bytes.Buffer
	if err := gws.WriteHeader(&b, h); err != nil {
		panic(err)
	}
	at := b.Len()
	b.Write(payload)
	for i := range payload {
		b.Bytes()[at+i] ^= mask[i%4]
	}
	return b.Bytes()
}

const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

func text(s string) []byte   { return frame(fin|byte(ws.OpText), []byte(s)) }
func binary(s string) []byte { return frame(fin|byte(ws.OpBinary), []byte(s)) }
func ping(s string) []byte   { return frame(fin|byte(ws.OpPing), []byte(s)) }
func pong(s string) []byte   { return frame(fin|byte(ws.OpPong), []byte(s)) }

// closeBody is the payload of a Close frame.
func closeBody(code uint16, reason string) []byte {
	return append([]byte{byte(code >> 8), byte(code)}, reason...)
}

func closeFrame(code uint16, reason string) []byte {
	return frame(fin|byte(ws.OpClose), closeBody(code, reason))
}

// fragments makes one message of several frames.
func fragments(op ws.Opcode, parts ...string) []byte {
	var b []byte
	for i, part := range parts {
		first := byte(ws.OpContinuation)
		if i == 0 {
			first = byte(op)
		}
		if i == len(parts)-1 {
			first |= fin
		}
		b = append(b, frame(first, []byte(part))...)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// deflated is the compressed form of a message as zlib would send it, at the
// given level.
func deflated(s string, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	w.Write([]byte(s))
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// readFrame reads one frame of a server and says what it is. The last is "end",
// after the server's FIN.
func readFrame(r io.Reader) (string, error) {
	h, err := gws.ReadHeader(r)
	if errors.Is(err, io.EOF) {
		return "end", nil
	}
	if err != nil {
		return "", fmt.Errorf("read header: %w", err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return "", fmt.Errorf("read payload of %d bytes: %w", h.Length, err)
	}
	if h.Masked || !h.Fin {
		return "", fmt.Errorf("a server's frame is masked (%t) or not whole (%t)", h.Masked, !h.Fin)
	}
	note := ""
	if h.Rsv == 4 {
		inflated, err := io.ReadAll(flate.NewReader(io.MultiReader(
			bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
		if err != nil {
			return "", fmt.Errorf("inflate: %w", err)
		}
		payload, note = inflated, "compressed "
	}
	switch op := ws.Opcode(h.OpCode); op {
	case ws.OpText, ws.OpBinary:
		return note + message(op, payload), nil
	case ws.OpPing:
		return "ping " + show(payload), nil
	case ws.OpPong:
		return "pong " + show(payload), nil
	case ws.OpClose:
		return closing(ws.ParseClose(payload)), nil
	default:
		return "", fmt.Errorf("opcode %d", h.OpCode)
	}
}

// ReadAll reads what a server says until its end.
func ReadAll(r io.Reader) (got []string, err error) {
	for {
		what, err := readFrame(r)
		if err != nil {
			return got, err
		}
		got = append(got, what)
		if what == "end" {
			return got, nil
		}
	}
}

// client is the far end of a connection under test.
type client struct {
	net.Conn
}

func (c client) expect(want ...string) error {
	for i, w := range want {
		c.SetReadDeadline(time.Now().Add(patience))
		got, err := readFrame(c)
		if err != nil {
			return fmt.Errorf("client waits for %s (%d of %d): %w", w, i+1, len(want), err)
		}
		if got != w {
			return fmt.Errorf("client (%d of %d) got %s, want %s", i+1, len(want), got, w)
		}
	}
	return nil
}
