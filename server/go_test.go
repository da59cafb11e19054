package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// room is an object that tells everybody what anybody says.
type room struct {
	state *dormouse.State
	count int
}

func newRoom(s *dormouse.State, _ struct{}) (*room, error) {
	if name, _ := s.Name(); name == "broken" {
		return nil, errors.New("this room cannot be built")
	}
	return &room{state: s}, nil
}

func (o *room) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/panic":
		panic("as the test wants")
	case "/copy":
		n, err := io.Copy(w, r.Body)
		if err != nil {
			fmt.Fprintln(w, n, err)
		}
		return
	case "/hello":
		name, _ := o.state.Name()
		fmt.Fprintf(w, "%s %s says hello to %s", r.Method, name, r.Header.Get("X-Who"))
		return
	}
	o.state.AcceptWebSocket(w, r, r.URL.Query()["tag"]...)
}

func (o *room) WebSocketMessage(_ context.Context, from *dormouse.WebSocket, m dormouse.Message) error {
	if m.String() == "panic" {
		panic("as the test wants")
	}
	for ws := range o.state.WebSockets() {
		ws.SendText(m.String())
	}
	return nil
}

func (o *room) Add(_ context.Context) (int, error) {
	o.count++
	return o.count, nil
}

// serve runs a server of rooms behind a mux, each under its name.
func serve(t *testing.T) (*server.Namespace, *httptest.Server) {
	t.Helper()
	s := new(server.Server)
	rooms := s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	mux := http.NewServeMux()
	mux.HandleFunc("/{room}/", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("room")
		http.StripPrefix("/"+name, rooms.ByName(name)).ServeHTTP(w, r)
	})
	h := httptest.NewServer(mux)
	t.Cleanup(func() {
		h.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return rooms, h
}

func dial(t *testing.T, h *httptest.Server, path string) net.Conn {
	t.Helper()
	c, _, _, err := ws.Dial(t.Context(), strings.Replace(h.URL, "http", "ws", 1)+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := wsutil.WriteClientText(c, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hears(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got, err := wsutil.ReadServerText(c)
	if err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestRoomMountedInAMux(t *testing.T) {
	_, h := serve(t)
	a, b := dial(t, h, "/one/"), dial(t, h, "/one/")
	other := dial(t, h, "/two/")
	say(t, a, "panic") // is logged, and harms nobody
	say(t, a, "hi")
	hears(t, a, "hi")
	hears(t, b, "hi")
	say(t, other, "me too")
	hears(t, other, "me too")
}

func TestRequestsAndBodies(t *testing.T) {
	_, h := serve(t)
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Who", "Ada")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, got := ask("GET", "/one/hello", ""); code != 200 || got != "GET one says hello to Ada" {
		t.Errorf("got %d %q", code, got)
	}
	if code, got := ask("GET", "/one/panic", ""); code != 500 {
		t.Errorf("got %d %q, want 500", code, got)
	}
	if code, got := ask("GET", "/broken/hello", ""); code != 500 {
		t.Errorf("got %d %q, want 500", code, got)
	}
	if code, got := ask("GET", "/one/", ""); code != http.StatusUpgradeRequired {
		t.Errorf("got %d %q, want 426", code, got)
	}
	large := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	if code, got := ask("POST", "/one/copy", large); code != 200 || got != large {
		t.Errorf("got %d and %d bytes, want %d", code, len(got), len(large))
	}
}

func TestCallsAreTyped(t *testing.T) {
	rooms, _ := serve(t)
	for want := 1; want <= 3; want++ {
		n, err := server.Call(t.Context(), rooms.ByName("one"), (*room).Add)
		if err != nil || n != want {
			t.Fatalf("got %d, %v; want %d", n, err, want)
		}
	}
	_, err := server.Call(t.Context(), rooms.ByName("one"), func(*server.Server, context.Context) (int, error) { return 0, nil })
	if err == nil || !strings.Contains(err.Error(), "*server_test.room") {
		t.Errorf("got %v, want an error that names the type", err)
	}
	mine := errors.New("mine")
	_, err = server.Call(t.Context(), rooms.ByName("one"), func(*room, context.Context) (int, error) { return 0, mine })
	if !errors.Is(err, mine) {
		t.Errorf("got %v, want the error itself", err)
	}
	if _, err = server.Call(t.Context(), rooms.ByName("broken"), (*room).Add); err == nil || err.Error() != "this room cannot be built" {
		t.Errorf("got %v, want the constructor's error", err)
	}
}

func TestFetchWithinTheProcess(t *testing.T) {
	rooms, _ := serve(t)
	r := httptest.NewRequest("POST", "http://rooms/copy", bytes.NewReader([]byte("there and back")))
	resp, err := rooms.ByName("one").Fetch(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "there and back" {
		t.Errorf("got %q, %v", b, err)
	}
	_, err = rooms.ByName("one").Fetch(httptest.NewRequest("GET", "http://rooms/panic", nil))
	e, ok := errors.AsType[*dormouse.Error](err)
	if !ok || !e.Remote {
		t.Errorf("got %v, want the object's error", err)
	}
}
