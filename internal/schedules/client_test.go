package schedules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	gws "github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wspipe"
	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// client is the far end of a socket, and what it has said and heard.
type client struct {
	end    *wspipe.End // nil before the answer to its request has come
	in     []byte
	slow   bool // it does not read
	mute   bool // it does not answer a Close
	polite bool // the handler answers a Close

	said      []*message
	heardUpTo int
	pings     int // protocol's
	sentClose *word
	halfOver  bool // it has ended its half of TCP, and still reads
	lost      bool

	seen      int // of outs
	pongs     int
	wirePongs int
	gotClose  bool
	gotEnd    bool
	late      bool // it has had its time to answer our Close
}

func (c *client) connected() bool { return c.end != nil && !c.lost && !c.gotEnd }
func (c *client) speaks() bool    { return c.connected() && c.sentClose == nil && !c.halfOver }
func (c *client) left() bool      { return c.lost || c.halfOver }
func (c *client) ended() bool     { return c.gotEnd }

// attach brings the client to the end that the answer names, as the edge does.
func (w *world) attach(id dormouse.SocketID) {
	c := w.byServer[id.Peer()]
	near, far := wspipe.Pipe()
	near.SetCapacity(1 << 20)
	far.SetCapacity(1 << 20)
	if err := w.registry.Attach(id, far, nil, ws.Options{}); err != nil {
		near.Close()
		far.Close()
		if !c.dropped {
			w.fail("%v cannot be attached: %v", c, err)
		}
		return
	}
	c.end = near
}

func (c *conn) write(f gws.Frame) {
	var b bytes.Buffer
	if err := gws.WriteFrame(&b, gws.MaskFrameInPlace(f)); err != nil {
		c.w.fail("write: %v", err)
	}
	c.end.Write(b.Bytes()) // it may be gone
}

// say sends a message; commands are for the handler.
func (c *conn) say(text bool, commands string) {
	c.w.messages++
	m := &message{n: c.w.messages, text: text}
	m.payload = fmt.Sprintf("%d|%s", m.n, commands)
	c.said = append(c.said, m)
	op := gws.OpText
	if !text {
		op = gws.OpBinary
	}
	c.write(gws.NewFrame(op, true, []byte(m.payload)))
}

// sayPing says what may be answered without the object.
func (c *conn) sayPing() {
	c.w.messages++
	c.said = append(c.said, &message{n: -c.w.messages, text: true, payload: "ping", ping: true})
	c.write(gws.NewTextFrame([]byte("ping")))
}

func (c *conn) protocolPing() {
	c.pings++
	c.write(gws.NewPingFrame([]byte("beat")))
}

// close sends Close; code 0 sends none.
func (c *conn) close(code uint16, reason string) {
	body := gws.NewCloseFrameBody(gws.StatusCode(code), reason)
	c.sentClose = &word{code, reason, true}
	if code == 0 {
		body, c.sentClose = nil, &word{ws.CloseNoStatus, "", true}
	}
	c.write(gws.NewCloseFrame(body))
}

// leave ends TCP.
func (c *conn) leave() {
	c.drain()
	c.lost = true
	c.end.Close()
}

// halfClose ends the client's half of TCP, with or without a Close before. What
// has been said to it can still be read.
func (c *conn) halfClose() {
	c.halfOver = true
	c.end.CloseWrite()
}

// drain reads what has come.
func (c *conn) drain() {
	if c.end == nil || c.lost || c.slow {
		return
	}
	c.in = append(c.in, c.end.Take()...)
	r := bytes.NewReader(c.in)
	for r.Len() > 0 {
		f, err := wsread.Frame(r)
		if err != nil {
			break
		}
		c.in = c.in[len(c.in)-r.Len():]
		c.gets(f)
	}
	if !c.gotEnd {
		c.end.SetReadDeadline(time.Now().Add(-time.Second))
		if _, err := c.end.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
			c.gotEnd = true
			c.checkEnd()
		}
	}
}

