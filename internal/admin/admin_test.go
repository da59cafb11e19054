package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
)

const rooms = dormouse.Namespace("chat-Room")

// runtime is a Runtime with two objects.
type runtime struct {
	asked []string // Hibernate calls
	stays bool
}

func (*runtime) Namespaces() []dormouse.Namespace { return []dormouse.Namespace{"chat-User", rooms} }

func (*runtime) Objects() []Object {
	name, since := "Lobby", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	return []Object{
		{Namespace: rooms, ID: rooms.IDFromName(name).String(), Name: &name, Class: "Room", State: "idle", Sockets: 2, Since: &since, Guest: 3},
		{Namespace: "chat-User", ID: strings.Repeat("ab", 32), Class: "User", State: "hibernated"},
	}
}

func (r *runtime) Object(_ context.Context, k dormouse.Key) (Detail, bool) {
	o := r.Objects()[0]
	if k.ID.String() != o.ID {
		return Detail{}, false
	}
	return Detail{Object: o, SocketList: []Socket{{ID: 1<<52 + 1, Tags: []string{"a"}}, {ID: 2}}, WhyAwake: json.RawMessage(`[{"kind":"timer"}]`)}, true
}

func (r *runtime) Hibernate(_ context.Context, k dormouse.Key, force bool) bool {
	word := "gently"
	if force {
		word = "by force"
	}
	r.asked = append(r.asked, k.ID.String()[:4]+" "+word)
	return !r.stays
}

func (*runtime) Guests() []Guest {
	return []Guest{{ID: 3, PID: 77, State: "running", Restarts: 1, Why: "exit status 3"}}
}

func (*runtime) Alarms() Alarms { return Alarms{Alarms: 3, Running: 1, Repairs: 0} }

func (*runtime) Unfinished() []Unfinished {
	return []Unfinished{{Namespace: rooms, Socket: 1<<32 + 2, Number: 17, Event: "message", Tags: []string{"a"}}}
}

func (*runtime) Classes() []Class {
	return []Class{{Name: "Room", InMemory: 1, Wakes: 3, Constructions: 3, Constructor: 0.5, Longest: 0.25, Memory: 60, Saved: 3600}}
}

func TestAlarms(t *testing.T) {
	status, got := ask(t, NewHandler(new(runtime), Options{}), "GET", "/api/alarms", nil)
	want := map[string]any{
		"alarms": 3.0, "running": 1.0, "late": 0.0, "runs": 0.0, "failures": 0.0, "interrupted": 0.0, "dropped": 0.0, "repairs": 0.0, "clock_jumps": 0.0,
	}
	if status != http.StatusOK || !reflect.DeepEqual(got, want) {
		t.Errorf("got %d %v, want %v", status, got, want)
	}
}

func TestClasses(t *testing.T) {
	status, got := ask(t, NewHandler(new(runtime), Options{}), "GET", "/api/classes", nil)
	want := map[string]any{"classes": []any{map[string]any{
		"name": "Room", "in_memory": 1.0, "hibernated": 0.0, "wakes": 3.0, "constructions": 3.0,
		"constructor_seconds": 0.5, "constructor_max_seconds": 0.25, "memory_object_seconds": 60.0, "hibernated_object_seconds": 3600.0,
	}}}
	if status != http.StatusOK || !reflect.DeepEqual(got, want) {
		t.Errorf("got %d %v, want %v", status, got, want)
	}
}

// ask sends a request as a program on the same machine does, unless edit makes
// it another.
func ask(t *testing.T, h http.Handler, method, path string, edit func(*http.Request)) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8788"+path, nil)
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Body)
	var answer map[string]any
	if err := json.Unmarshal(b, &answer); err != nil {
		t.Errorf("%s %s: %d %q is no JSON object", method, path, w.Code, b)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: type %q", method, path, got)
	}
	if w.Code == 200 && (w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff") {
		t.Errorf("%s %s: headers %v", method, path, w.Header())
	}
	return w.Code, answer
}

