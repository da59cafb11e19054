package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gws "github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/object"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wspipe"
	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// hibernateAfter and evictAfter are the rest of every class in these tests.
const (
	hibernateAfter = 10 * time.Second
	evictAfter     = 70 * time.Second
)

// world is shards that know each other, with the real registry and the
// in-memory transport, in a bubble of virtual time.
type world struct {
	t      *testing.T
	shards []*shard
}

// shard is one loop with all that belongs to it.
type shard struct {
	*world
	loop      *loop.Loop
	transport *wspipe.Transport
	registry  *hibernation.Registry
	host      *host.Shard
	guest     *guesttest.Guest // the latest
	disk      *disk
	past      []uint32 // incarnations
	wakes     []string // alarms that were set
}

// options change what a world is made of.
type options struct {
	shards     int
	disk       bool
	keep       bool // sockets on reset
	autoReply  bool
	handshake  time.Duration
	limits     host.Limits
	maxSockets int
	outbound   int
	log        io.Writer
	slow       time.Duration
	places     host.Places
}

// inWorld runs f in a bubble with a world of auto guests that are ready.
func inWorld(t *testing.T, o options, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o)
		defer w.stop()
		for _, s := range w.shards {
			s.newGuest(true)
		}
		f(t, w)
	})
}

func newWorld(t *testing.T, o options) *world {
	w := &world{t: t}
	if o.maxSockets == 0 {
		o.maxSockets = dormouse.MaxSocketsPerObject
	}
	out := o.log
	if out == nil {
		out = io.Discard
	}
	for i := range max(o.shards, 1) {
		l := loop.NewPortable()
		s := &shard{world: w, loop: l, transport: wspipe.New(l)}
		s.registry = hibernation.New(hibernation.Config{
			Loop: l, Transport: s.transport, Options: ws.Options{MaxOutbound: o.outbound}, AutoReply: o.autoReply,
			CloseHandshake: o.handshake, MaxSockets: o.maxSockets, Home: w.home,
		})
		c := host.Config{
			Loop: l, Index: i, Limits: o.limits, Log: slog.New(slog.NewTextHandler(out, nil)),
			Classes:  []host.Class{{Name: "Room", Namespace: "chat-Room", KeepOnReset: o.keep, Rest: object.Rest{Hibernate: hibernateAfter, Evict: evictAfter}}},
			Bindings: []host.Binding{{Class: 0}},
			Registry: registry{s.registry, s.transport},
			Route:    w.route, Outside: outside{}, Alarms: s, Slow: o.slow, Places: o.places,
		}
		if o.disk {
			s.disk = new(disk)
			c.Durability = s.disk
		}
		s.host = host.New(c)
		w.shards = append(w.shards, s)
	}
	for _, s := range w.shards {
		s.loop.Start()
	}
	return w
}

// stop lets every connection end, so that no goroutine of a test is left.
func (w *world) stop() {
	for _, s := range w.shards {
		s.loop.Stop()
	}
}

// one is the only shard.
func (w *world) one() *shard { return w.shards[0] }

// home finds the registry of the guest that made a pair.
func (w *world) home(incarnation uint32) *hibernation.Registry {
	for _, s := range w.shards {
		if slices.Contains(s.past, incarnation) {
			return s.registry
		}
	}
	return nil
}

// route puts an object on the shard that its first byte names.
func (w *world) route(k dormouse.Key) *host.Shard { return w.shards[int(k.ID[0])%len(w.shards)].host }

// registry introduces hibernation to host, as package server does.
type registry struct {
	*hibernation.Registry
	*wspipe.Transport
}

func (r registry) NewSet(to host.Recipient, hibernatable bool) host.Set {
	return r.Registry.NewSet(to, hibernatable)
}
func (r registry) Accept(t host.Set, s dormouse.SocketID, tags []string) error {
	return r.Registry.Accept(t.(*hibernation.Set), s, tags)
}
func (r registry) Open(t host.Set, s dormouse.SocketID) error {
	return r.Registry.Open(t.(*hibernation.Set), s)
}

