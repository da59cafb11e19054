package goguest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// scribe is a Host that writes down what one object says.
type scribe struct {
	Host

	// Owned by the loop.
	said     []string
	progress guest.Progress
	ended    int // instances

	news chan struct{} // something has come
}

func (h *scribe) note(s string) {
	h.said = append(h.said, s)
	select {
	case h.news <- struct{}{}:
	default:
	}
}

func (h *scribe) Ready(guest.Guest, guest.Ready)                   {}
func (h *scribe) Started(guest.Guest, guest.Object, time.Duration) {}
func (h *scribe) Taken(guest.Guest)                                {}
func (h *scribe) Gone(guest.Guest, error)                          {}
func (h *scribe) Asleep(guest.Guest, guest.Object)                 {}
func (h *scribe) EventTimeout(guest.Guest, guest.Object, time.Duration) {
}
func (h *scribe) Log(_ guest.Guest, _ guest.Object, _ int, _ time.Time, text []byte) {
	first, _, _ := strings.Cut(string(text), "\n")
	h.note("log " + first)
}
func (h *scribe) Progress(_ guest.Guest, _ guest.Object, p guest.Progress) {
	h.progress = p
	h.note("")
}
func (h *scribe) Aborted(_ guest.Guest, _ guest.Object, e *dormouse.Error, _ guest.Abort) {
	h.ended++
	h.note("aborted " + e.Message)
}
func (h *scribe) Send(_ guest.Guest, _ dormouse.SocketID, _ bool, payload []byte) {
	h.note(string(payload))
}
func (h *scribe) SendAll(_ guest.Guest, _ dormouse.SocketID, run brief.Run) {
	for _, payload := range run.All() {
		h.note(string(payload))
	}
}

// talker answers each message with its text, and does what that says.
type talker struct {
	s      *dormouse.State
	kept   []context.Context
	went   chan struct{}
	strays *sync.WaitGroup
}

func (o *talker) ServeHTTP(http.ResponseWriter, *http.Request) {}

func (o *talker) WebSocketMessage(ctx context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	switch m.String() {
	case "keep":
		o.kept = append(o.kept, ctx)
	case "kept":
		for n, c := range o.kept {
			if c.Err() == nil {
				return fmt.Errorf("the context that was kept %d ago lives", len(o.kept)-n)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	case "yield":
		o.s.Yield(ctx, func(context.Context) error { <-o.went; return nil })
	case "go":
		close(o.went)
	case "panic":
		panic("as it was told")
	case "abort":
		o.s.Abort("enough")
	case "limit":
		o.s.SetEventTimeout(time.Hour)
	case "limited?":
		_, ok := ctx.Deadline()
		return ws.SendText(fmt.Sprint(ok))
	case "stray":
		o.strays.Go(func() {
			for ctx.Err() == nil {
				ctx.Value("nothing")
			}
			<-ctx.Done()
		})
	}
	return ws.SendMessage(m)
}

// talk gives an object runs, one for each line, in one round, and returns what it has
// said and the host when it has handled so many messages, or has ended.
func talk(t *testing.T, handled uint32, runs ...string) ([]string, *scribe) {
	t.Helper()
	l := loop.NewPortable()
	h := &scribe{news: make(chan struct{}, 1)}
	var strays sync.WaitGroup
	g := New(Config{
		Loop: l, Incarnation: 7, Waits: new(Waits),
		Classes: []*dormouse.Class{dormouse.NewClass("Talker", func(s *dormouse.State, _ int) (*talker, error) {
			return &talker{s: s, went: make(chan struct{}), strays: &strays}, nil
		}, 0)},
		Namespaces: []dormouse.Namespace{"Talker"},
	})
	l.Start()
	defer l.Stop()
	l.Call(func() {
		g.Begin(h)
		g.Start(guest.Activation{Object: 1, Sockets: []guest.Socket{{ID: 2}}})
		for _, line := range runs {
			var run brief.Run
			for _, word := range strings.Fields(line) {
				run.Add(true, []byte(word))
			}
			g.Messages(2, run)
		}
	})
	deadline := time.After(30 * time.Second)
	for over := false; !over; {
		select {
		case <-h.news:
		case <-deadline:
			l.Call(func() { t.Fatalf("after 30 s it has said %q, %+v", h.said, h.progress) })
		}
		l.Call(func() { over = h.ended > 0 || h.progress.Finished == handled })
	}
	strays.Wait()
	if !g.crew.wait(30 * time.Second) {
		t.Error("a handler still runs")
	}
	var said []string
	l.Call(func() {
		if n := g.Backlog(); n != 0 {
			t.Errorf("%d bytes are counted that nobody has before them", n)
		}
		said = slices.DeleteFunc(slices.Clone(h.said), func(s string) bool { return s == "" })
	})
	return said, h
}

func TestRunOfMessages(t *testing.T) {
	for _, c := range []struct {
		name string
		runs []string
		want string
	}{
		{"in order", []string{"a b c", "d", "e f"}, "a b c d e f"},
		{"contexts", []string{"keep kept keep keep kept", "kept"}, "keep kept keep keep kept kept"},
		{"yield", []string{"a yield b go c"}, "a b go c yield"},
		{"yield, and another run", []string{"a yield b", "go c d"}, "a b go c d yield"},
		{"yield at the end", []string{"a yield", "b go"}, "a b go yield"},
		{"panic", []string{"a panic b c", "d"}, "a log panic: as it was told b c d"},
		{"a limit from now on", []string{"limited? limit limited? a"}, "false limit true a"},
		{"contexts of other goroutines", []string{"stray stray stray stray", "stray a stray b"}, "stray stray stray stray stray a stray b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := uint32(len(strings.Fields(strings.Join(c.runs, " "))))
			said, h := talk(t, n, c.runs...)
			if got := strings.Join(said, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if h.progress != (guest.Progress{Started: n, Finished: n}) {
				t.Errorf("%d messages are %+v", n, h.progress)
			}
		})
	}
}

// A handler that ends its object in the midst of a run: what is behind it does not
// begin, and is not counted as waiting.
func TestRunThatIsCutOff(t *testing.T) {
	said, h := talk(t, 0, "a b abort c d", "e")
	if got, want := strings.Join(said, " "), "a b aborted enough"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if h.progress.Started != 3 {
		t.Errorf("%d messages have begun, want 3", h.progress.Started)
	}
}
