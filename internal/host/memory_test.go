package host_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	gws "github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wspipe"
)

// maxPerObject is a budget: bytes of a hibernated object with one socket, a tag,
// an attachment of 32 bytes and an auto-response, all of the in-memory transport
// included. Measured 1,276 on 2026-11-22: the record of the object 288, its set
// 144, the socket 144, the connection 128, both ends of its pipe 144; the rest is
// what the author keeps, and the maps. If it trips, look for what a rest object
// or socket has begun to hold: a timer, a buffer, a map of its own.
const maxPerObject = 1_600

// TestMemoryOfHibernatedObjects: they have no goroutine and no timer either, each a
// budget of none: measured 0 and 0 on 2026-11-22, and there is no headroom, for one
// of either would be a cost of every object that sleeps.
func TestMemoryOfHibernatedObjects(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("it counts bytes")
	}
	const n = 100_000
	s := newSleepers(t, n)
	per := int(heap()-s.before) / n
	t.Logf("%d bytes for each object and its socket", per)
	if per > maxPerObject {
		t.Errorf("%d bytes for each hibernated object and its socket, the budget is %d", per, maxPerObject)
	}
	if got := runtime.NumGoroutine(); got > s.goroutines {
		t.Errorf("%d goroutines with %d hibernated objects, %d before", got, n, s.goroutines)
	}
	if got := s.on(s.loop.Timers); got > 0 {
		t.Errorf("%d timers are planned for %d hibernated objects", got, n)
	}
	runtime.KeepAlive(s)
}

const (
	// maxPerMail is a budget: bytes of a message of 64 bytes that waits in a mailbox.
	// Measured 242 on 2026-11-22: the bytes 64, the event 96, its entry 48, and what a
	// list of a hundred has in reserve. If it trips, look at mail and guest.Event.
	maxPerMail = 320
	// maxPerMailbox is how much more an object may keep than before that, when it has
	// heard its mail and sleeps again. Measured 465 on 2026-11-22, of a hundred
	// messages as of three hundred: what is remembered of its life, and the guest of
	// this test. If it trips, something keeps the list.
	maxPerMailbox = 700
)

// TestMemoryOfMailboxes has what clients say wait for a guest.
func TestMemoryOfMailboxes(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("it counts bytes")
	}
	const n, each = 1000, 100
	s := newSleepers(t, n)
	s.loop.Call(func() { s.guest.Die(nil) })
	before := heap()
	frame := gws.MustCompileFrame(gws.MaskFrameWith(gws.NewTextFrame(make([]byte, 64)), [4]byte{1, 2, 3, 4}))
	batch := bytes.Repeat(frame, each)
	for _, e := range s.ends {
		if _, err := e.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "messages wait", n*each, s.mail)
	per := int(heap()-before) / (n * each)
	t.Logf("%d bytes for each message that waits", per)
	if per > maxPerMail {
		t.Errorf("%d bytes for each message that waits, the budget is %d", per, maxPerMail)
	}

	heard := 0
	s.guest = guesttest.New(s.host, s.loop, 2)
	s.guest.Auto, s.guest.Deaf = true, true
	s.guest.OnMessage = func(*guesttest.Instance, dormouse.SocketID, bool, string) { heard++ }
	s.loop.Call(s.guest.Ready)
	s.until(t, "messages were heard", n*each, func() int { return heard })
	s.sleep(t)
	per = (int(heap()) - int(before)) / n
	t.Logf("%d bytes more for each object that has heard its mail", per)
	if left := s.on(s.mail); left != 0 || per > maxPerMailbox {
		t.Errorf("%d messages wait, and %d bytes more are kept for each object, want none and %d", left, per, maxPerMailbox)
	}
	runtime.KeepAlive(s)
}

// sleepers is a shard of hibernated objects with a socket each.
type sleepers struct {
	loop  *loop.Loop
	host  *host.Shard
	guest *guesttest.Guest
	keys  []dormouse.Key
	names []string
	ends  []*wspipe.End // of the clients

	// When there were no objects.
	before     uint64
	goroutines int
}