// outside answers every request to assets and services with 404.
type outside struct{}

func (outside) Ask(_ guest.Target, r *guest.Request, a host.Answer) host.Asker {
	a.Response(&guest.Response{Status: 404})
	return silent{}
}

type silent struct{}

func (silent) Body([]byte)      {}
func (silent) BodyEnd()         {}
func (silent) BodyAbort(string) {}
func (silent) Credit(uint32)    {}
func (silent) Cancel(string)    {}

// on runs f on the loop, and returns when everything has come to rest.
func (s *shard) on(f func()) {
	s.t.Helper()
	if !s.loop.Call(f) {
		s.t.Fatal("the loop has stopped")
	}
	synctest.Wait()
}

// newGuest gives the shard another guest.
func (s *shard) newGuest(auto bool) *guesttest.Guest {
	var n uint32 = 1
	for _, other := range s.shards {
		n += uint32(len(other.past))
	}
	g := guesttest.New(s.host, s.loop, n)
	g.Auto = auto
	s.past = append(s.past, n)
	s.guest = g
	s.on(g.Ready)
	return g
}

// auto says whether the guest behaves by itself.
func (s *shard) auto(is bool) { s.on(func() { s.guest.Auto = is }) }

// take is what the guest has heard, which it forgets.
func (s *shard) take() []string { return s.takeOf(s.guest) }

func (s *shard) takeOf(g *guesttest.Guest) (heard []string) {
	s.on(func() { heard = g.Take() })
	return heard
}

// heard takes what the guest has heard and compares it.
func (s *shard) heard(want ...string) {
	s.t.Helper()
	s.heardBy(s.guest, want...)
}

