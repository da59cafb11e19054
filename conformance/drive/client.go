package drive

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a client. A runtime that is slower than patience has not answered.
const (
	patience   = 10 * time.Second
	quiet      = 400 * time.Millisecond // a socket that is silent for so long has nothing to say
	maxMessage = 64 << 20
	maxHeard   = 10_000 // messages that a client keeps for recv
)

// client is one WebSocket of a script, spoken in raw frames: what is sent is
// exactly what the script says, and what comes is told as it came.
type client struct {
	conn  net.Conn
	heard chan string // what came, one event a line; closed after the last
}

// dial shakes hands and tells what was answered. The client is nil unless the
// server switched protocols.
func dial(addr, path string, header []string) (*client, []string, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n", path, addr)
	for _, h := range header {
		request += h + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		conn.Close()
		return nil, nil, err
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		conn.Close()
		return nil, []string{"the connection ended in the handshake"}, nil
	}
	lines := []string{strconv.Itoa(res.StatusCode)}
	for _, name := range []string{"Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X-Header"} {
		if v := res.Header.Get(name); v != "" {
			lines = append(lines, strings.ToLower(name)+": "+v)
		}
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		conn.Close()
		return nil, append(lines, splitLines(string(body))...), nil
	}
	if accept := res.Header.Get("Sec-WebSocket-Accept"); accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		lines = append(lines, "a wrong Sec-WebSocket-Accept: "+accept)
	}
	conn.SetDeadline(time.Time{})
	c := &client{conn: conn, heard: make(chan string, maxHeard)}
	go c.read(in)
	return c, lines, nil
}

// read tells each message until the connection ends. It is ended by closing
// the connection.
func (c *client) read(in *bufio.Reader) {
	defer close(c.heard)
	tell := func(line string) bool {
		select {
		case c.heard <- line:
			return true
		default: // a script that hears so much has gone wrong
			return false
		}
	}
	var message []byte
	var kind byte
	for {
		fin, op, payload, err := readFrame(in)
		if err != nil {
			tell(ending(err))
			return
		}
		line := ""
		switch op {
		case 0, 1, 2:
			if op != 0 {
				kind, message = op, nil
			}
			if message = append(message, payload...); !fin {
				continue
			}
			line = showMessage(kind, message)
		case 8:
			line = showClose(payload)
		case 9:
			line = fmt.Sprintf("ping %q", payload)
		case 10:
			line = fmt.Sprintf("pong %q", payload)
		default:
			line = fmt.Sprintf("opcode %d", op)
		}
		if !tell(line) {
			return
		}
	}
}

// ending is how the connection ended: FIN and RST are the same to a script,
// since which of them comes depends on what was still unread.
func ending(err error) string {
	var frame frameError
	if errors.As(err, &frame) {
		return "a bad frame: " + string(frame)
	}
	return "the connection ended"
}

type frameError string

func (e frameError) Error() string { return string(e) }

func readFrame(in *bufio.Reader) (fin bool, op byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		return false, 0, nil, err
	}
	b0, b1 := head[0], head[1]
	if b0&0x70 != 0 || b1&0x80 != 0 {
		return false, 0, nil, frameError(hex.EncodeToString(head[:2]))
	}
	n := uint64(b1)
	switch n {
	case 126:
		_, err = io.ReadFull(in, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(in, head[:8])
		n = binary.BigEndian.Uint64(head[:])
	}
	if err != nil {
		return false, 0, nil, err
	}
	if n > maxMessage {
		return false, 0, nil, frameError(fmt.Sprintf("%d bytes", n))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(in, payload)
	return b0&0x80 != 0, b0 & 0x0f, payload, err
}

func showMessage(kind byte, message []byte) string {
	if len(message) > 200 {
		return fmt.Sprintf("%s of %d bytes", kindName(kind), len(message))
	}
	if kind == 1 {
		if !utf8.Valid(message) {
			return fmt.Sprintf("text that is not UTF-8: % x", message)
		}
		return fmt.Sprintf("text %q", message)
	}
	return strings.TrimRight(fmt.Sprintf("binary % x", message), " ")
}

func kindName(kind byte) string {
	if kind == 1 {
		return "text"
	}
	return "binary"
}

func showClose(payload []byte) string {
	if len(payload) < 2 {
		return strings.TrimRight(fmt.Sprintf("close without a code % x", payload), " ")
	}
	return fmt.Sprintf("close %d %q", binary.BigEndian.Uint16(payload), payload[2:])
}

// frame makes a masked client frame; first is its first byte.
func frame(first byte, payload []byte) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	f = append(f, mask[:]...)
	for i, b := range payload {
		f = append(f, b^mask[i%4])
	}
	return f
}

func (c *client) write(b []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.conn.Write(b)
	return err
}

// recv waits for n events.
func (c *client) recv(n int) []string {
	var lines []string
	timeout := time.After(patience)
	for range n {
		select {
		case line, ok := <-c.heard:
			if !ok {
				return append(lines, "the connection has ended before")
			}
			lines = append(lines, line)
		case <-timeout:
			return append(lines, "nothing came")
		}
	}
	return lines
}

// hear tells what comes until nothing has come for a while.
func (c *client) hear() []string {
	var lines []string
	for {
		select {
		case line, ok := <-c.heard:
			if ok {
				lines = append(lines, line)
				continue
			}
			if lines == nil {
				lines = []string{"the connection has ended before"}
			}
			return lines
		case <-time.After(quiet):
			if lines == nil {
				lines = []string{"silent"}
			}
			return lines
		}
	}
}