func newSleepers(t *testing.T, n int) *sleepers {
	t.Helper()
	l := loop.NewPortable()
	transport := wspipe.New(l)
	var registry1 *hibernation.Registry
	registry1 = hibernation.New(hibernation.Config{
		Loop: l, Transport: transport, MaxSockets: dormouse.MaxSocketsPerObject,
		Home: func(uint32) *hibernation.Registry { return registry1 },
	})
	s := &sleepers{loop: l, keys: make([]dormouse.Key, n), names: make([]string, n), ends: make([]*wspipe.End, n)}
	s.host = host.New(host.Config{
		Loop: l, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: registry{registry1, transport},
		Classes: []host.Class{{Name: "Room", Namespace: "chat-Room"}},
		Route:   func(dormouse.Key) *host.Shard { return s.host },
	})
	l.Start()
	t.Cleanup(l.Stop)

	g := guesttest.New(s.host, l, 1)
	s.guest = g
	g.Auto, g.Deaf = true, true
	pair := &guest.Pair{Request: "ping", Response: "pong"}
	far := make([]dormouse.SocketID, 0, n)
	g.OnRequest = func(i *guesttest.Instance, x guest.Exchange, r *guest.Request) {
		server, client := g.Pair()
		i.Accept(server, "user")
		g.Host.Attachment(g, server, make([]byte, 32))
		g.Host.AutoResponse(g, i.Object, &guest.Pair{Request: strings.Clone(pair.Request), Response: strings.Clone(pair.Response)})
		far = append(far, client)
		g.Peer().Response(x, &guest.Response{Status: 101, Socket: client})
	}
	l.Call(g.Ready)

	for i := range n {
		s.names[i] = fmt.Sprint("room ", i)
		s.keys[i] = dormouse.Key{Namespace: "chat-Room", ID: dormouse.Namespace("chat-Room").IDFromName(s.names[i])}
	}
	s.before, s.goroutines = heap(), runtime.NumGoroutine()
	req := get()
	for i := range n {
		s.host.Fetch(s.keys[i], 0, &s.names[i], req, discard{})
	}
	l.Call(func() {}) // the requests are posted
	l.Call(func() {}) // the guest's turn
	l.Call(func() {
		for i, id := range far {
			near, conn := wspipe.Pipe()
			s.ends[i] = near
			if err := registry1.Attach(id, conn, nil, ws.Options{}); err != nil {
				t.Error(err)
			}
		}
	})
	s.sleep(t)
	return s
}

// sleep has all objects leave memory.
func (s *sleepers) sleep(t *testing.T) {
	t.Helper()
	s.loop.Call(func() {
		for _, k := range s.keys {
			s.host.Hibernate(k, true, func(bool) {})
		}
	})
	s.until(t, "objects are hibernated with a socket", len(s.keys), func() (n int) {
		for _, i := range s.host.List() {
			if i.State == "hibernated" && i.Sockets == 1 {
				n++
			}
		}
		return n
	})
	if n := s.on(s.guest.Live); n > 0 {
		t.Fatalf("%d objects are in memory", n)
	}
}

// on asks f on the loop.
func (s *sleepers) on(f func() int) (n int) {
	s.loop.Call(func() { n = f() })
	return n
}

// mail is how many events wait in mailboxes. On the loop.
func (s *sleepers) mail() int { return s.host.Observed().Mail }

// until waits until f says n on the loop.
func (s *sleepers) until(t *testing.T, what string, n int, f func() int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); s.on(f) != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d %s, want %d", s.on(f), what, n)
		}
	}
}

// heap is how much is in use after everything unused is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// discard is an Answer that nobody reads.
type discard struct{}

func (discard) Response(*guest.Response) {}
func (discard) Body([]byte)              {}
func (discard) BodyEnd()                 {}
func (discard) BodyAbort(string)         {}
func (discard) Credit(uint32)            {}
func (discard) Cancel(string)            {}
func (discard) Failure(*dormouse.Error)  {}
