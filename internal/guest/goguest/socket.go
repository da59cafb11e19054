package goguest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// socket is a hibernatable end as an instance knows it. What it shall outlive
// the instance with, the host has.
type socket struct {
	// Set once, before use.
	i        *instance
	id       dormouse.SocketID
	face     *dormouse.WebSocket
	tags     []string
	protocol string

	// Guarded by the instance's lock.
	attachment []byte // nil: none
	stamp      time.Time
	buffered   int
	weClosed   bool
	peerClosed bool
	over       bool // nothing can be sent any more
	clean      bool // its close frame came, and was answered if over
	failed     bool // WebSocketError was told
}

// restore makes a socket that an earlier instance has accepted. What row points
// to is borrowed, but for the tags. Bind makes its face.
func restore(i *instance, row *guest.Socket) *socket {
	s := &socket{
		i: i, id: row.ID, tags: row.Tags, protocol: row.Protocol, stamp: row.Stamp,
		weClosed: row.WeClosed, peerClosed: row.PeerClosed,
	}
	if row.Attachment != nil {
		s.attachment = append(make([]byte, 0, len(row.Attachment)), row.Attachment...)
	}
	return s
}

// Send implements author.Socket.
func (s *socket) Send(data []byte) error { return s.send(false, data) }

// SendText implements author.Socket.
func (s *socket) SendText(text string) error {
	if !ws.ValidText(textBytes(text)) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return s.send(true, textBytes(text))
}

// SendMessage implements author.Socket.
func (s *socket) SendMessage(text bool, data []byte) error {
	if text && !ws.ValidText(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	return s.send(text, data)
}

func (s *socket) send(text bool, payload []byte) error {
	i := s.i
	i.mu.Lock()
	err := i.dead
	switch {
	case err != nil:
	case s.weClosed || s.over:
		err = dormouse.ErrSocketClosed
	case i.out != nil && len(i.out.bytes)+len(payload) > maxSaying:
		err = errTooMuch
	default:
		i.outLocked().send(s.id, text, payload)
		i.saidLocked()
		if i.out != nil && i.out.full() {
			i.pinHolderLocked()
		}
	}
	i.mu.Unlock()
	return err
}

// maxSaying is how many bytes of messages may wait for the end of a handler, or for
// its commit.
const maxSaying = 1 << 30

var errTooMuch = errors.New("the handler has sent 1 GiB that could not leave yet: let it leave with State.Yield, or return")

// maxReason is the longest reason of a Close frame, in bytes. RFC 6455, section
// 5.5.
const maxReason = 123

// Close implements author.Socket.
func (s *socket) Close(code int, reason string) error {
	switch {
	case code == 0 && reason != "":
		return errors.New("If you specify a WebSocket close reason, you must also specify a code.")
	case code != 0 && !validCode(code):
		return fmt.Errorf("Invalid WebSocket close code: %d.", code)
	case len(reason) > maxReason:
		return errors.New("WebSocket close reason must not be longer than 123 bytes when UTF-8 encoded.")
	}
	reason = strings.ToValidUTF8(reason, "?")
	i := s.i
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return i.dead
	}
	if s.weClosed || s.over {
		s.weClosed = s.weClosed || !s.failed
		return nil
	}
	s.weClosed = true
	i.outLocked().later(func() { i.g.host.Close(i.g, s.id, uint16(code), reason) })
	i.saidLocked()
	return nil
}

func validCode(code int) bool {
	switch code {
	case 1004, 1005, 1006, 1015:
		return false
	}
	return code >= 1000 && code <= 4999
}

// Tags implements author.Socket.
func (s *socket) Tags() []string { return slices.Clone(s.tags) }

// Protocol implements author.Socket.
func (s *socket) Protocol() string { return s.protocol }

// State implements author.Socket.
func (s *socket) State() int {
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	switch {
	case s.weClosed && s.peerClosed, s.over && s.clean:
		return int(dormouse.SocketClosed)
	case s.weClosed || s.peerClosed:
		return int(dormouse.SocketClosing)
	}
	return int(dormouse.SocketOpen)
}

// Buffered implements author.Socket.
func (s *socket) Buffered() int {
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	return s.buffered
}

// Stamp implements author.Socket.
func (s *socket) Stamp() time.Time {
	s.i.mu.Lock()
	defer s.i.mu.Unlock()
	return s.stamp
}

// SetAttachment implements author.Socket.
func (s *socket) SetAttachment(v any) error {
	var value []byte
	if v != nil {
		var err error
		if value, err = structuredclone.Marshal(v); err != nil {
			return err
		}
		if most := s.i.g.limits.Attachment; len(value) > most {
			return fmt.Errorf("A WebSocket 'attachment' cannot be larger than %d bytes.'attachment' was %d bytes.", most, len(value))
		}
	}
	i := s.i
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return i.dead
	}
	s.attachment = value
	i.outLocked().later(func() { i.g.host.Attachment(i.g, s.id, value) })
	i.saidLocked()
	return nil
}

