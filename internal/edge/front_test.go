package edge

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

func TestRequestAsTheWorkerSeesIt(t *testing.T) {
	calls := make(chan *call, 1)
	_, s := front(t, &Front{}, func(c *call) { calls <- c; c.text(200, "ok") })
	_, r := raw(t, s, "POST /a%20b/%C3%BC?q=\xff&x=%zz HTTP/1.1\nHost: example.com:8080\nX-Latin: gr\xfc\xdf\nX-Two: a\nX-Two: b\n"+
		"CF-Connecting-IP: 6.6.6.6\nX-Real-IP: 6.6.6.6\nX-Forwarded-For: 6.6.6.6\nContent-Length: 2\nConnection: close\n\nhi")
	if resp, body := answer(t, r, "POST"); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	c := <-calls
	if c.Method != "POST" || c.URL != "http://example.com:8080/a%20b/%C3%BC?q=%FF&x=%zz" || !c.HasBody || c.CF != `{"httpProtocol":"HTTP/1.1"}` {
		t.Errorf("got %s %s, body %v, cf %s", c.Method, c.URL, c.HasBody, c.CF)
	}
	for name, want := range map[string][]string{
		"host": {"example.com:8080"}, "x-latin": {"gr\u00fc\u00df"}, "x-two": {"a", "b"}, "content-length": {"2"},
		"cf-connecting-ip": {"127.0.0.1"}, "x-real-ip": {"127.0.0.1"}, "x-forwarded-for": nil,
	} {
		if got := c.header(name); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	c.hears(t, "body hi")
	c.hears(t, "end")
}

// TestURLsThatAreNone: whatever a client writes there, the Worker gets a URL.
func TestURLsThatAreNone(t *testing.T) {
	urls := make(chan string, 1)
	_, s := front(t, &Front{}, func(c *call) { urls <- c.URL; c.text(200, "") })
	for request, want := range map[string]string{
		"GET / HTTP/1.0\n":                                        "http://localhost/",
		"GET http://b/c?d HTTP/1.1\nHost: a":                      "http://b/c?d",
		"GET //evil/x HTTP/1.1\nHost: a":                          "http://a//evil/x",
		"GET /?\xe2\x9b\x84 HTTP/1.1\nHost: a":                    "http://a/?%E2%9B%84",
		"GET /\xe2\x9b\x84 HTTP/1.1\nHost: a":                     "http://a/%E2%9B%84",
		"GET /a?b=\"<>` HTTP/1.1\nHost: a":                        "http://a/a?b=\"<>`",
		"GET /x HTTP/1.1\nHost: user:pw@a:1":                      "",
		"GET /x HTTP/1.1\nHost: a b":                              "",
		"CONNECT example.com:443 HTTP/1.1\nHost: example.com:443": "",
		"TRACE / HTTP/1.1\nHost: a":                               "",
	} {
		_, r := raw(t, s, request+"\n\n")
		resp, _ := answer(t, r, "GET")
		select {
		case got := <-urls:
			if got != want {
				t.Errorf("%q: got %s, want %s", request, got, want)
			}
		default:
			if want != "" {
				t.Errorf("%q: answered with %d, and the Worker was not asked", request, resp.StatusCode)
			} else if resp.StatusCode != 400 && resp.StatusCode != 405 {
				t.Errorf("%q: answered with %d", request, resp.StatusCode)
			}
		}
	}
}

// TestTooManyHeaders: no frame can count them, so the client is told.
func TestTooManyHeaders(t *testing.T) {
	_, s := front(t, &Front{}, func(c *call) { c.text(200, "") })
	_, r := raw(t, s, "GET / HTTP/1.1\nHost: a\n"+strings.Repeat("a: \n", 70_000)+"\n")
	if resp, _ := answer(t, r, "GET"); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", resp.StatusCode)
	}
}

