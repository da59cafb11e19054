package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hidden is a body that would be a request, were it taken for what it is not.
const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

// TestRestOfABodyIsNoRequest: when the Worker has answered before the body came,
// what comes of it afterwards is not taken for the next request.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	for name, c := range map[string]struct{ head, sent, rest string }{
		"not begun":      {fmt.Sprintf("Content-Length: %d", len(hidden)), "", hidden},
		"begun":          {fmt.Sprintf("Content-Length: %d", 5+len(hidden)), "hello", hidden},
		"chunked":        {"Transfer-Encoding: chunked", "", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)},
		"within a chunk": {"Transfer-Encoding: chunked", fmt.Sprintf("%x\n", len(hidden)), hidden + "\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each connection takes half a second to end
			asked := make(chan string, 10)
			_, s := front(t, &Front{}, func(c *call) {
				asked <- c.URL
				c.text(200, "early")
			})
			conn, r := raw(t, s, "POST /first HTTP/1.1\nHost: a\n"+c.head+"\n\n"+c.sent)
			if resp, body := answer(t, r, "POST"); resp.StatusCode != 200 || body != "early" {
				t.Fatalf("got %d %q", resp.StatusCode, body)
			}
			io.WriteString(conn, c.rest) // fails where the connection has ended
			io.Copy(io.Discard, r)
			<-asked
			select {
			case url := <-asked:
				t.Errorf("the Worker was asked for %s", url)
			default:
			}
		})
	}
}

// TestManyBodiesOverOneConnection, of which the Worker reads some and leaves
// others: each request is answered, and reaches the Worker once. The connection
// ends only behind an answer to a body that was not read.
func TestManyBodiesOverOneConnection(t *testing.T) {
	var c net.Conn
	var r *bufio.Reader
	asked := make(chan string, 1000)
	_, s := front(t, &Front{}, func(c *call) {
		asked <- strings.TrimPrefix(c.URL, "http://a")
		if strings.Contains(c.URL, "read") {
			for m := range c.said {
				if m == "end" {
					break
				}
			}
		}
		c.text(200, c.URL)
	})
	c, r = raw(t, s, "")
	kept := true // it must be there still
	for i := range 200 {
		path := "/" + fmt.Sprint(i)
		if i%3 > 0 {
			path += "/read"
		}
		body := strings.Repeat(hidden, []int{1, 100, 1500}[i%7%3])
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
		io.WriteString(c, request)
		if _, err := r.Peek(1); err != nil {
			if kept {
				t.Fatalf("request %d: the connection has ended: %v", i, err)
			}
			c.Close()
			c, r = raw(t, s, "")
			io.WriteString(c, request)
		}
		resp, text := answer(t, r, "POST")
		if resp.StatusCode != http.StatusOK || text != "http://a"+path {
			t.Fatalf("request %d: got %d %q", i, resp.StatusCode, text)
		}
		if kept = strings.Contains(path, "read"); kept && resp.Close {
			t.Errorf("request %d: the connection is to end though its body was read", i)
		}
		select {
		case got := <-asked:
			if got != path {
				t.Fatalf("the Worker was asked for %s, want %s", got, path)
			}
		case <-time.After(patience):
			t.Fatalf("the Worker was never asked for %s", path)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the Worker was asked for %s too", <-asked)
	}
}