// Attachment implements author.Socket.
func (s *socket) Attachment(into any) (bool, error) {
	s.i.mu.Lock()
	value := s.attachment
	s.i.mu.Unlock()
	if value == nil {
		return false, nil
	}
	return true, structuredclone.Unmarshal(value, into)
}

// shelf is the sockets of an instance, in the order in which they came. Lists
// that were given out are not changed.
type shelf struct {
	all    []*socket
	tagged map[string][]*socket
}

func (t *shelf) add(s *socket) {
	t.all = append(t.all, s)
	for _, tag := range s.tags {
		if t.tagged == nil {
			t.tagged = make(map[string][]*socket)
		}
		t.tagged[tag] = append(t.tagged[tag], s)
	}
}

func (t *shelf) remove(s *socket) {
	t.all = without(t.all, s)
	for _, tag := range s.tags {
		if list := without(t.tagged[tag], s); len(list) > 0 {
			t.tagged[tag] = list
		} else {
			delete(t.tagged, tag)
		}
	}
}

// without is a copy of list without s.
func without(list []*socket, s *socket) []*socket {
	at := slices.Index(list, s)
	if at < 0 {
		return list
	}
	return append(append(make([]*socket, 0, len(list)-1), list[:at]...), list[at+1:]...)
}

// Sockets implements author.Instance.
func (i *instance) Sockets(tags []string, yield func(any) bool) {
	i.mu.Lock()
	list := i.sockets.all
	if len(tags) > 0 {
		list = i.sockets.tagged[tags[0]]
	}
	i.mu.Unlock()
	if len(tags) == 0 {
		for _, s := range slices.Backward(list) {
			if !yield(s.face) {
				return
			}
		}
		return
	}
	for _, s := range list {
		if s.hasAll(tags[1:]) && !yield(s.face) {
			return
		}
	}
}

func (s *socket) hasAll(tags []string) bool {
	for _, t := range tags {
		if !slices.Contains(s.tags, t) {
			return false
		}
	}
	return true
}

// checkTags returns the tags without those that come again.
func checkTags(tags []string) ([]string, error) {
	var list []string
	for _, t := range tags {
		if len(list) == dormouse.MaxTags {
			return nil, fmt.Errorf("a Hibernatable WebSocket cannot have more than %d tags", dormouse.MaxTags)
		}
		if len(t) > dormouse.MaxTag {
			return nil, fmt.Errorf("%q is longer than the max tag length (%d characters).", t, dormouse.MaxTag)
		}
		if !slices.Contains(list, t) {
			list = append(list, strings.Clone(t))
		}
	}
	return list, nil
}

// SetPair implements author.Instance.
func (i *instance) SetPair(request, response string) error {
	const most = dormouse.MaxAutoResponse
	if len(request) > most {
		return fmt.Errorf("Request cannot be larger than %d bytes. A request of size %d was provided.", most, len(request))
	}
	if len(response) > most {
		return fmt.Errorf("Response cannot be larger than %d bytes. A response of size %d was provided.", most, len(response))
	}
	if !utf8.ValidString(request) || !utf8.ValidString(response) {
		return errors.New("an auto-response is text: it must be UTF-8")
	}
	return i.setPair(&guest.Pair{Request: request, Response: response})
}

// RemovePair implements author.Instance.
func (i *instance) RemovePair() { i.setPair(nil) }

func (i *instance) setPair(p *guest.Pair) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return i.dead
	}
	i.pair = p
	i.outLocked().later(func() { i.g.host.AutoResponse(i.g, i.num, p) })
	i.saidLocked()
	return nil
}

// Pair implements author.Instance.
func (i *instance) Pair() (request, response string, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pair == nil {
		return "", "", false
	}
	return i.pair.Request, i.pair.Response, true
}

// SetEventTimeout implements author.Instance.
func (i *instance) SetEventTimeout(d time.Duration) error {
	switch {
	case d > dormouse.MaxEventTimeout:
		return fmt.Errorf("Event timeout should not exceed %d ms.", dormouse.MaxEventTimeout.Milliseconds())
	case d < 0:
		return errors.New("an event timeout cannot be negative")
	case d > 0:
		d = max(d.Truncate(time.Millisecond), time.Millisecond)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return i.dead
	}
	i.timeout = d
	i.pinHolderLocked()
	i.outLocked().later(func() { i.g.host.EventTimeout(i.g, i.num, d) })
	i.saidLocked()
	return nil
}

// EventTimeout implements author.Instance.
func (i *instance) EventTimeout() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.timeout
}