func TestAnswerAsTheClientSeesIt(t *testing.T) {
	_, s := front(t, &Front{}, func(c *call) {
		c.text(207, "body", guest.Header{Name: "x-latin", Value: "gr\u00fc\u00df"}, guest.Header{Name: "x-snow", Value: "\u26c4"},
			guest.Header{Name: "set-cookie", Value: "a=1"}, guest.Header{Name: "set-cookie", Value: "b=2"},
			guest.Header{Name: "connection", Value: "keep-alive, x"}, guest.Header{Name: "transfer-encoding", Value: "gzip"},
			guest.Header{Name: "upgrade", Value: "h2c"}, guest.Header{Name: "trailer", Value: "x"}, guest.Header{Name: "keep-alive", Value: "1"})
	})
	resp, body := get(t, s.URL)
	if resp.StatusCode != 207 || body != "body" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	for name, want := range map[string][]string{
		"X-Latin": {"gr\xfc\xdf"}, "X-Snow": {"?"}, "Set-Cookie": {"a=1", "b=2"},
		"Connection": nil, "Upgrade": nil, "Trailer": nil, "Keep-Alive": nil, "Content-Type": nil,
	} {
		if got := resp.Header[name]; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestStatusWithoutBody: what HTTP forbids to have a body does not get one.
func TestStatusWithoutBody(t *testing.T) {
	calls := make(chan *call, 1)
	status := 0
	_, s := front(t, &Front{}, func(c *call) {
		c.Response(&guest.Response{Status: status, HasBody: true})
		c.Body0("body")
		c.BodyEnd0()
		calls <- c
	})
	for _, c := range []struct {
		method string
		status int
		want   int
	}{
		{"HEAD", 200, 200}, {"GET", 204, 204}, {"GET", 304, 304}, {"GET", 101, 500}, {"GET", 0, 500}, {"GET", 65535, 500},
	} {
		status = c.status
		req, _ := http.NewRequest(c.method, s.URL, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want || c.want < 500 && len(b) > 0 {
			t.Errorf("%s with %d: got %d %q", c.method, c.status, resp.StatusCode, b)
		}
		<-calls
	}
}

// TestHeadOfAnAnswerIsNotHeldBack: an event stream begins before its first event.
func TestHeadOfAnAnswerIsNotHeldBack(t *testing.T) {
	began := make(chan struct{})
	_, s := front(t, &Front{}, func(c *call) {
		c.Response(&guest.Response{Status: 200, HasBody: true, Header: []guest.Header{{Name: "content-type", Value: "text/event-stream"}}})
		<-began
		c.Body0("data: x\n\n")
		c.hears(t, "credit 9")
		c.BodyEnd0()
	})
	client := http.Client{Timeout: patience}
	resp, err := client.Get(s.URL)
	close(began)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "data: x\n\n" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestBodiesKeepToTheirCredit in both directions.
func TestBodiesKeepToTheirCredit(t *testing.T) {
	const size = 1 << 20
	_, s := front(t, &Front{}, func(c *call) {
		got := 0
		for granted := guest.Credit; got < size; {
			m := <-c.said
			got += len(strings.TrimPrefix(m, "body "))
			if got > granted {
				t.Errorf("%d bytes came, %d were granted", got, granted)
			}
			if got == granted {
				c.Answer.Credit(100_000)
				granted += 100_000
			}
		}
		c.hears(t, "end")
		c.Response(&guest.Response{Status: 200, HasBody: true})
		for sent := 0; sent < size; {
			for window := guest.Credit; window > 0 && sent < size; {
				n := min(window, guest.MaxChunk)
				c.Body0(strings.Repeat("x", n))
				window -= n
				sent += n
			}
			for back := 0; back < guest.Credit; {
				var n int
				fmt.Sscanf(<-c.said, "credit %d", &n)
				back += n
			}
		}
		c.BodyEnd0()
	})
	resp, err := http.Post(s.URL, "", strings.NewReader(strings.Repeat("y", size)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); len(b) != size || err != nil {
		t.Errorf("got %d bytes, %v", len(b), err)
	}
}

// TestEarlyAnswer: a Worker may answer without reading the body, while the
// client has not sent it.
func TestEarlyAnswer(t *testing.T) {
	for name, serve := range map[string]func(c *call){
		"without a word": func(c *call) { c.text(200, "early") },
		"refusing the body": func(c *call) {
			c.Answer.Cancel("no")
			c.text(200, "early")
		},
		"failure": func(c *call) { c.Failure(&dormouse.Error{Message: "no"}) },
	} {
		for _, expect := range []string{"", "Expect: 100-continue\n"} {
			t.Run(name+" "+expect, func(t *testing.T) {
				t.Parallel() // each connection takes half a second to end
				_, s := front(t, &Front{}, serve)
				_, r := raw(t, s, "POST / HTTP/1.1\nHost: a\nContent-Length: 10\n"+expect+"\n")
				if expect != "" {
					if line, err := r.Peek(12); err == nil && string(line) == "HTTP/1.1 100" {
						answer(t, r, "POST")
					}
				}
				want := 200
				if name == "failure" {
					want = 500
				}
				if resp, body := answer(t, r, "POST"); resp.StatusCode != want || want == 200 && body != "early" {
					t.Errorf("got %d %q", resp.StatusCode, body)
				}
			})
		}
	}
}

// TestConnectionIsKept for the next request when all has been read.
func TestConnectionIsKept(t *testing.T) {
	_, s := front(t, &Front{}, func(c *call) {
		for m := range c.said {
			if m == "end" {
				break
			}
		}
		c.text(200, "ok")
	})
	_, r := raw(t, s, strings.Repeat("POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi", 3))
	for range 3 {
		if resp, body := answer(t, r, "POST"); resp.StatusCode != 200 || body != "ok" || resp.Close {
			t.Errorf("got %d %q, close %v", resp.StatusCode, body, resp.Close)
		}
	}
}

// TestClientLeaves: the Worker hears of it, whatever it was doing. Whether it is
// the request's body that breaks off first, or the whole request, is chance.
func TestClientLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		serve   func(c *call)
	}{
		"before the answer":      {"GET / HTTP/1.1\nHost: a\n\n", func(*call) {}},
		"while the body is sent": {"POST / HTTP/1.1\nHost: a\nContent-Length: 10\n\n", func(*call) {}},
		"while the answer is":    {"GET / HTTP/1.1\nHost: a\n\n", func(c *call) { c.Response(&guest.Response{Status: 200, HasBody: true}) }},
		"chunked, while it is":   {"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\n", func(*call) {}},
	} {
		t.Run(name, func(t *testing.T) {
			calls := make(chan *call, 1)
			_, s := front(t, &Front{}, func(call *call) { c.serve(call); calls <- call })
			conn, _ := raw(t, s, c.request)
			call := <-calls
			conn.Close()
			select {
			case got := <-call.said:
				if !slices.Contains([]string{"cancel the client left", "abort the client left", "abort canceled"}, got) {
					t.Errorf("the Worker heard %q", got)
				}
			case <-time.After(patience):
				t.Error("the Worker never heard of it")
			}
		})
	}
}

// TestBodyPastTheLimit is refused, with what it says or when it gets there.
func TestBodyPastTheLimit(t *testing.T) {
	var asked atomic.Int32
	_, s := front(t, &Front{MaxBody: 10}, func(c *call) {
		asked.Add(1)
		for m := range c.said {
			if m == "end" {
				c.text(200, "ok")
				return
			}
			if strings.HasPrefix(m, "abort ") {
				c.Failure(&dormouse.Error{Message: m})
				return
			}
		}
	})
	for _, c := range []struct {
		body io.Reader
		want int
	}{
		{strings.NewReader("0123456789"), 200},
		{strings.NewReader("0123456789a"), 413},
		{io.MultiReader(strings.NewReader("0123456789")), 200}, // chunked
		{io.MultiReader(strings.NewReader("0123456789a")), 413},
	} {
		resp, err := http.Post(s.URL, "", c.body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("got %d, want %d", resp.StatusCode, c.want)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("the Worker was asked %d times, want 3", n)
	}
}

// TestBodyPastTheLimitWhileAnswering must not be a race: run with -race.
func TestBodyPastTheLimitWhileAnswering(t *testing.T) {
	_, s := front(t, &Front{MaxBody: 10}, func(c *call) {
		h := make([]guest.Header, 100)
		for i := range h {
			h[i] = guest.Header{Name: fmt.Sprint("x-", i), Value: "y"}
		}
		c.text(200, "ok", h...)
	})
	for range 50 {
		resp, err := http.Post(s.URL, "", io.MultiReader(strings.NewReader(strings.Repeat("x", 5000))))
		if err == nil {
			resp.Body.Close()
		}
	}
}

// TestAnswerBreaksOff: the client must see that it is not whole.
func TestAnswerBreaksOff(t *testing.T) {
	_, s := front(t, &Front{}, func(c *call) {
		c.Response(&guest.Response{Status: 200, HasBody: true})
		c.Body0("half")
		c.hears(t, "credit 4")
		c.Answer.BodyAbort("boom")
	})
	resp, err := http.Get(s.URL)
	if err != nil {
		return // its head had not left yet
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("got %q, and no error", b)
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		e       dormouse.Error
		details bool
		status  int
		body    string
		retry   string
	}{
		{dormouse.Error{Message: "secret"}, false, 500, "Internal Server Error\n", ""},
		{dormouse.Error{Message: "secret"}, true, 500, "secret\n", ""},
		{dormouse.Error{Name: "TypeError", Message: "no", Stack: "TypeError: no\n    at x.ts:1"}, true, 500, "TypeError: no\n    at x.ts:1\n", ""},
		{dormouse.Error{Message: "busy", Overloaded: true}, false, 503, "Service Unavailable\n", "1"},
		{dormouse.Error{Message: "again", Retryable: true}, false, 503, "Service Unavailable\n", "1"},
	} {
		_, s := front(t, &Front{Details: c.details}, func(call *call) { e := c.e; call.Failure(&e) })
		resp, body := get(t, s.URL)
		if resp.StatusCode != c.status || body != c.body || resp.Header.Get("Retry-After") != c.retry {
			t.Errorf("%+v: got %d %q, Retry-After %q", c.e, resp.StatusCode, body, resp.Header.Get("Retry-After"))
		}
	}
}

// TestClientAddress: a proxy is believed if it is trusted, and only as far.
func TestClientAddress(t *testing.T) {
	f := &Front{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for _, c := range []struct {
		remote, forwarded, proto, ip, scheme string
	}{
		{"1.2.3.4:5", "", "", "1.2.3.4", "http"},
		{"1.2.3.4:5", "6.6.6.6", "https", "1.2.3.4", "http"},
		{"10.0.0.1:5", "6.6.6.6", "https", "6.6.6.6", "https"},
		{"10.0.0.1:5", "7.7.7.7, 6.6.6.6", "", "6.6.6.6", "http"},
		{"10.0.0.1:5", "7.7.7.7, 6.6.6.6 ,10.0.0.2", "ftp", "6.6.6.6", "http"},
		{"10.0.0.1:5", "10.0.0.3,10.0.0.2", "", "10.0.0.3", "http"},
		{"10.0.0.1:5", "", "", "10.0.0.1", "http"},
		{"10.0.0.1:5", "nonsense", "", "10.0.0.1", "http"},
		{"[::ffff:10.0.0.1]:5", "::ffff:6.6.6.6", "", "6.6.6.6", "http"},
		{"[fd00::1]:5", "2001:db8::1", "", "2001:db8::1", "http"},
		{"@", "6.6.6.6", "", "@", "http"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{}}
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		r.Header.Set("X-Forwarded-Proto", c.proto)
		if who := f.client(r); who.address != c.ip || who.scheme != c.scheme {
			t.Errorf("%+v: got %+v", c, who)
		}
	}
}

// TestManyAnswersAtOnce is for the race detector.
func TestManyAnswersAtOnce(t *testing.T) {
	_, s := front(t, &Front{}, func(c *call) {
		for c.HasBody {
			if m := <-c.said; m == "end" || strings.HasPrefix(m, "abort") {
				break
			}
		}
		c.text(200, "ok")
	})
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			for range 30 {
				resp, err := http.Post(s.URL, "", strings.NewReader(strings.Repeat("x", n*1000)))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wait.Wait()
}
