package dormousetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse"
)

// Client is the other end of a WebSocket. It is for one goroutine.
type Client struct {
	t      testing.TB
	conn   net.Conn
	reader io.Reader // what came with the handshake, then conn
	ended  *dormouse.Closing
}

// Dial opens a WebSocket to a path of h, which is an object or a handler that
// leads to some. The test fails if the answer is another one.
func (s *Server) Dial(h http.Handler, path string, header ...http.Header) *Client {
	s.t.Helper()
	s.start()
	d := ws.Dialer{NetDial: func(context.Context, string, string) (net.Conn, error) { return s.serve(h), nil }}
	if len(header) > 0 {
		d.Header = ws.HandshakeHeaderHTTP(header[0])
	}
	conn, br, _, err := d.Dial(context.Background(), target(path))
	if err != nil {
		s.t.Fatalf("open a WebSocket to %s: %v", path, err)
	}
	c := &Client{t: s.t, conn: conn, reader: conn}
	if br != nil {
		c.reader = br
	}
	s.t.Cleanup(func() { conn.Close() })
	return c
}

// SendText sends a text message.
func (c *Client) SendText(text string) {
	c.t.Helper()
	c.send(ws.OpText, []byte(text))
}

// Send sends a binary message.
func (c *Client) Send(data []byte) {
	c.t.Helper()
	c.send(ws.OpBinary, data)
}

func (c *Client) send(op ws.OpCode, p []byte) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if err := wsutil.WriteClientMessage(c.conn, op, p); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// Next returns the next message. The test fails if the socket ends first, or if
// nothing comes within a minute.
func (c *Client) Next() dormouse.Message {
	c.t.Helper()
	m, closing := c.read()
	if closing != nil {
		c.t.Fatalf("the socket was closed with %d %q; want a message", closing.Code, closing.Reason)
	}
	return m
}

// Text is Next as text.
func (c *Client) Text() string {
	c.t.Helper()
	return c.Next().String()
}

// Closed waits until the object has closed the socket, and says how: with code
// 1006 without a Close frame. The test fails if a message comes first.
func (c *Client) Closed() dormouse.Closing {
	c.t.Helper()
	m, closing := c.read()
	if closing == nil {
		c.t.Fatalf("got the message %.80q; want the end of the socket", m.Data)
	}
	return *closing
}

// Close sends a Close frame. An object with a CloseHandler is told.
func (c *Client) Close(code int, reason string) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if err := ws.WriteFrame(c.conn, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))); err != nil {
		c.t.Fatalf("close: %v", err)
	}
}

// Drop ends the connection without a word, as when a client loses its network.
func (c *Client) Drop() { c.conn.Close() }

// read returns a message, or how the socket has ended. Pings are answered.
func (c *Client) read() (dormouse.Message, *dormouse.Closing) {
	c.t.Helper()
	if c.ended != nil {
		return dormouse.Message{}, c.ended
	}
	c.conn.SetReadDeadline(time.Now().Add(patience))
	data, op, err := wsutil.ReadServerData(struct {
		io.Reader
		io.Writer
	}{c.reader, c.conn})
	if err == nil {
		return dormouse.Message{Text: op == ws.OpText, Data: data}, nil
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		c.t.Fatalf("nothing came within %v", patience)
	}
	c.ended = &dormouse.Closing{Code: 1006}
	if e, ok := errors.AsType[wsutil.ClosedError](err); ok {
		*c.ended = dormouse.Closing{Code: int(e.Code), Reason: e.Reason, Clean: true}
	}
	return dormouse.Message{}, c.ended
}
