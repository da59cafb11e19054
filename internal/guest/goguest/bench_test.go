package goguest

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// deaf is a Host that only counts.
type deaf struct {
	Host
	sent int
}

func (h *deaf) Ready(guest.Guest, guest.Ready)                     {}
func (h *deaf) Started(guest.Guest, guest.Object, time.Duration)   {}
func (h *deaf) Progress(guest.Guest, guest.Object, guest.Progress) {}
func (h *deaf) Taken(guest.Guest)                                  {}
func (h *deaf) Gone(guest.Guest, error)                            {}
func (h *deaf) Send(guest.Guest, dormouse.SocketID, bool, []byte)  { h.sent++ }
func (h *deaf) SendAll(_ guest.Guest, _ dormouse.SocketID, run brief.Run) {
	h.sent += run.N
}
func (h *deaf) Asleep(guest.Guest, guest.Object) {}

type echoes struct{ s *dormouse.State }

func (o *echoes) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.s.AcceptWebSocket(w, r) }
func (o *echoes) WebSocketMessage(_ context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	return ws.SendMessage(m)
}

// BenchmarkMessage asks what a short handler of a message costs, with its answer,
// beside the socket and the host, when messages come one by one and in runs.
func BenchmarkMessage(b *testing.B) {
	b.Run("alone", func(b *testing.B) { benchmarkMessage(b, 1) })
	b.Run("run", func(b *testing.B) { benchmarkMessage(b, 16) })
}

func benchmarkMessage(b *testing.B, run int) {
	l := loop.NewPortable()
	h := new(deaf)
	g := New(Config{
		Loop: l, Incarnation: 7, Waits: new(Waits),
		Classes:    []*dormouse.Class{dormouse.NewClass("Echo", func(s *dormouse.State, _ int) (*echoes, error) { return &echoes{s}, nil }, 0)},
		Namespaces: []dormouse.Namespace{"Echo"},
	})
	l.Start()
	defer l.Stop()
	const sockets, each = 8, 32
	a := guest.Activation{Object: 1}
	for n := range sockets {
		a.Sockets = append(a.Sockets, guest.Socket{ID: dormouse.SocketID(2 * (n + 1))})
	}
	l.Call(func() {
		g.Begin(h)
		g.Start(a)
	})
	payload := make([]byte, 64)
	var frames []byte
	for range run {
		frames = brief.Append(frames, true, payload)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += sockets * each {
		l.Call(func() {
			for s := range sockets {
				for n := 0; n < each; n += run {
					if run == 1 {
						g.Message(dormouse.SocketID(2*(s+1)), true, payload)
						continue
					}
					g.Messages(dormouse.SocketID(2*(s+1)), brief.Run{Frames: bytes.Clone(frames), N: run})
				}
			}
		})
	}
	b.StopTimer()
	l.Call(func() {})
	l.Call(func() {
		if h.sent < b.N {
			b.Errorf("%d answers to %d messages", h.sent, b.N)
		}
	})
}
