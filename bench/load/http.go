package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Requests is a closed loop of GETs over n connections that are kept, with one
// on the way in each. Every answer must be a 200 with just this body.
func Requests(addr string, n int, path, body string, w Window) (*Result, error) {
	f, err := newFleet()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr)
	clock := newClock(w)
	for range n {
		c := &conn{sent: make([]time.Duration, 1), owed: 1}
		f.conns = append(f.conns, c)
		if err := f.connect(c, to, request); err != nil {
			return nil, err
		}
	}
	for owed := n; owed > 0; {
		err := f.wait(func(c *conn, in []byte) error {
			c.in = append(c.in, in...)
			size, err := answer(c.in, body)
			if err != nil || size == 0 {
				return err
			}
			if size != len(c.in) {
				return errors.New("more came than one answer")
			}
			c.in = c.in[:0]
			clock.tick()
			clock.count(clock.now-c.sent[0], 1)
			if clock.over {
				owed--
				return nil
			}
			c.sent[0] = clock.now
			return f.write(c, request)
		})
		if err != nil {
			return nil, fmt.Errorf("%d answers owed: %w", owed, err)
		}
	}
	return clock.result()
}

// answer is how long the answer at the start of b is, 0 if it is not whole yet:
// with a length, or in chunks, of which there is one.
func answer(b []byte, body string) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	head, rest := bytes.ToLower(b[:end+2]), b[end+4:]
	if !bytes.HasPrefix(head, []byte("http/1.1 200 ")) {
		return 0, fmt.Errorf("want 200, got %.200q", b)
	}
	want := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	if _, value, ok := bytes.Cut(head, []byte("\r\ncontent-length:")); ok {
		value, _, _ = bytes.Cut(value, []byte("\r\n"))
		if n, err := strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || n != len(body) {
			return 0, fmt.Errorf("want a body of %d bytes, got length %q", len(body), value)
		}
		want = body
	}
	switch {
	case len(rest) < len(want):
		return 0, nil
	case string(rest[:len(want)]) != want:
		return 0, fmt.Errorf("want the body %q, got %q", want, rest)
	}
	return end + 4 + len(want), nil
}