func (c *conn) gets(f gws.Frame) {
	w := c.w
	payload := string(f.Payload)
	switch {
	case c.gotClose:
		w.fail("%v: its client hears %q after a Close", c, payload)
	case f.Header.OpCode == gws.OpPong:
		if c.wirePongs++; c.wirePongs > c.pings || payload != "beat" {
			w.fail("%v: a pong too many: %q", c, payload)
		}
	case f.Header.OpCode == gws.OpClose:
		c.getsClose(f.Payload)
	case strings.HasPrefix(payload, "pong "):
		c.getsPong(payload)
	default:
		o := w.named[payload]
		if o == nil {
			w.fail("%v: its client hears %q, which nobody said", c, payload)
			return
		}
		o.leaves(c)
		c.expects(o)
	}
}

// expects takes what has come from the list of what shall come.
func (c *conn) expects(o *output) {
	at := slices.IndexFunc(c.outs[c.seen:], func(e *expected) bool { return e.o == o })
	if at < 0 {
		c.w.fail("%v: its client hears %q twice, out of order, or by mistake", c, o.name)
		return
	}
	for _, e := range c.outs[c.seen : c.seen+at] {
		if !e.excused {
			c.w.fail("%v: its client hears %q, and not %q before it", c, o.name, e.o.name)
		}
	}
	c.seen += at + 1
}

func (c *conn) getsPong(payload string) {
	c.pongs++
	pings, heard := 0, 0
	for _, m := range c.said {
		if m.ping {
			pings++
			heard += m.heard
		}
	}
	if c.pongs+heard > pings {
		c.w.fail("%v: %d pongs, and %d pings were heard by handlers, of %d", c, c.pongs, heard, pings)
	}
	if !c.thing.pairVersions[payload] {
		c.w.fail("%v: its client hears %q, which was never set", c, payload)
	}
}

func (c *conn) getsClose(body []byte) {
	c.gotClose = true
	code, reason := uint16(0), ""
	if len(body) > 0 {
		status, text := gws.ParseCloseFrameData(body)
		code, reason = uint16(status), text
	}
	if o := c.w.named[reason]; o != nil {
		o.leaves(c)
		c.expects(o)
	} else {
		want := word{}
		if c.sentClose != nil {
			want = *c.sentClose
		}
		if want.code == ws.CloseNoStatus {
			want.code = 0
		}
		if c.sentClose == nil || !c.w.autoReply || code != want.code || reason != want.reason {
			c.w.fail("%v: its client gets Close %d %q, which nobody said", c, code, reason)
		}
	}
	if c.sentClose == nil && !c.mute && !c.halfOver {
		c.close(code, reason)
	}
}

// checkEnd checks that TCP had a reason to end.
func (c *conn) checkEnd() {
	closing := c.gotClose && (c.sentClose != nil || c.mute)
	if !c.dropped && !closing && c.sentClose == nil && !c.halfOver {
		c.w.fail("%v: TCP ended without a reason", c)
	}
}

// ---- Requests

// call is a request and what came of it.
type call struct {
	w       *world
	thing   *thing
	url     string
	head    *guest.Response
	body    string
	outcome string
}

func (a *call) ends(outcome string) {
	if a.outcome != "" {
		a.w.fail("%s was answered twice: %s, %s", a.url, a.outcome, outcome)
	}
	a.outcome = outcome
}

func (a *call) Response(r *guest.Response) {
	if a.head != nil {
		a.w.fail("%s was answered twice", a.url)
	}
	a.head = r
	if o := a.w.named[r.StatusText]; o != nil {
		o.leaves(a.url)
	}
	if r.Socket != 0 {
		a.w.loop.Post(func() { a.w.attach(r.Socket) })
	}
	if !r.HasBody {
		a.ends("response")
	}
}
func (a *call) Body(p []byte) { a.body += string(p) }
func (a *call) BodyEnd() {
	a.ends("response")
	if a.body != "half,whole" {
		a.w.fail("%s was answered with %q", a.url, a.body)
	}
}
func (a *call) BodyAbort(reason string)   { a.ends("abort " + reason) }
func (a *call) Credit(uint32)             {}
func (a *call) Cancel(string)             {}
func (a *call) Failure(e *dormouse.Error) { a.ends("failure " + e.Error()) }
