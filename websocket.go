package dormouse

import "github.com/dormouse-dev/dormouse/internal/author"

// WebSocket is an object's end of a WebSocket that State.AcceptWebSocket has
// accepted. As long as the object is in memory the same socket is the same
// pointer; afterwards there is a new one, with the same tags and attachment.
// Methods may be called on any goroutine.
//
// Cloudflare: "WebSockets"; Durable Objects, "Use WebSockets".
type WebSocket struct {
	s author.Socket
}

// ReadyState says which directions of a socket are open.
type ReadyState int

// The states of a socket, numbered as in browsers.
const (
	SocketOpen    ReadyState = 1 + iota
	SocketClosing            // one side has closed, or the connection is lost
	SocketClosed             // both have
)

// String is open, closing or closed.
func (r ReadyState) String() string {
	switch r {
	case SocketOpen:
		return "open"
	case SocketClosing:
		return "closing"
	case SocketClosed:
		return "closed"
	}
	return "unknown"
}

// Send sends a binary message. It copies data and does not wait: the message
// joins the socket's queue, which holds 16 MiB unless the server says otherwise;
// a client that falls further behind is disconnected, and WebSocketError says
// so. After Close, and when the connection is gone, it returns ErrSocketClosed.
//
// The same message sent to many sockets, one after the other, is encoded and
// compressed once.
func (ws *WebSocket) Send(data []byte) error { return ws.s.Send(data) }

// SendMessage is Send or SendText for what a client has said, or for what shall be
// said likewise: text as text, binary as binary.
func (ws *WebSocket) SendMessage(m Message) error { return ws.s.SendMessage(m.Text, m.Data) }

// SendText is Send for a text message. Text that is not UTF-8 is made so.
func (ws *WebSocket) SendText(text string) error { return ws.s.SendText(text) }

// Close sends a Close frame: its code is 1000 to 4999 without 1004, 1005, 1006
// and 1015, or 0 for a frame without a code; the reason has at most 123 bytes of
// UTF-8. Messages are received until the client has closed as well, or 30
// seconds have passed. Only the first call counts.
func (ws *WebSocket) Close(code int, reason string) error { return ws.s.Close(code, reason) }

// SetAttachment keeps a value with the socket, which Attachment returns, also
// after the object has left memory. Nil removes it. The value is copied now, in
// the form of JavaScript's structured clone, in which it may have 2,048 bytes
// unless the server says otherwise: package structuredclone, see docs/go.md,
// says what becomes of each Go type. The attachment ends with the socket.
//
// Cloudflare: "WebSockets", serializeAttachment.
func (ws *WebSocket) SetAttachment(v any) error { return ws.s.SetAttachment(v) }

// Attachment reads what SetAttachment has set into what into points to. ok is
// false, and into unchanged, if nothing is set. Each call reads a new copy.
//
// Cloudflare: "WebSockets", deserializeAttachment.
func (ws *WebSocket) Attachment(into any) (ok bool, err error) { return ws.s.Attachment(into) }

// ReadyState returns which directions are open.
func (ws *WebSocket) ReadyState() ReadyState { return ReadyState(ws.s.State()) }

// BufferedAmount returns how many bytes wait for a slow client, as far as the
// object has been told: less than 64 KiB count as none.
func (ws *WebSocket) BufferedAmount() int { return ws.s.Buffered() }

// Protocol returns the subprotocol of the handshake, empty if there is none.
func (ws *WebSocket) Protocol() string { return ws.s.Protocol() }
