package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// behindSteps has the servers of all tests behind Steps.
var behindSteps bool

// openDoor lets everybody in, and counts.
type openDoor struct {
	t      *testing.T
	inside atomic.Int32
}

func (d *openDoor) Fresh(net.Conn, bool) {}
func (d *openDoor) Enter() bool          { d.inside.Add(1); return true }
func (d *openDoor) Leave() {
	if d.inside.Add(-1) < 0 {
		d.t.Error("more requests have left than come")
	}
}

func steps(t *testing.T) {
	behindSteps = true
	t.Cleanup(func() { behindSteps = false })
}

// TestBehindSteps: clients see no difference.
func TestBehindSteps(t *testing.T) {
	steps(t)
	for name, test := range map[string]func(*testing.T){
		"request": TestRequestAsTheWorkerSeesIt, "odd URLs": TestURLsThatAreNone, "answer": TestAnswerAsTheClientSeesIt,
		"early answer": TestEarlyAnswer, "kept": TestConnectionIsKept, "leaves": TestClientLeaves, "failures": TestFailures,
		"address": TestClientAddress, "upgrade": TestUpgrade, "refused": TestUpgradeRefused,
		"leaves before the socket": TestClientLeavesBeforeItsSocketComes, "many": TestManyAnswersAtOnce, "no room": TestNoRoom,
	} {
		t.Run(name, test)
	}
}

func TestStepsPassOnWhatIsNotPlain(t *testing.T) {
	line := func(s string) string { return strings.ReplaceAll(upgrade, "\n", "\r\n") + s + "\r\n" }
	if r, rest := plainUpgrade([]byte(line("") + "more")); r == nil || r.Host != "a" || string(rest) != "more" {
		t.Errorf("a plain one: got %v and %q", r, rest)
	}
	for name, head := range map[string]string{
		"no end":          strings.TrimSuffix(line(""), "\n"),
		"POST":            strings.Replace(line(""), "GET", "POST", 1),
		"HTTP/1.0":        strings.Replace(line(""), "/1.1", "/1.0", 1),
		"a whole URL":     strings.Replace(line(""), "/chat", "http://a/chat", 1),
		"no upgrade":      strings.Replace(line(""), "Upgrade: websocket", "X: y", 1),
		"another upgrade": strings.Replace(line(""), ": websocket", ": h2c", 1),
		"no host":         strings.Replace(line(""), "Host: a\r\n", "", 1),
		"two hosts":       line("host: b\r\n"),
		"an odd host":     strings.Replace(line(""), "Host: a", "Host: a b", 1),
		"a body":          line("Content-Length: 3\r\n"),
		"a chunked body":  line("Transfer-Encoding: chunked\r\n"),
		"an expectation":  line("Expect: 100-continue\r\n"),
		"a bare line end": line("X: y\nY: z\r\n"),
		"a bare return":   line("X: y\rz\r\n"),
		"a folded line":   line("X: y\r\n z\r\n"),
		"a NUL":           line("X: \x00\r\n"),
		"a nameless line": line(": y\r\n"),
		"a spaced name":   line("X : y\r\n"),
	} {
		if r, _ := plainUpgrade([]byte(head)); r != nil {
			t.Errorf("%s: got %v, want it to be passed on", name, r)
		}
	}
}

func FuzzPlainUpgrade(f *testing.F) {
	f.Add([]byte(strings.ReplaceAll(upgrade, "\n", "\r\n") + "\r\nrest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, rest := plainUpgrade(b)
		if r != nil && (r.Host == "" || r.ContentLength != 0 || len(rest) >= len(b)) {
			t.Errorf("%q: got %v", b, r)
		}
	})
}

// TestStepsHeadInPieces: a client may send its request as it likes.
func TestStepsHeadInPieces(t *testing.T) {
	steps(t)
	w, s := front(t, &Front{}, withSocket)
	c, r := raw(t, s, upgrade[:20])
	io.WriteString(c, strings.ReplaceAll(upgrade[20:]+"\n", "\n", "\r\n"))
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("got %v, %v", resp, err)
	}
	w.mu.Lock()
	w.attached[0].conn.Close()
	w.mu.Unlock()
}

// TestStepsAnswerWithoutASocket: the Worker may answer as it would any request.
func TestStepsAnswerWithoutASocket(t *testing.T) {
	steps(t)
	long := strings.Repeat("no ", 100_000)
	_, s := front(t, &Front{}, func(c *call) {
		c.Response(&guest.Response{Status: 403, HasBody: true, Header: []guest.Header{{Name: "x-why", Value: "because"}}})
		for text := long; text != ""; {
			n := min(len(text), guest.MaxChunk)
			c.Body0(text[:n])
			text = text[n:]
		}
		c.BodyEnd0()
	})
	_, r := raw(t, s, upgrade+"\n")
	resp, body := answer(t, r, "GET")
	if resp.StatusCode != 403 || resp.Header.Get("X-Why") != "because" || resp.Header.Get("Date") == "" || !resp.Close || body != long {
		t.Errorf("got %d %v and %d bytes", resp.StatusCode, resp.Header, len(body))
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("behind the answer: %v, want its end", err)
	}
}

// TestStepsCloseWithClientsThatSayNothing: nothing keeps the listener.
func TestStepsCloseWithClientsThatSayNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Steps{Listener: l, Door: &openDoor{t: t}}
	accepts := make(chan error, 1)
	go func() {
		_, err := s.Accept()
		accepts <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	s.Close()
	if err := <-accepts; err == nil {
		t.Error("Accept goes on after Close")
	}
	if _, err := bufio.NewReader(c).ReadByte(); err == nil {
		t.Error("the client was told something")
	}
}
