package goguest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// TestKit runs the kit of the contract, which Node passes too.
func TestKit(t *testing.T) {
	guesttest.Run(t, func(t *testing.T) guesttest.Subject {
		l, err := loop.New()
		if err != nil {
			t.Fatal(err)
		}
		g := goguest.New(goguest.Config{
			Loop: l, Incarnation: 7, Waits: new(goguest.Waits),
			Classes:    []*dormouse.Class{dormouse.NewClass("Kit", newKit, struct{}{})},
			Namespaces: []dormouse.Namespace{"Kit"},
			Limits:     goguest.Limits{Attachment: dormouse.MaxAttachment, Sockets: dormouse.MaxSocketsPerObject},
		})
		l.Start()
		h := guesttest.NewHost()
		l.Call(func() { g.Begin(h) })
		t.Cleanup(func() {
			if !g.Stop(10 * time.Second) {
				t.Error("a handler has not ended")
			}
			l.Stop()
		})
		return guesttest.Subject{Loop: l, Guest: g, Host: h, WaitsForBodies: true}
	})
}

// kit does what it is told; guesttest.Subject says which words there are.
type kit struct {
	state    *dormouse.State
	messages int
}

func newKit(s *dormouse.State, _ struct{}) (*kit, error) { return &kit{state: s}, nil }

func (k *kit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	word, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch word {
	case "accept":
		k.state.AcceptWebSocket(w, r, rest)
	case "echo":
		w.WriteHeader(http.StatusCreated)
		flush := http.NewResponseController(w)
		flush.Flush()
		b := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(b)
			w.Write(b[:n])
			flush.Flush()
			if err == io.EOF {
				return
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	case "throw":
		panic(&dormouse.Error{Name: "TypeError", Message: "no"})
	case "ask":
		k.ask(w, r, rest)
	}
}

// ask asks another object and passes its answer on.
func (k *kit) ask(w http.ResponseWriter, r *http.Request, name string) {
	out, err := http.NewRequestWithContext(r.Context(), "POST", "https://object/hello", strings.NewReader("hi"))
	if err != nil {
		panic(err)
	}
	answer, err := (&edge.Front{Worker: caller{r.Context(), name}}).Fetch(out)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	io.Copy(w, answer.Body)
}

// caller calls the object of a name on behalf of ctx.
type caller struct {
	ctx  context.Context
	name string
}

func (c caller) FetchWorker(r *guest.Request, a host.Answer) host.Asker {
	key := dormouse.Key{Namespace: "Kit", ID: dormouse.Namespace("Kit").IDFromName(c.name)}
	asker, err := goguest.Ask(c.ctx, guest.Target{Kind: guest.ToObject, ID: key.ID, Name: c.name, HasName: true}, key, r, a)
	if err != nil {
		panic(err)
	}
	return asker
}

func (k *kit) WebSocketMessage(ctx context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	k.messages++
	word, rest, _ := strings.Cut(m.String(), " ")
	switch word {
	case "echo":
		return ws.SendText(rest)
	case "all":
		for each := range k.state.WebSockets() {
			each.SendText(rest)
		}
	case "nth":
		return ws.SendText(strconv.Itoa(k.messages))
	case "tags":
		return ws.SendText(strings.Join(k.state.Tags(ws), ","))
	case "count":
		n := 0
		for range k.state.WebSockets() {
			n++
		}
		return ws.SendText(strconv.Itoa(n))
	case "set":
		return ws.SetAttachment(rest)
	case "get":
		var text string
		if ok, err := ws.Attachment(&text); err != nil {
			return err
		} else if !ok {
			text = "none"
		}
		return ws.SendText(text)
	case "pair":
		request, response, _ := strings.Cut(rest, " ")
		return k.state.SetAutoResponse(request, response)
	case "stamp":
		at := k.state.AutoResponseTimestamp(ws)
		if at.IsZero() {
			return ws.SendText("never")
		}
		return ws.SendText(strconv.FormatInt(at.UnixMilli(), 10))
	case "timeout":
		ms, _ := strconv.Atoi(rest)
		return k.state.SetEventTimeout(time.Duration(ms) * time.Millisecond)
	case "close":
		code, reason, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(code)
		return ws.Close(n, reason)
	case "task":
		ms, _ := strconv.Atoi(rest)
		k.state.WaitUntil(func(ctx context.Context) error {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(ms) * time.Millisecond):
			}
			return nil
		})
	case "throw":
		return fmt.Errorf("%s", rest)
	case "abort":
		k.state.Abort(rest)
	}
	return nil
}

func (k *kit) WebSocketClose(_ context.Context, ws *dormouse.WebSocket, c dormouse.Closing) error {
	for each := range k.state.WebSockets() {
		if each != ws {
			each.SendText(fmt.Sprintf("left %d", c.Code))
		}
	}
	return nil
}