// TestWhoMayAsk: programs on this machine, and pages of the admin address itself.
func TestWhoMayAsk(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, c := range []struct {
		what  string
		token string
		edit  func(*http.Request)
		want  int
	}{
		{"a program", "", nil, 200},
		{"by name", "", host("localhost:8788"), 200},
		{"by IPv6", "", host("[::1]:8788"), 200},
		{"by IPv6 without a port", "", host("[::1]"), 200},
		{"by another loopback address", "", host("127.1.2.3"), 200},
		{"a name that points here", "", host("evil.example:8788"), 403},
		{"a name that begins like ours", "", host("localhost.evil.example"), 403},
		{"an address of another machine", "", host("192.0.2.1"), 403},
		{"no name", "", host(""), 403},
		{"our own page", "", header("Origin", "http://127.0.0.1:8788"), 200},
		{"another page", "", header("Origin", "http://evil.example"), 403},
		{"a page of another port", "", header("Origin", "http://127.0.0.1:8787"), 403},
		{"a page without an origin", "", header("Origin", "null"), 403},
		{"an image on another site", "", header("Sec-Fetch-Site", "cross-site"), 403},
		{"an image on another port", "", header("Sec-Fetch-Site", "same-site"), 403},
		{"a script of our page", "", header("Sec-Fetch-Site", "same-origin"), 200},
		{"typed in", "", header("Sec-Fetch-Site", "none"), 200},

		{"no token", "secret", nil, 401},
		{"another token", "secret", header("Authorization", "Bearer Secret"), 401},
		{"a part of the token", "secret", header("Authorization", "Bearer secre"), 401},
		{"another scheme", "secret", header("Authorization", "Basic secret"), 401},
		{"the bare token", "secret", header("Authorization", "secret"), 401},
		{"the token", "secret", header("Authorization", "Bearer secret"), 200},
		{"a browser with the token", "secret", func(r *http.Request) { r.SetBasicAuth("anybody", "secret") }, 200},
		{"a browser with another", "secret", func(r *http.Request) { r.SetBasicAuth("secret", "") }, 401},
		{"a page of another site in that browser", "secret", func(r *http.Request) {
			r.SetBasicAuth("", "secret")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403},
		{"the token from elsewhere", "secret", func(r *http.Request) { r.Host = "ops.example"; r.Header.Set("Authorization", "Bearer secret") }, 200},
		{"the token from another page", "secret", func(r *http.Request) {
			r.Header.Set("Origin", "http://evil.example")
			r.Header.Set("Authorization", "Bearer secret")
		}, 403},
	} {
		h := NewHandler(new(runtime), Options{Token: c.token})
		if got, answer := ask(t, h, "GET", "/api/guests", c.edit); got != c.want {
			t.Errorf("%s: got %d %v, want %d", c.what, got, answer, c.want)
		}
	}
}

func TestCheckListen(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8788": true, "[::1]:0": true, "localhost:1": true, "127.9.9.9:1": true,
		":8788": false, "0.0.0.0:8788": false, "[::]:1": false, "192.0.2.1:1": false, "admin.example:1": false, "127.0.0.1": false,
	} {
		if err := CheckListen(address, Options{}); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
		if err := CheckListen(address, Options{Token: "x"}); err != nil {
			t.Errorf("%s with a token: %v", address, err)
		}
	}
}

func TestListOfObjects(t *testing.T) {
	h := NewHandler(new(runtime), Options{})
	for query, want := range map[string]struct {
		total int
		first string
	}{
		"":                            {2, "Room"},
		"?class=User":                 {1, "User"},
		"?state=idle":                 {1, "Room"},
		"?class=User&state=idle":      {0, ""},
		"?search=obb":                 {1, "Room"},
		"?search=ABAB":                {1, "User"},
		"?search=nowhere":             {0, ""},
		"?limit=1":                    {2, "Room"},
		"?class=User&limit=1&search=": {1, "User"},
	} {
		code, answer := ask(t, h, "GET", "/api/objects"+query, nil)
		list, ok := answer["objects"].([]any)
		if code != 200 || !ok || answer["total"] != float64(want.total) {
			t.Errorf("%q: got %d %v, want %d objects", query, code, answer, want.total)
			continue
		}
		if len(list) > 0 != (want.first != "") || len(list) > 0 && list[0].(map[string]any)["class"] != want.first {
			t.Errorf("%q: got %v", query, list)
		}
	}
	for _, limit := range []string{"0", "-1", "100001", "x", "1e3", "9999999999999999999"} {
		if code, answer := ask(t, h, "GET", "/api/objects?limit="+limit, nil); code != 400 || answer["error"] != "limit must be a number from 1 to 100000" {
			t.Errorf("limit %s: got %d %v", limit, code, answer)
		}
	}
}

