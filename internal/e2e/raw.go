package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// rawFrames sends frames over a bare connection, cut in two at every byte.
//
// A cut means something only if the server has read what stands before it. So
// a ping goes out with that part, in one write, and the rest is held back until
// the pong is there.
func rawFrames(t *testing.T, s Target) {
	room := roomOf(t)

	t.Run("AutoResponse", func(t *testing.T) {
		c := dialRaw(t, s, room, "Cutter")
		frame := clientFrame(true, ws.OpText, "ping")
		for cut := 1; cut < len(frame); cut++ {
			c.writeCut(frame, cut)
			if got := c.readText(); got != "pong" {
				t.Fatalf("cut at %d: answered %q, want pong", cut, got)
			}
		}
	})
	t.Run("LengthOfOneByte", func(t *testing.T) { cutEverywhere(t, s, room, wholeFrame, "short") })
	t.Run("LengthOfTwoBytes", func(t *testing.T) { cutEverywhere(t, s, room, wholeFrame, strings.Repeat("long ", 30)) })
	t.Run("PingsBetweenFragments", func(t *testing.T) {
		if s.LosesPongs {
			t.Skip("this runtime may lose a pong here")
		}
		cutEverywhere(t, s, room, fragments, "in parts")
	})
	t.Run("ByteByByte", func(t *testing.T) {
		c := dialRaw(t, s, room, "Dripper")
		for _, stream := range [][]byte{wholeFrame(say("drop by drop", "drips")), fragments(say("and in parts", "parts"))} {
			for i := range stream {
				c.write(stream[i : i+1])
			}
		}
		c.readMessage("drips")
		c.readMessage("parts")
	})
	t.Run("ManyInOneWrite", func(t *testing.T) {
		c := dialRaw(t, s, room, "Hasty")
		var stream []byte
		for i := range burst {
			stream = append(stream, wholeFrame(say("hurry", fmt.Sprint("hurry ", i)))...)
		}
		c.write(stream)
		for i := range burst {
			c.readMessage(fmt.Sprint("hurry ", i))
		}
	})
	t.Run("Close", func(t *testing.T) {
		frame := clientFrame(true, ws.OpClose, string(ws.NewCloseFrameBody(ws.StatusNormalClosure, "bye")))
		for cut := 1; cut < len(frame); cut++ {
			c := dialRaw(t, s, room, "Closer")
			c.writeCut(frame, cut)
			body := c.readUntil(func(f ws.Frame) bool { return f.Header.OpCode == ws.OpClose }).Payload
			if code, _ := ws.ParseCloseFrameData(body); code != ws.StatusNormalClosure {
				t.Errorf("cut at %d: the answer to the close has code %d, want %d", cut, code, ws.StatusNormalClosure)
			}
			c.conn.Close()
		}
	})
}

// cutEverywhere says text once for each place where its frames can be cut,
// over as many connections as the rate limit asks for.
func cutEverywhere(t *testing.T, s Target, room string, encode func(string) []byte, text string) {
	cuts := len(encode(say(text, "cut 000"))) - 1
	for first := 1; first <= cuts; first += burst {
		c := dialRaw(t, s, room, fmt.Sprint("Cutter ", first))
		for cut := first; cut < first+burst && cut <= cuts; cut++ {
			ref := fmt.Sprintf("cut %03d", cut)
			c.writeCut(encode(say(text, t.Name()+ref)), cut)
			if got := c.readMessage(t.Name() + ref).Text; got != strings.TrimSpace(text) {
				t.Fatalf("cut at %d: the room heard %q, want %q", cut, got, text)
			}
		}
		c.conn.Close()
	}
}

func say(text, ref string) string {
	b, _ := json.Marshal(map[string]string{"type": "say", "text": text, "ref": ref})
	return string(b)
}

func wholeFrame(payload string) []byte { return clientFrame(true, ws.OpText, payload) }

// fragments is a message in three frames with a ping between each two.
func fragments(payload string) []byte {
	a, b := len(payload)/3, 2*len(payload)/3
	return slices.Concat(
		clientFrame(false, ws.OpText, payload[:a]),
		clientFrame(true, ws.OpPing, "between"),
		clientFrame(false, ws.OpContinuation, payload[a:b]),
		clientFrame(true, ws.OpPing, "between"),
		clientFrame(true, ws.OpContinuation, payload[b:]),
	)
}

func clientFrame(fin bool, op ws.OpCode, payload string) []byte {
	var b bytes.Buffer
	ws.WriteFrame(&b, ws.MaskFrame(ws.NewFrame(op, fin, []byte(payload)))) // a Buffer takes everything
	return b.Bytes()
}

// rawConn is a TCP connection that has been upgraded by hand.
type rawConn struct {
	t     testing.TB
	conn  net.Conn
	r     *bufio.Reader
	pings int
}

// dialRaw sends the request for the upgrade byte by byte.
func dialRaw(t *testing.T, s Target, room, name string) *rawConn {
	t.Helper()
	u, err := url.Parse(s.WebSocket(room, name))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &rawConn{t: t, conn: conn, r: bufio.NewReader(conn)}
	request := "GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for i := range request {
		c.write([]byte(request[i : i+1]))
	}
	conn.SetReadDeadline(time.Now().Add(limit))
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 6455, section 1.3 has this key and its answer.
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("the upgrade was answered %s, %v", res.Status, res.Header)
	}
	return c
}

// writeCut writes a stream in two parts, the second after the server has read
// the first.
func (c *rawConn) writeCut(stream []byte, cut int) {
	c.t.Helper()
	c.pings++
	mark := fmt.Sprint("before cut ", c.pings)
	c.write(append(clientFrame(true, ws.OpPing, mark), stream[:cut]...))
	c.readUntil(func(f ws.Frame) bool { return f.Header.OpCode == ws.OpPong && string(f.Payload) == mark })
	c.write(stream[cut:])
}

func (c *rawConn) write(b []byte) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(limit))
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// readMessage returns what was said under ref.
func (c *rawConn) readMessage(ref string) Message {
	c.t.Helper()
	var n News
	c.readUntil(func(f ws.Frame) bool {
		n = News{}
		return f.Header.OpCode == ws.OpText && json.Unmarshal(f.Payload, &n) == nil && n.Message.Ref == ref
	})
	return n.Message
}

// readText returns the next text that is no news.
func (c *rawConn) readText() string {
	c.t.Helper()
	f := c.readUntil(func(f ws.Frame) bool { return f.Header.OpCode == ws.OpText && !bytes.HasPrefix(f.Payload, []byte("{")) })
	return string(f.Payload)
}

// readUntil returns the first frame that is the one, and checks all before it.
func (c *rawConn) readUntil(is func(ws.Frame) bool) ws.Frame {
	c.t.Helper()
	for {
		c.conn.SetReadDeadline(time.Now().Add(limit))
		f, err := wsread.Frame(c.r)
		if err != nil {
			c.t.Fatal(err)
		}
		if !f.Header.Fin || f.Header.Masked || f.Header.Rsv != 0 {
			c.t.Fatalf("the server sent a frame with header %+v, want it whole, unmasked and plain", f.Header)
		}
		if is(f) {
			return f
		}
	}
}
