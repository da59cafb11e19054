package goguest_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/dormousetest"
	"github.com/dormouse-dev/dormouse/server"
)

// waiter waits for what the test says.
type waiter struct {
	state *dormouse.State
	env   *waits
	kept  []context.Context
}

type waits struct {
	mu      sync.Mutex
	release chan struct{}
	waiting int
}

func newWaiter(s *dormouse.State, env *waits) (*waiter, error) {
	return &waiter{state: s, env: env}, nil
}

func (o *waiter) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.state.AcceptWebSocket(w, r) }

func (o *waiter) WebSocketMessage(ctx context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	switch m.String() {
	case "wait":
		ws.SendText("waiting")
		o.env.mu.Lock()
		o.env.waiting++
		o.env.mu.Unlock()
		<-o.env.release
		return ws.SendText("waited")
	case "goexit":
		ws.SendText("gone")
		runtime.Goexit()
	case "sync":
		o.state.Storage().Put("k", []byte("v"))
		if err := o.state.Storage().Sync(ctx); err != nil {
			return err
		}
	case "keep":
		o.kept = append(o.kept, ctx)
	case "kept":
		for i, c := range o.kept {
			if c.Err() == nil {
				return ws.SendText(fmt.Sprintf("the context of message %d has not ended", i))
			}
			select {
			case <-c.Done():
			default:
				return ws.SendText(fmt.Sprintf("message %d is not done", i))
			}
			if err := o.state.Yield(c, func(context.Context) error { return nil }); err != dormouse.ErrOutside {
				return ws.SendText(fmt.Sprintf("yield with the context of message %d: %v", i, err))
			}
		}
		if ctx.Err() != nil {
			return ws.SendText("this one has ended")
		}
		return ws.SendText(fmt.Sprint(len(o.kept)))
	}
	return ws.SendMessage(m)
}

func (o *waiter) Echo(context.Context) (int, error) { return 1, nil }

func hears(t *testing.T, c *dormousetest.Client, want string) {
	t.Helper()
	if got := c.Text(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Handlers that wait have the loop taken from them: what they have said leaves, and
// everybody else goes on. In the end there are more of them than the loop is lent
// to.
func TestHandlersThatWaitHoldNobodyUp(t *testing.T) {
	env := &waits{release: make(chan struct{})}
	s := dormousetest.New(t)
	n := s.Define(dormouse.NewClass("Waiter", newWaiter, env))
	other := s.Dial(n.ByName("other"), "/")
	const waiting = 40
	var clients []*dormousetest.Client
	for i := range waiting {
		c := s.Dial(n.ByName(fmt.Sprint(i)), "/")
		c.SendText("wait")
		hears(t, c, "waiting")
		other.SendText("still here")
		hears(t, other, "still here")
		clients = append(clients, c)
	}
	clients[0].SendText("after it")
	close(env.release)
	for _, c := range clients {
		hears(t, c, "waited")
	}
	hears(t, clients[0], "after it")
}

func TestHandlerThatEndsTheLoopsGoroutine(t *testing.T) {
	s := dormousetest.New(t)
	n := s.Define(dormouse.NewClass("Waiter", newWaiter, new(waits)))
	c := s.Dial(n.ByName("one"), "/")
	for range 30 {
		c.SendText("goexit")
		hears(t, c, "gone")
		c.SendText("sync")
		hears(t, c, "sync")
	}
}

// A context that a handler has kept is over, and is not that of a later message.
func TestKeptContextsStayEnded(t *testing.T) {
	s := dormousetest.New(t)
	n := s.Define(dormouse.NewClass("Waiter", newWaiter, new(waits)))
	c := s.Dial(n.ByName("one"), "/")
	const messages = 100
	for range messages {
		c.SendText("keep")
	}
	c.SendText("kept")
	for range messages {
		hears(t, c, "keep")
	}
	hears(t, c, fmt.Sprint(messages))
}

// Stop waits for a handler that has the loop.
func TestStopWaitsForTheHandlerThatRuns(t *testing.T) {
	env := &waits{release: make(chan struct{})}
	s := dormousetest.New(t)
	o := s.Define(dormouse.NewClass("Waiter", newWaiter, env)).ByName("one")
	if _, err := server.Call(t.Context(), o, (*waiter).Echo); err != nil {
		t.Fatal(err)
	}
	c := s.Dial(o, "/")
	c.SendText("wait")
	hears(t, c, "waiting")
	time.AfterFunc(10*time.Millisecond, func() { close(env.release) })
	s.Stop()
}