func (s *shard) heardBy(g *guesttest.Guest, want ...string) {
	s.t.Helper()
	synctest.Wait()
	same(s.t, "the guest heard", s.takeOf(g), want)
	if g.Broken != nil {
		s.t.Errorf("the guest was given up: %v", g.Broken)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// key is an object on the n-th shard, all others different by name.
func key(n byte, name string) dormouse.Key {
	k := dormouse.Key{Namespace: "chat-Room"}
	k.ID[0] = n
	copy(k.ID[1:], name)
	return k
}

// wake notes what host.Alarms is told.
func (s *shard) wake(k dormouse.Key, what string, at time.Time) {
	line := strings.TrimRight(string(k.ID[1:]), "\x00") + " " + what
	if !at.IsZero() {
		line += fmt.Sprint(" ", at.UnixMilli())
	}
	s.wakes = append(s.wakes, line)
}

func (s *shard) Earlier(k dormouse.Key, at time.Time) { s.wake(k, "earlier", at) }
func (s *shard) Found(k dormouse.Key, at time.Time)   { s.wake(k, "found", at) }
func (s *shard) Doubt(k dormouse.Key)                 { s.wake(k, "doubt", time.Time{}) }
func (s *shard) Later(k dormouse.Key, at time.Time) func() {
	s.wake(k, "is", at)
	return func() { s.wake(k, "durable", at) }
}

// disk is a Durability that a test finishes by hand.
type disk struct {
	waiting []func(error) // of all objects, oldest first
	opened  int
	closed  int
	moved   []int // frames that were checkpointed
	manual  bool  // also Open and Checkpoint wait for the test
	refuses error // what is asked
}

func (d *disk) Path(k dormouse.Key) string { return "/" + strings.TrimRight(string(k.ID[1:]), "\x00") }

func (d *disk) Open(_ dormouse.Key, done func(error)) error {
	if d.refuses != nil {
		return d.refuses
	}
	d.opened++
	d.wait(done)
	return nil
}

func (d *disk) wait(done func(error)) {
	if d.manual {
		d.waiting = append(d.waiting, done)
		return
	}
	done(nil)
}

func (d *disk) Commit(_ dormouse.Key, done func(error)) error {
	if d.refuses != nil {
		return d.refuses
	}
	d.waiting = append(d.waiting, done)
	return nil
}

func (d *disk) Checkpoint(_ dormouse.Key, ready func(error)) error {
	if d.refuses != nil {
		return d.refuses
	}
	d.wait(ready)
	return nil
}

func (d *disk) Checkpointed(_ dormouse.Key, frames int) { d.moved = append(d.moved, frames) }
func (d *disk) Release(dormouse.Key)                    { d.closed++ }

// sync finishes the n oldest commits that wait.
func (s *shard) sync(n int, err error) {
	s.t.Helper()
	s.on(func() {
		if len(s.disk.waiting) < n {
			s.t.Errorf("%d commits wait, want at least %d", len(s.disk.waiting), n)
			return
		}
		done := s.disk.waiting[:n]
		s.disk.waiting = slices.Clone(s.disk.waiting[n:])
		for _, f := range done {
			f(err)
		}
	})
}

var errDisk = errors.New("no space left on device")

// client is the far end of a socket.
type client struct {
	s      *shard
	server dormouse.SocketID // the other end
	end    *wspipe.End
	in     []byte
}

// attach connects a client to the end id, as the edge does.
func (s *shard) attach(id dormouse.SocketID) *client {
	s.t.Helper()
	near, far := wspipe.Pipe()
	near.SetCapacity(64 << 20) // a client that reads at once
	far.SetCapacity(64 << 20)
	home := s.home(id.Incarnation())
	var err error
	if !home.Loop().Call(func() { err = home.Attach(id, far, nil, ws.Options{}) }) {
		s.t.Fatal("the loop has stopped")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	return &client{s: s, server: id.Peer(), end: near}
}

// tryAttach is attach that may fail.
func (s *shard) tryAttach(id dormouse.SocketID) (err error) {
	_, far := wspipe.Pipe()
	s.on(func() { err = s.registry.Attach(id, far, nil, ws.Options{}) })
	return err
}

// attachLater connects a client from the loop itself.
func (s *shard) attachLater(id dormouse.SocketID) {
	_, far := wspipe.Pipe()
	if err := s.registry.Attach(id, far, nil, ws.Options{}); err != nil {
		s.t.Error(err)
	}
}

func (c *client) write(f gws.Frame) {
	var b bytes.Buffer
	if err := gws.WriteFrame(&b, gws.MaskFrameInPlace(f)); err != nil {
		c.s.t.Fatal(err)
	}
	if _, err := c.end.Write(b.Bytes()); err != nil {
		c.s.t.Fatal(err)
	}
}

// say sends text, and waits until everything has come to rest.
func (c *client) say(texts ...string) {
	for _, text := range texts {
		c.write(gws.NewTextFrame([]byte(text)))
	}
	synctest.Wait()
}

// sayAtOnce is say in one write.
func (c *client) sayAtOnce(texts ...string) {
	var b bytes.Buffer
	for _, text := range texts {
		if err := gws.WriteFrame(&b, gws.MaskFrameInPlace(gws.NewTextFrame([]byte(text)))); err != nil {
			c.s.t.Fatal(err)
		}
	}
	if _, err := c.end.Write(b.Bytes()); err != nil {
		c.s.t.Fatal(err)
	}
	synctest.Wait()
}

// close sends Close.
func (c *client) close(code uint16, reason string) {
	c.write(gws.NewCloseFrame(gws.NewCloseFrameBody(gws.StatusCode(code), reason)))
	synctest.Wait()
}

// leave ends TCP.
func (c *client) leave() {
	c.end.Close()
	synctest.Wait()
}

// gets takes what has arrived at the client and compares it.
func (c *client) gets(want ...string) {
	c.s.t.Helper()
	synctest.Wait()
	c.in = append(c.in, c.end.Take()...)
	var got []string
	r := bytes.NewReader(c.in)
	for r.Len() > 0 {
		f, err := wsread.Frame(r)
		if err != nil {
			break
		}
		c.in = c.in[len(c.in)-r.Len():]
		if f.Header.OpCode == gws.OpClose {
			code, reason := gws.ParseCloseFrameData(f.Payload)
			got = append(got, fmt.Sprintf("close %d %s", code, reason))
			continue
		}
		got = append(got, string(f.Payload))
	}
	if c.ended() {
		got = append(got, "end")
	}
	same(c.s.t, "the client got", got, want)
}

// ended says whether the server has ended TCP.
func (c *client) ended() bool {
	c.end.SetReadDeadline(time.Now().Add(-time.Second))
	_, err := c.end.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// answer takes what a request is answered with.
type answer struct {
	s     *shard
	said  []string
	asker host.Asker
	head  *guest.Response
}

func (a *answer) Response(r *guest.Response) {
	a.head = r
	note := ""
	if r.Socket != 0 {
		note = " socket " + guesttest.Socket(r.Socket)
	}
	a.said = append(a.said, fmt.Sprintf("response %d%s", r.Status, note))
}
func (a *answer) Body(p []byte)           { a.said = append(a.said, "body "+string(p)) }
func (a *answer) BodyEnd()                { a.said = append(a.said, "end") }
func (a *answer) BodyAbort(reason string) { a.said = append(a.said, "abort "+reason) }
func (a *answer) Credit(n uint32)         { a.said = append(a.said, fmt.Sprint("credit ", n)) }
func (a *answer) Cancel(string)           { a.said = append(a.said, "body not wanted") }
func (a *answer) Failure(e *dormouse.Error) {
	a.said = append(a.said, "failure "+e.Error()+guesttest.Flags(e))
}

// got takes what the answer was and compares it.
func (a *answer) got(want ...string) {
	a.s.t.Helper()
	synctest.Wait()
	var got []string
	a.s.on(func() { got, a.said = a.said, nil })
	same(a.s.t, "the asker got", got, want)
}

// fetch asks an object of this shard.
func (s *shard) fetch(k dormouse.Key, r *guest.Request) *answer {
	a := &answer{s: s}
	if r == nil {
		r = get()
	}
	a.asker = s.host.Fetch(k, 0, nil, r, a)
	synctest.Wait()
	return a
}

func get() *guest.Request  { return &guest.Request{Method: "GET", URL: "http://x/"} }
func post() *guest.Request { return &guest.Request{Method: "POST", URL: "http://x/", HasBody: true} }

// state is the object as people see it.
func (s *shard) state(k dormouse.Key) string {
	state := "unknown"
	s.on(func() {
		if i, ok := s.host.Look(k); ok {
			state = i.State
		}
	})
	return state
}

// look is the object as the host describes it.
func (s *shard) look(k dormouse.Key) (i host.Info, ok bool) {
	s.on(func() { i, ok = s.host.Look(k) })
	return i, ok
}

// known is how many objects the host has a record of.
func (s *shard) known() (n int) {
	s.on(func() { n = len(s.host.List()) })
	return n
}

func (s *shard) wantState(k dormouse.Key, want string) {
	s.t.Helper()
	if got := s.state(k); got != want {
		s.t.Errorf("the object is %s, want %s", got, want)
	}
}

// upgrades has objects answer every request with a socket that they accept,
// with the request's path as its tag.
func upgrades(g *guesttest.Guest) {
	g.OnRequest = func(i *guesttest.Instance, x guest.Exchange, r *guest.Request) {
		server, far := g.Pair()
		i.Accept(server, strings.TrimPrefix(r.URL, "http://x/"))
		g.Peer().Response(x, &guest.Response{Status: 101, Socket: far})
	}
}

// connect is a client's socket to an object, by a request that the object
// upgrades. What the guest hears of it is taken.
func (s *shard) connect(k dormouse.Key, tag string) *client {
	s.t.Helper()
	upgrades(s.guest)
	a := s.fetch(k, &guest.Request{Method: "GET", URL: "http://x/" + tag})
	if a.head == nil || a.head.Socket == 0 {
		s.t.Fatalf("no socket came: %q", a.said)
	}
	c := s.attach(a.head.Socket)
	s.take()
	return c
}

// sleep lets time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// never is a time that no test reaches.
var never = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// guestSocket is a short name in the handlers of these tests.
type guestSocket = dormouse.SocketID
