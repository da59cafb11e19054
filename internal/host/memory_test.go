package host_test

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

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
// included. Measured 1,165 on 2026-11-22: the record of the object 288, its set
// 144, the socket 144, the connection 128, both ends of its pipe 144; the rest is
// what the author keeps, and the maps. If it trips, look for what a rest object
// or socket has begun to hold: a timer, a buffer, a map of its own.
const maxPerObject = 1_600

// TestMemoryOfHibernatedObjects is on a loop of its own, in real time.
func TestMemoryOfHibernatedObjects(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("it counts bytes")
	}
	const n = 100_000
	l := loop.NewPortable()
	transport := wspipe.New(l)
	var registry1 *hibernation.Registry
	registry1 = hibernation.New(hibernation.Config{
		Loop: l, Transport: transport, MaxSockets: dormouse.MaxSocketsPerObject,
		Home: func(uint32) *hibernation.Registry { return registry1 },
	})
	var h *host.Shard
	h = host.New(host.Config{
		Loop: l, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: registry{registry1, transport},
		Classes: []host.Class{{Name: "Room", Namespace: "chat-Room"}},
		Route:   func(dormouse.Key) *host.Shard { return h },
	})
	l.Start()
	defer l.Stop()

	g := guesttest.New(h, l, 1)
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

	keys := make([]dormouse.Key, n)
	ends := make([]*wspipe.End, n)
	names := make([]string, n)
	for i := range n {
		names[i] = fmt.Sprint("room ", i)
		keys[i] = dormouse.Key{Namespace: "chat-Room", ID: dormouse.Namespace("chat-Room").IDFromName(names[i])}
	}
	before := heap()
	req := get()
	for i := range n {
		h.Fetch(keys[i], 0, &names[i], req, discard{})
	}
	l.Call(func() {}) // the requests are posted
	l.Call(func() {}) // the guest's turn
	l.Call(func() {
		for i, id := range far {
			near, conn := wspipe.Pipe()
			ends[i] = near
			if err := registry1.Attach(id, conn, nil, ws.Options{}); err != nil {
				t.Error(err)
			}
		}
	})
	left := 0
	l.Call(func() {
		for _, k := range keys {
			h.Hibernate(k, true, func(gone bool) { left++ })
		}
	})
	l.Call(func() {}) // the guest's answers
	var hibernated int
	l.Call(func() {
		for _, i := range h.List() {
			if i.State == "hibernated" && i.Sockets == 1 {
				hibernated++
			}
		}
	})
	if hibernated != n || g.Live() != 0 {
		t.Fatalf("%d objects are hibernated, want %d", hibernated, n)
	}
	per := int(heap()-before) / n
	t.Logf("%d bytes for each object and its socket", per)
	if per > maxPerObject {
		t.Errorf("%d bytes for each hibernated object and its socket, the budget is %d", per, maxPerObject)
	}
	runtime.KeepAlive(ends)
	runtime.KeepAlive(keys)
	runtime.KeepAlive(names)
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
