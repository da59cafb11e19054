//go:build !windows

package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
	"github.com/dormouse-dev/dormouse/server/node"
)

// counter is a class in Go that is called from JavaScript, and calls it.
type counter struct {
	state *dormouse.State
	rooms func() *server.Namespace
}

func newCounter(s *dormouse.State, rooms func() *server.Namespace) (*counter, error) {
	return &counter{s, rooms}, nil
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		c.state.AcceptWebSocket(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
}

func (c *counter) WebSocketMessage(ctx context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	total, err := server.Invoke[int](ctx, c.rooms().ByName("from Go"), "add", len(m.Data))
	if err != nil {
		return err
	}
	return ws.SendText(fmt.Sprintf("%s %d", m, total))
}

func (c *counter) Add(_ context.Context, n int) (int, error) {
	total, _, err := dormouse.Get[int](c.state.Storage(), "total")
	if err == nil {
		err = dormouse.Put(c.state.Storage(), "total", total+n)
	}
	return total + n, err
}

func (c *counter) Fail(_ context.Context, text string) error {
	return &dormouse.Error{Name: "RangeError", Message: text}
}

func (c *counter) Panic(context.Context) { panic("as the test wants") }

func (c *counter) Describe(_ context.Context, who struct {
	Name string              `json:"name"`
	When time.Time           `json:"when"`
	Tags map[string]struct{} `json:"tags"`
	Sum  *big.Int            `json:"sum"`
}) map[string]any {
	_, tagged := who.Tags["a"]
	return map[string]any{"text": fmt.Sprint(who.Name, " ", who.When.UnixMilli(), " ", tagged, " ", who.Sum), "n": 3}
}

// Hidden is not called: it has no context.
func (c *counter) Hidden() string { return "hidden" }

// ViaJS calls an object in JavaScript.
func (c *counter) ViaJS(ctx context.Context, room string) (int, error) {
	return server.Invoke[int](ctx, c.rooms().ByName(room), "add", 1)
}

type both struct {
	counters, rooms *server.Namespace
	url             string
}

func begin(t *testing.T) *both {
	t.Helper()
	s := &server.Server{Config: server.Config{Data: t.TempDir(), Relaxed: true}}
	b := new(both)
	b.counters = s.Define(dormouse.NewClass("Counter", newCounter, func() *server.Namespace { return b.rooms }))
	add(t, s, node.Worker{Dir: "testdata/worker", Bind: map[string]*server.Namespace{"COUNTERS": b.counters}})
	b.rooms = s.Namespace("Room")
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	b.url = h.URL
	t.Cleanup(func() {
		h.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// add has s run a Worker, where there is Node.
func add(t *testing.T, s *server.Server, w node.Worker) {
	t.Helper()
	if err := w.Add(t.Context(), s); err != nil {
		if strings.Contains(err.Error(), "no Node") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
}

func invoke[R any](t *testing.T, o *server.Stub, method string, args ...any) R {
	t.Helper()
	r, err := server.Invoke[R](t.Context(), o, method, args...)
	if err != nil {
		t.Fatalf("%s%v: %v", method, args, err)
	}
	return r
}

// One test, because a server with Node takes a second to start.
func TestGoAndJavaScript(t *testing.T) {
	b := begin(t)
	room := b.rooms.ByName("lobby")

	t.Run("Go calls JavaScript", func(t *testing.T) {
		if n := invoke[int](t, room, "add", 2); n != 2 {
			t.Errorf("got %d, want 2", n)
		}
		if n := invoke[int](t, room, "add", 3); n != 5 {
			t.Errorf("got %d, want 5", n)
		}
		if n := invoke[int](t, room, "nothing"); n != 0 {
			t.Errorf("undefined is %d, want 0", n)
		}
		at := time.UnixMilli(1_700_000_000_000)
		for kind, v := range map[string]any{
			"[object String]": "text", "[object Number]": 1.5, "[object Boolean]": true, "[object Null]": nil, "[object Date]": at,
			"[object Array]": []int{1, 2}, "[object Uint8Array]": []byte("bytes"), "[object Set]": map[string]struct{}{"a": {}},
			"[object Map]": map[int]string{1: "one"}, "[object Object]": map[string]int{"a": 1}, "[object BigInt]": new(big.Int).Lsh(big.NewInt(1), 80),
		} {
			type mirrored struct {
				Value any    `json:"value"`
				Kind  string `json:"kind"`
			}
			if got := invoke[mirrored](t, room, "mirror", v); got.Kind != kind {
				t.Errorf("%T arrived as %s, want %s", v, got.Kind, kind)
			}
		}
		_, err := server.Invoke[int](t.Context(), room, "fail", "too far")
		if e, ok := errors.AsType[*dormouse.Error](err); !ok || e.Name != "RangeError" || e.Message != "too far" || !e.Remote {
			t.Errorf("got %v, want the RangeError", err)
		}
		if _, err = server.Invoke[int](t.Context(), room, "missing"); err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("got %v, want an error that names the method", err)
		}
		if _, err = server.Invoke[any](t.Context(), room, "stub"); err == nil || !strings.Contains(err.Error(), "cannot be passed to Go") {
			t.Errorf("got %v, want that a function cannot be passed", err)
		}
		if _, err = server.Invoke[int](t.Context(), room, "add", func() {}); err == nil {
			t.Error("a function was passed")
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err = server.Invoke[int](ctx, b.rooms.ByName("slow"), "slow"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the end of the context", err)
		}
	})

	t.Run("JavaScript calls Go", func(t *testing.T) {
		for want := 4; want <= 8; want += 4 {
			if n := invoke[int](t, room, "viaGo", "x", 4); n != want {
				t.Errorf("got %d, want %d", n, want)
			}
		}
		// The same object, from Go.
		n, err := server.Call(t.Context(), b.counters.ByName("x"), func(c *counter, ctx context.Context) (int, error) { return c.Add(ctx, 1) })
		if n != 9 || err != nil {
			t.Errorf("got %d, %v; want 9", n, err)
		}
		if got := invoke[map[string]any](t, room, "goFails", "x"); got["name"] != "RangeError" || got["message"] != "from Go" || got["remote"] != true {
			t.Errorf("got %v", got)
		}
		if got := invoke[map[string]any](t, room, "describe", "x"); got["text"] != "Ada 0 true 100000000000000000000" {
			t.Errorf("got %v", got)
		}
		for _, c := range []struct {
			args []any
			want string
		}{
			{[]any{"x", "hidden"}, `TypeError: The receiver, which is written in Go, does not implement the method "hidden".`},
			{[]any{"x", "serveHTTP"}, "does not implement"},
			{[]any{"x", "webSocketMessage"}, "does not implement"},
			{[]any{"x", "add", "function"}, "takes no functions"},
			{[]any{"x", "add", "text"}, "argument 1"},
			{[]any{"x", "add", 1, 2}, "it takes 1 arguments, and got 2"},
			{[]any{"x", "panic"}, "panic: as the test wants"},
		} {
			if got := invoke[string](t, room, "refused", c.args...); !strings.Contains(got, c.want) {
				t.Errorf("%v: got %q, want %q in it", c.args, got, c.want)
			}
		}
		if got := invoke[string](t, room, "fetchGo", "x"); got != "200 POST /hello hi" {
			t.Errorf("got %q", got)
		}
	})

	t.Run("Go calls Go by name", func(t *testing.T) {
		if n := invoke[int](t, b.counters.ByName("y"), "add", 7); n != 7 {
			t.Errorf("got %d, want 7", n)
		}
		if n := invoke[int](t, b.counters.ByName("y"), "viaJS", "back"); n != 1 {
			t.Errorf("got %d, want 1", n)
		}
	})

	t.Run("WebSockets", func(t *testing.T) {
		for _, path := range []string{"/go", "/lobby"} {
			c, _, _, err := ws.Dial(t.Context(), strings.Replace(b.url, "http", "ws", 1)+path)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			defer c.Close()
			echo(t, c, "hello")
		}
		// By the stub, without the Worker.
		h := httptest.NewServer(room)
		defer h.Close()
		c, _, _, err := ws.Dial(t.Context(), strings.Replace(h.URL, "http", "ws", 1))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		echo(t, c, "again")
	})
}

// echo says something to the object in Go, which asks one in JavaScript to add.
func echo(t *testing.T, c net.Conn, text string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if err := wsutil.WriteClientText(c, []byte(text)); err != nil {
		t.Fatal(err)
	}
	got, err := wsutil.ReadServerText(c)
	if err != nil || !strings.HasPrefix(string(got), text+" ") {
		t.Errorf("got %q, %v; want %s and the sum", got, err, text)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	s := &server.Server{}
	if err := (node.Worker{Dir: "testdata/worker"}).Add(t.Context(), s); err == nil || !strings.Contains(err.Error(), "Config.Data") {
		t.Errorf("got %v, want that Config.Data is missing", err)
	}
	s.Data = t.TempDir()
	if err := (node.Worker{Dir: "testdata"}).Add(t.Context(), s); err == nil {
		t.Error("a folder without a wrangler file was taken")
	}
	if err := (node.Worker{Dir: "testdata/worker", Bind: map[string]*server.Namespace{"ROOMS": s.Namespace("x")}}).Add(t.Context(), s); err == nil || !strings.Contains(err.Error(), "ROOMS") {
		t.Errorf("got %v, want that a binding is there twice", err)
	}
}

// TestWarningsAreLogged: those of the files, of the bundle and of the migrations.
func TestWarningsAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := &server.Server{Config: server.Config{Data: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}}
	add(t, s, node.Worker{Dir: "testdata/warns"})
	for _, want := range []string{"ignored, because wrangler.jsonc is there", "objekt", "begins empty"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, log.String())
		}
	}
}