func TestOneObject(t *testing.T) {
	h := NewHandler(new(runtime), Options{})
	id := rooms.IDFromName("Lobby").String()
	for _, path := range []string{id, strings.ToUpper(id), "name:Lobby"} {
		code, answer := ask(t, h, "GET", "/api/objects/chat-Room/"+path, nil)
		if code != 200 || answer["id"] != id || answer["name"] != "Lobby" || answer["state"] != "idle" {
			t.Errorf("%s: got %d %v", path, code, answer)
			continue
		}
		sockets := answer["socket_list"].([]any)
		if first := sockets[0].(map[string]any); first["id"] != float64(1<<52+1) || !reflect.DeepEqual(first["tags"], []any{"a"}) {
			t.Errorf("%s: socket %v", path, first)
		}
		if second := sockets[1].(map[string]any); !reflect.DeepEqual(second["tags"], []any{}) {
			t.Errorf("%s: a socket without tags has %v", path, second["tags"])
		}
	}
}

func TestObjectsThatAreNotThere(t *testing.T) {
	h := NewHandler(new(runtime), Options{})
	other := rooms.IDFromName("other").String()
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"chat-Room/" + other:                    {404, "object chat-Room/" + other + " is not in memory and has neither sockets nor an alarm"},
		"chat-Room/name:a%2Fb":                  {404, "object chat-Room/" + rooms.IDFromName("a/b").String() + " is not in memory and has neither sockets nor an alarm"},
		"chat-Room/name:":                       {404, "object chat-Room/" + rooms.IDFromName("").String() + " is not in memory and has neither sockets nor an alarm"},
		"chat-Room/123":                         {400, "Invalid Durable Object ID: must be 64 hex digits"},
		"chat-Room/" + strings.Repeat("zz", 32): {400, "Invalid Durable Object ID: must be 64 hex digits"},
		"chat-User/" + other:                    {400, "Durable Object ID is not valid for this namespace."},
		"chat-Nobody/" + other:                  {404, `there is no namespace "chat-Nobody"`},
		"chat-Room%0Aevil/" + other:             {404, `there is no namespace "chat-Room\nevil"`},
		"chat-Room/" + other + "/hibernate":     {405, "this path takes POST"},
		"chat-Room/" + other + "/nothing":       {404, "there is nothing at /api/objects/chat-Room/" + other + "/nothing"},
	} {
		if code, answer := ask(t, h, "GET", "/api/objects/"+path, nil); code != want.code || answer["error"] != want.text {
			t.Errorf("%s: got %d %v, want %d %s", path, code, answer, want.code, want.text)
		}
	}
}

func TestHibernate(t *testing.T) {
	rt := new(runtime)
	h := NewHandler(rt, Options{})
	path := "/api/objects/chat-Room/name:Lobby/hibernate"
	if code, answer := ask(t, h, "POST", path, nil); code != 200 || answer["state"] != "idle" {
		t.Errorf("got %d %v", code, answer)
	}
	rt.stays = true
	code, answer := ask(t, h, "POST", path+"?force=1", nil)
	if code != 409 || answer["error"] != "the object stays in memory: an event is in progress or a task is pending" ||
		!reflect.DeepEqual(answer["why_awake"], []any{map[string]any{"kind": "timer"}}) {
		t.Errorf("got %d %v", code, answer)
	}
	rt.stays = false
	if code, answer := ask(t, h, "POST", "/api/objects/chat-Room/name:gone/hibernate", nil); code != 200 || answer["state"] != "inactive" {
		t.Errorf("got %d %v", code, answer)
	}
	lobby, gone := rooms.IDFromName("Lobby").String()[:4], rooms.IDFromName("gone").String()[:4]
	if want := []string{lobby + " gently", lobby + " by force", gone + " gently"}; !reflect.DeepEqual(rt.asked, want) {
		t.Errorf("asked %q, want %q", rt.asked, want)
	}
}

func TestGuests(t *testing.T) {
	code, answer := ask(t, NewHandler(new(runtime), Options{}), "GET", "/api/guests", nil)
	guests, _ := answer["guests"].([]any)
	if code != 200 || len(guests) != 1 || guests[0].(map[string]any)["pid"] != float64(77) || guests[0].(map[string]any)["last_end"] != "exit status 3" {
		t.Errorf("got %d %v", code, answer)
	}
}
