package edge

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// patience is how long anything may take before it counts as never.
const patience = 10 * time.Second

// worker is a Worker in a test: a goroutine for each request says what it
// answers, as a loop would.
type worker struct {
	t     *testing.T
	serve func(c *call)

	mu       sync.Mutex // guards the following
	released []dormouse.SocketID
	attached []attached
}

type attached struct {
	socket dormouse.SocketID
	conn   net.Conn
	rest   string
	o      ws.Options
}

// call is a request to a worker. It is the Asker.
type call struct {
	*guest.Request
	host.Answer
	said chan string // what the asker says
}

func (w *worker) FetchWorker(r *guest.Request, a host.Answer) host.Asker {
	c := &call{Request: r, Answer: a, said: make(chan string, 10_000)}
	go w.serve(c)
	return c
}

func (c *call) Body(p []byte)           { c.said <- "body " + string(p) }
func (c *call) BodyEnd()                { c.said <- "end" }
func (c *call) BodyAbort(reason string) { c.said <- "abort " + reason }
func (c *call) Credit(n uint32)         { c.said <- fmt.Sprint("credit ", n) }
func (c *call) Cancel(reason string)    { c.said <- "cancel " + reason }

// hears waits for the next thing that the asker says.
func (c *call) hears(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-c.said:
		if got != want {
			t.Errorf("the Worker heard %.80q, want %.80q", got, want)
		}
	case <-time.After(patience):
		t.Errorf("the Worker never heard %.80q", want)
	}
}

// header is the values of a request's header.
func (c *call) header(name string) (values []string) {
	for _, h := range c.Header {
		if strings.EqualFold(h.Name, name) {
			values = append(values, h.Value)
		}
	}
	return values
}

// text answers with a whole body.
func (c *call) text(status int, s string, h ...guest.Header) {
	c.Response(&guest.Response{Status: status, Header: h, HasBody: true})
	c.Body0(s)
	c.BodyEnd0()
}

// Body0 and BodyEnd0 are the Answer's: the Asker has the same names.
func (c *call) Body0(s string) { c.Answer.Body([]byte(s)) }
func (c *call) BodyEnd0()      { c.Answer.BodyEnd() }

// front is a server with a worker behind it.
func front(t *testing.T, f *Front, serve func(c *call)) (*worker, *httptest.Server) {
	t.Helper()
	w := &worker{t: t, serve: serve}
	f.Worker = w
	f.Log = slog.New(slog.DiscardHandler)
	f.Release = func(s dormouse.SocketID) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.released = append(w.released, s)
	}
	if f.Attach == nil {
		f.Attach = func(s dormouse.SocketID, c net.Conn, rest []byte, o ws.Options) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			o.Head = bytes.Clone(o.Head)
			w.attached = append(w.attached, attached{s, c, string(rest), o})
			c.Write(o.Head)
			return nil
		}
	}
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if behindSteps {
		f.AttachSoon = func(id dormouse.SocketID, c net.Conn, rest []byte, o ws.Options, done func(error)) {
			go func() { done(f.Attach(id, c, rest, o)) }()
		}
		s.Listener = &Steps{
			Listener: Bare(s.Listener), Front: func() *Front { return f }, Door: &openDoor{t: t}, Limit: patience,
			Context: func(ctx context.Context, c net.Conn) context.Context { return ctx },
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return w, s
}

// raw sends bytes and returns the connection.
func raw(t *testing.T, s *httptest.Server, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// answer reads one answer.
func answer(t *testing.T, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("body: %v after %.80q", err, b)
	}
	return resp, string(b)
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}
