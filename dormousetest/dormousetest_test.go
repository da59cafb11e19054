package dormousetest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/dormousetest"
	"github.com/dormouse-dev/dormouse/server"
)

// room tells everybody what anybody says. It remembers who speaks over a sleep,
// and nothing else.
type room struct {
	state *dormouse.State
	said  int
}

func newRoom(s *dormouse.State, _ struct{}) (*room, error) {
	s.SetAutoResponse("ping", "pong")
	return &room{state: s}, nil
}

func (o *room) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := o.state.AcceptWebSocket(w, r, "member")
	if err != nil {
		return
	}
	ws.SetAttachment(r.URL.Query().Get("name"))
}

func (o *room) WebSocketMessage(ctx context.Context, from *dormouse.WebSocket, m dormouse.Message) error {
	o.said++
	var name string
	from.Attachment(&name)
	switch m.String() {
	case "work":
		o.state.WaitUntil(func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		})
	case "reset":
		o.state.Abort("as the test wants")
	case "leave":
		return from.Close(4000, "bye")
	}
	for ws := range o.state.WebSockets("member") {
		ws.SendText(fmt.Sprintf("%s: %s (%d)", name, m, o.said))
	}
	return nil
}

func (o *room) WebSocketClose(_ context.Context, _ *dormouse.WebSocket, c dormouse.Closing) error {
	for ws := range o.state.WebSockets("member") {
		ws.SendText(fmt.Sprintf("closed %d %q", c.Code, c.Reason))
	}
	return nil
}

func (o *room) Said(context.Context) (int, error) { return o.said, nil }

func (o *room) Wait(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, context.Cause(ctx)
}

func begin(t *testing.T) (*dormousetest.Server, *server.Stub) {
	t.Helper()
	s := dormousetest.New(t)
	return s, s.Define(dormouse.NewClass("Room", newRoom, struct{}{})).ByName("lobby")
}

func hears(t *testing.T, c *dormousetest.Client, want string) {
	t.Helper()
	if got := c.Text(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestObjectSleepsAndItsSocketsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, lobby := begin(t)
		ada, bob := s.Dial(lobby, "/?name=Ada"), s.Dial(lobby, "?name=Bob")
		ada.SendText("hi")
		hears(t, ada, "Ada: hi (1)")
		hears(t, bob, "Ada: hi (1)")
		s.Hibernate(lobby)
		s.Hibernate(lobby) // it sleeps already
		ada.SendText("ping")
		hears(t, ada, "pong")
		if n := s.Constructions("Room"); n != 1 {
			t.Errorf("the object was constructed %d times, want once: a ping wakes nobody", n)
		}
		bob.SendText("awake?")
		hears(t, ada, "Bob: awake? (1)")
		if n := s.Constructions("Room"); n != 2 {
			t.Errorf("the object was constructed %d times, want twice", n)
		}
		// By itself, after the documented time.
		time.Sleep(11 * time.Second)
		ada.Close(1000, "done")
		if c := ada.Closed(); c.Code != 1000 || !c.Clean {
			t.Errorf("got %+v", c)
		}
		hears(t, bob, "Bob: awake? (1)")
		hears(t, bob, `closed 1000 "done"`)
		if n := s.Constructions("Room"); n != 3 {
			t.Errorf("the object was constructed %d times, want 3", n)
		}
		bob.SendText("leave")
		if c := bob.Closed(); c.Code != 4000 || c.Reason != "bye" {
			t.Errorf("got %+v", c)
		}
	})
}

func TestCrashKeepsSocketsAndFailsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, lobby := begin(t)
		ada := s.Dial(lobby, "/?name=Ada")
		failed := make(chan error)
		go func() {
			_, err := server.Call(context.Background(), lobby, (*room).Wait)
			failed <- err
		}()
		synctest.Wait()
		s.Crash(lobby)
		if e, ok := errors.AsType[*dormouse.Error](<-failed); !ok || !e.Retryable || !e.ObjectReset {
			t.Errorf("the caller got %v", e)
		}
		ada.SendText("still here")
		hears(t, ada, "Ada: still here (1)")

		ada.SendText("work")
		hears(t, ada, "Ada: work (2)")
		s.Evict(lobby)
		if n, err := server.Call(t.Context(), lobby, (*room).Said); n != 0 || err != nil {
			t.Errorf("got %d, %v: the object was not evicted", n, err)
		}
		ada.SendText("reset")
		if c := ada.Closed(); c.Code != 1006 || c.Clean {
			t.Errorf("got %+v", c)
		}
	})
}

// Without a bubble, too.
func TestOnTheClockOfTheSystem(t *testing.T) {
	s, lobby := begin(t)
	ada := s.Dial(lobby, "/?name=Ada")
	ada.Drop()
	s.Dial(lobby, "/?name=Bob").SendText("x")
	s.Hibernate(lobby)
	s.Stop()
}
