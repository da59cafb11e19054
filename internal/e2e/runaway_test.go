package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// stall is how long code may run in these tests.
const stall = 500 * time.Millisecond

// startRunaway serves objects that do not behave, all in one guest.
func startRunaway(t testing.TB, more ...string) *Dormouse {
	return StartDormouse(t, Options{
		Dir: filepath.Join(root(t), "internal/e2e/testdata/runaway"), HibernateAfter: time.Minute,
		More: append([]string{"--guests", "1", "--limits-guest-stall", stall.String()}, more...),
	})
}

// peer is a socket of an object that does what it is told.
type peer struct {
	t    testing.TB
	name string
	conn net.Conn
	rw   io.ReadWriter
}

// reply is what an object answers.
type reply struct {
	Count int    `json:"count"`
	Text  string `json:"text"`
	Born  string `json:"born"` // one value for each instance
}

func dial(t testing.TB, d *Dormouse, object string) *peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, buffered, _, err := ws.Dial(ctx, "ws"+strings.TrimPrefix(d.URL, "http")+"/"+url.PathEscape(object))
	if err != nil {
		t.Fatalf("socket of %s: %v", object, err)
	}
	t.Cleanup(func() { conn.Close() })
	if buffered == nil {
		buffered = bufio.NewReader(conn)
	}
	return &peer{t: t, name: object, conn: conn, rw: struct {
		io.Reader
		io.Writer
	}{buffered, conn}}
}

func (p *peer) say(text string) {
	p.t.Helper()
	if err := p.write(text); err != nil {
		p.t.Fatalf("say %q to %s: %v", text, p.name, err)
	}
}

func (p *peer) write(text string) error {
	p.conn.SetWriteDeadline(time.Now().Add(limit))
	return wsutil.WriteClientText(p.conn, []byte(text))
}

func (p *peer) hear() string {
	p.t.Helper()
	s, err := p.read()
	if err != nil {
		p.t.Fatalf("hear %s: %v", p.name, err)
	}
	return s
}

func (p *peer) read() (string, error) {
	p.conn.SetReadDeadline(time.Now().Add(limit))
	b, err := wsutil.ReadServerText(p.rw)
	return string(b), err
}

func (p *peer) hearReply(text string) reply {
	p.t.Helper()
	var r reply
	if s := p.hear(); json.Unmarshal([]byte(s), &r) != nil || r.Text != text {
		p.t.Fatalf("%s answered %q, want an answer to %q", p.name, s, text)
	}
	return r
}

func (p *peer) ask(text string) reply {
	p.t.Helper()
	p.say(text)
	return p.hearReply(text)
}

// pairOf is an object that is about to do something, and a neighbour in the
// same guest, both with a socket and a history.
func pairOf(t *testing.T, d *Dormouse) (bad, good *peer) {
	t.Helper()
	bad, good = dial(t, d, t.Name()+" bad"), dial(t, d, t.Name()+" good")
	bad.ask("before")
	good.ask("before")
	return bad, good
}

// TestLoopEndsOnlyItsInstance: whatever the loop is in, its object's sockets stay
// and are answered by a new instance; its neighbour's instance goes on.
func TestLoopEndsOnlyItsInstance(t *testing.T) {
	d := startRunaway(t)
	pids := d.GuestPIDs()
	for _, how := range []string{
		"loop", "loop, caught", "loop in a timer", "loop of promises", "loop of sends", "loop in a next tick",
		// What Node itself continues: nobody's turn.
		"loop behind a digest", "loop in a callback of zlib", "loop in a stream", "loop behind a stream",
		"loop behind a compressor", "loop in a timer of Node's",
	} {
		t.Run(how, func(t *testing.T) {
			bad, good := pairOf(t, d)
			before, neighbour := bad.ask("who?"), good.ask("who?")
			bad.say(how)
			const messages = 100
			for i := range messages {
				good.say(fmt.Sprint("message ", i))
			}
			for i := range messages {
				r := good.hearReply(fmt.Sprint("message ", i))
				if r.Born != neighbour.Born || r.Count != neighbour.Count+1+i {
					t.Fatalf("neighbour answered %+v after %+v", r, neighbour)
				}
			}
			if how == "loop in a timer" {
				bad.hearReply(how)
			}
			d.waitReset(bad, before)
			bad.say("attachment and tags")
			if got, want := bad.hear(), `["kept",["visitor"]]`; got != want {
				t.Errorf("attachment and tags are %s, want %s", got, want)
			}
		})
	}
	if now := d.GuestPIDs(); len(now) != 1 || now[0] != pids[0] {
		t.Errorf("guests are %v, want %v still", now, pids)
	}
}

// waitReset waits until an object's messages are answered by another instance.
// Those that the one before had been given are lost with it.
func (d *Dormouse) waitReset(p *peer, before reply) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	err := Until(ctx, p.name+" has been reset", func() (bool, error) {
		var o struct {
			State  string `json:"state"`
			Deaths int    `json:"guest_deaths"`
		}
		status, err := d.ask(ctx, "GET", d.object(p.name), &o)
		return status == http.StatusOK && o.Deaths > 0 && o.State == "hibernated", err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.say("after")
	for {
		s := p.hear()
		if s == "again" { // said before it was ended
			continue
		}
		var r reply
		if json.Unmarshal([]byte(s), &r) != nil || r.Text != "after" || r.Count != 1 || r.Born == before.Born {
			p.t.Errorf("%s answered %q, want an answer of a new instance; before it was %+v", p.name, s, before)
		}
		return
	}
}

// TestLoopInConstructor ends the instance before it was one; its sockets stay, and
// the message that waited for the constructor goes to the next one.
func TestLoopInConstructor(t *testing.T) {
	d := startRunaway(t)
	bad, good := pairOf(t, d)
	before := bad.ask("loop in the next constructor")
	d.Hibernate(bad.name)
	bad.say("wakes it")
	good.ask("at the same time")
	var after reply
	if s := bad.hear(); json.Unmarshal([]byte(s), &after) != nil || after.Text != "wakes it" || after.Count != 1 || after.Born == before.Born {
		t.Errorf("it answers %q, want an answer of a new instance; before it was %+v", s, before)
	}
}

// TestLoopBehindAWrite: the write goes with the instance, and so does what was
// said behind it.
func TestLoopBehindAWrite(t *testing.T) {
	d := startRunaway(t)
	bad, _ := pairOf(t, d)
	before := bad.ask("who?")
	bad.say("loop behind a write")
	d.waitReset(bad, before)
	bad.say("what was written?")
	if got := bad.hear(); got != "undefined" {
		t.Errorf("written: %s, want undefined", got)
	}
}

// TestLoopInARequest: who waits for it learns that the object was reset, or that
// the Worker failed; the next request is answered.
func TestLoopInARequest(t *testing.T) {
	d := startRunaway(t)
	pids := d.GuestPIDs()
	for _, path := range []string{"/an%20object/loop", "/loop"} {
		if status, body, _ := get(t, d.URL+path); status < 500 {
			t.Errorf("GET %s: status %d, %s; want an error", path, status, body)
		}
		if status, body, _ := get(t, d.URL+"/an%20object/hello"); status != http.StatusOK || string(body) != "hello" {
			t.Errorf("after GET %s: status %d, %s", path, status, body)
		}
	}
	if now := d.GuestPIDs(); now[0] != pids[0] {
		t.Errorf("guest %d was replaced by %d", pids[0], now[0])
	}
}

// TestGuestMustEnd: what cannot be cut takes the guest. Every socket stays, the
// next messages construct again, and the neighbour loses nothing.
func TestGuestMustEnd(t *testing.T) {
	for _, how := range []string{"loop in a query", "eat strings", "eat buffers"} {
		t.Run(how, func(t *testing.T) {
			d := startRunaway(t, "--guest-memory", "200MB")
			pids := d.GuestPIDs()
			bad, good := pairOf(t, d)
			before := bad.ask("who?")
			bad.say(how)
			d.waitGone("guest", pids[0])
			good.ask("after")
			d.waitReset(bad, before)
			bad.say("attachment and tags")
			if got, want := bad.hear(), `["kept",["visitor"]]`; got != want {
				t.Errorf("attachment and tags are %s, want %s", got, want)
			}
		})
	}
}

// TestSlowIsNotStalled: many turns, each within the limit, may take longer than
// a guest that handles nothing is given.
func TestSlowIsNotStalled(t *testing.T) {
	d := startRunaway(t)
	pids := d.GuestPIDs()
	bad, _ := pairOf(t, d)
	before := bad.ask("who?")
	const messages = 30 // of 100 ms
	for range messages {
		bad.say("burn")
	}
	for i := range messages {
		if r := bad.hearReply("burn"); r.Born != before.Born || r.Count != before.Count+1+i {
			t.Fatalf("answered %+v after %d messages and %+v", r, i, before)
		}
	}
	if now := d.GuestPIDs(); now[0] != pids[0] {
		t.Errorf("guest %d was replaced by %d", pids[0], now[0])
	}
}

// TestGuestStandsStill: a guest that handles nothing is ended when there is
// something to handle, and what it had not begun is delivered to the next one.
func TestGuestStandsStill(t *testing.T) {
	d := startRunaway(t)
	pids := d.GuestPIDs()
	one, other := pairOf(t, d)
	if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	one.say("while it stands still")
	other.say("while it stands still")
	d.waitGone("guest", pids[0])
	for _, p := range []*peer{one, other} {
		if r := p.hearReply("while it stands still"); r.Count != 1 {
			t.Errorf("%s answered %+v, want the answer of a new instance", p.name, r)
		}
	}
}

// TestWhatIsRefusedOrSurvived: attempts to end the process, and errors that
// nobody catches, leave the instance as it was.
func TestWhatIsRefusedOrSurvived(t *testing.T) {
	d := startRunaway(t)
	pids := d.GuestPIDs()
	bad, _ := pairOf(t, d)
	before := bad.ask("throw in a timer")
	d.waitLog(t, "thrown in a timer")
	bad.say("exit")
	if got, want := bad.hear(), "exit: refused, abort: refused, kill: refused, reallyExit: refused"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if r := bad.ask("who?"); r.Born != before.Born {
		t.Errorf("answered by %+v, want the instance of %+v", r, before)
	}
	if now := d.GuestPIDs(); now[0] != pids[0] {
		t.Errorf("guest %d was replaced by %d", pids[0], now[0])
	}
}

func (d *Dormouse) waitLog(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := Until(ctx, "the log says "+text, func() (bool, error) { return strings.Contains(d.server.Log(), text), nil }); err != nil {
		t.Fatal(err)
	}
}

// TestIsolation: an object that ran away twice is not started for a while. Its
// socket stays, requests for it are refused with a time to try again, and its
// neighbour does not notice.
func TestIsolation(t *testing.T) {
	d := startRunaway(t)
	bad, good := pairOf(t, d)
	before := bad.ask("who?")
	bad.say("loop")
	d.waitReset(bad, before)
	bad.say("loop")
	d.waitLog(t, "object isolated")
	bad.say("when it may")
	res, err := http.Get(d.URL + "/" + url.PathEscape(bad.name) + "/hello")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q; want 503 with a time", res.StatusCode, res.Header.Get("Retry-After"))
	}
	var o struct {
		Deaths int        `json:"guest_deaths"`
		Until  *time.Time `json:"isolated_until"`
	}
	if _, err := d.ask(t.Context(), "GET", d.object(bad.name), &o); err != nil || o.Deaths != 2 || o.Until == nil {
		t.Errorf("the admin API says %+v, %v; want 2 deaths and a time", o, err)
	}
	good.ask("meanwhile")
	if r := bad.hearReply("when it may"); r.Count != 1 {
		t.Errorf("answered %+v, want a new instance", r)
	}
}
