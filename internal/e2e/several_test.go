package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// workers is a server with the two Workers of testdata/several: api, which clients
// reach, and rooms.
type workers struct {
	*Dormouse
	data, api, rooms string // folders
}

func startWorkers(t *testing.T, more ...string) workers {
	t.Helper()
	dir := Project(t, "several")
	w := workers{data: filepath.Join(t.TempDir(), "data"), api: filepath.Join(dir, "api"), rooms: filepath.Join(dir, "rooms")}
	w.Dormouse = StartDormouse(t, Options{Dir: w.api, Data: w.data, More: append([]string{w.rooms}, more...)})
	return w
}

// do has the first Worker do something, and returns what came of it as JSON.
func (w workers) do(what, x string) string {
	w.t.Helper()
	res, err := http.Get(w.URL + "/" + what + "?" + url.Values{"x": {x}}.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	return string(answer)
}

// does compares.
func (w workers) does(what, want string) {
	w.t.Helper()
	if got := w.do(what, ""); got != want {
		w.t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// caller is a client's socket.
type caller struct {
	w    workers
	conn net.Conn
}

func (w workers) dial(path string) caller {
	w.t.Helper()
	conn, br, _, err := ws.Dial(w.t.Context(), strings.Replace(w.URL, "http", "ws", 1)+"/"+path)
	if err != nil {
		w.t.Fatal(err)
	}
	if br != nil {
		ws.PutReader(br)
	}
	w.t.Cleanup(func() { conn.Close() })
	return caller{w, conn}
}

// echoes says something and compares what comes back.
func (c caller) echoes(text, want string) {
	c.w.t.Helper()
	if err := wsutil.WriteClientText(c.conn, []byte(text)); err != nil {
		c.w.t.Fatal(err)
	}
	got, err := wsutil.ReadServerText(c.conn)
	if err != nil || string(got) != want {
		c.w.t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestWorkersReachEachOther by their bindings, and nothing else of each other.
func TestWorkersReachEachOther(t *testing.T) {
	t.Parallel()
	w := startWorkers(t)
	for _, x := range []struct{ what, want string }{
		{"names", `{"value":["ADMIN","CODE","FILES","KV","MINE","ROOM","ROOMS","SELF"]}`},
		{"add", `{"value":2}`},
		{"fetch", `{"value":"{\"code\":\"1\",\"method\":\"POST\",\"url\":\"https://rooms/hi?x\",\"body\":\"body\",\"header\":\"7\",\"names\":[\"CODE\",\"FILES\",\"KV\",\"ROOM\",\"SECRET\"]}"}`},
		{"objectFetch", `{"value":"lobby https://room/there"}`},
		{"props", `{"value":{"who":["api",1]}}`},
		{"propsOfFetch", `{"value":"{\"who\":[\"api\",1]}"}`},
		{"through", `{"value":5}`},
		{"throws", `{"name":"RangeError","message":"the entrypoint says no","remote":true,"code":8}`},
		{"objectThrows", `{"name":"RangeError","message":"the room says no","remote":true,"code":7}`},
		{"fetchThrows", `{"name":"TypeError","message":"the Worker says no","remote":true}`},
		{"callbacks", `{"value":[42,2,5]}`},
		{"pipelined", `{"value":7}`},
		{"stubOfTheirs", `{"value":[1,"passed https://room/passed"]}`},
		{"stubOfOurs", `{"value":"mine lent"}`},
		{"serviceOfOurs", `{"value":[{"me":true},{"me":true}]}`},
		{"stream", `{"value":300000}`},
		{"big", `{"value":1000000}`},
		{"self", `{"value":[{"me":true},{"me":true}]}`},
		{"missing", `{"name":"TypeError","message":"The RPC receiver does not implement the method \"nothing\".","remote":true}`},
	} {
		w.does(x.what, x.want)
	}
	if got := w.do("reset", ""); !strings.Contains(got, `"message":"on purpose"`) || !strings.Contains(got, `1]}`) {
		t.Errorf("reset: %s", got)
	}
	// Neither the guests of one nor whoever asks them gets at the other's files.
	for _, file := range []string{"rooms/do/.template.sqlite", "rooms/versions/1/manifest.json"} {
		if got := w.do("file", filepath.Join(w.data, file)); strings.Contains(got, "value") {
			t.Errorf("%s of the other Worker was read: %s", file, got)
		}
	}
}

// TestAWorkerCannotReadAnothersStores, of KV and R2, that are named as its own are:
// not by its bindings, not by keys that are paths, and not by their files.
func TestAWorkerCannotReadAnothersStores(t *testing.T) {
	t.Parallel()
	w := startWorkers(t)
	w.does("stores", `{"value":["of api","of api",[null,null]]}`)
	const length = 100_000 // more than what lies in an index: a file of its own
	if got, want := w.do("storesOfTheirs", strconv.Itoa(length)), `{"value":[[100000,100000],null,null,null,["key","key"]]}`; got != want {
		t.Errorf("stores of theirs: got %s, want %s", got, want)
	}
	for _, kind := range []string{"kv", "r2"} {
		whole := false
		folder := filepath.Join(w.data, "rooms", kind)
		err := filepath.WalkDir(folder, func(file string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			whole = whole || info.Size() == length
			if got := w.do("file", file); !strings.Contains(got, `"code":"ENOENT"`) {
				t.Errorf("%s of the other Worker was read: %s", file, got)
			}
			beside, err := filepath.Rel(filepath.Join(w.data, "api", kind, "shared"), file)
			if err != nil {
				return err
			}
			for _, key := range []string{file, beside} {
				if got, want := w.do("storesByPath", key), `{"value":[null,null]}`; got != want {
					t.Errorf("the key %q: got %s, want %s", key, got, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !whole {
			t.Errorf("no file of %d bytes is in %s: nothing was looked for", length, folder)
		}
	}
}

// TestSocketsThroughWorkers: a client's socket that another Worker's object holds,
// asked for through a service, a namespace, and an object in between. The object
// sleeps, the process is replaced, and the sockets stay.
func TestSocketsThroughWorkers(t *testing.T) {
	t.Parallel()
	w := startWorkers(t)
	sockets := map[string]caller{}
	for path, name := range map[string]string{"service": "service", "object": "socket", "mine": "through"} {
		sockets[name] = w.dial(path)
	}
	all := func(what string, n int) {
		t.Helper()
		for name, c := range sockets {
			c.echoes(what, name+" "+what+" "+strconv.Itoa(n))
		}
	}
	all("hello", 1)
	w.wait("the rooms are asleep", func() (bool, error) {
		var answer struct {
			Objects []struct{ Class, State string }
		}
		if _, err := w.ask(t.Context(), "GET", "/api/objects?class=rooms/Room&state=hibernated", &answer); err != nil {
			return false, err
		}
		return len(answer.Objects) == 3, nil
	})
	all("awake", 2)
	last := 0
	for i := range 2 {
		out, err := w.Run("upgrade")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(out, "process %d", &last); err != nil {
			t.Fatalf("upgrade said %q: %v", out, err)
		}
		t.Cleanup(func() { // if the test has not got to the end
			if over, err := gone(last); err == nil && !over {
				syscall.Kill(last, syscall.SIGKILL)
			}
		})
		all("replaced", 3+i)
	}
	// The last process stops in order as the first one would.
	w.does("add", `{"value":2}`)
	if err := syscall.Kill(last, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.waitGone("the last process", last)
	for name, c := range sockets {
		if f, err := ws.ReadFrame(c.conn); err != nil || f.Header.OpCode != ws.OpClose {
			t.Errorf("%s: %+v, %v, want a Close", name, f.Header, err)
		}
	}
}

// TestWorkersAreDeployedOneByOne, kept, and served again without their projects.
func TestWorkersAreDeployedOneByOne(t *testing.T) {
	t.Parallel()
	w := startWorkers(t)
	w.does("add", `{"value":2}`)
	socket := w.dial("object")
	socket.echoes("old", "socket old 1")

	Edit(t, w.rooms, `"CODE": "1"`, `"CODE": "2"`)
	w.Deploy(w.rooms)
	Edit(t, w.api, `"CODE": "1"`, `"CODE": "3"`)
	w.Deploy(w.api)
	said := 1
	versions := func(rooms, api string) {
		t.Helper()
		said++
		w.does("code", `{"value":"`+api+`"}`)
		if got := w.do("fetch", ""); !strings.Contains(got, `\"code\":\"`+rooms+`\"`) {
			t.Errorf("the other Worker has not version %s: %s", rooms, got)
		}
		socket.echoes("new", "socket new "+strconv.Itoa(said))
	}
	versions("2", "3")
	if _, err := w.Run("rollback", "--worker", "rooms"); err != nil {
		t.Fatal(err)
	}
	versions("1", "3")

	// What another Worker is bound to stays, and so does what it is bound to.
	refused := func(want string, dir string, replace ...string) {
		t.Helper()
		other := Project(t, "several")
		Edit(t, filepath.Join(other, dir), replace...)
		if out, err := w.Run("deploy", filepath.Join(other, dir)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("deployed: %q, %v; want %q", out, err, want)
		}
	}
	refused("the Worker api, which runs, would lose", "rooms", `{ "tag": "v1", "new_sqlite_classes": ["Room"] }`, `{ "tag": "v1", "new_sqlite_classes": ["Room"] }, { "tag": "v2", "deleted_classes": ["Room"] }`,
		`{ "bindings": [{ "name": "ROOM", "class_name": "Room" }] }`, `{ "bindings": [] }`)
	refused(`leads to the Worker "lobbies", which is not in this server`, "api", `"service": "rooms" }`, `"service": "lobbies" }`)
	refused(`leads to the class "Hall" of the Worker rooms, which has Room`, "api", `"class_name": "Room"`, `"class_name": "Hall"`)
	refused(`there is no Worker "chat" here`, "rooms", `"name": "rooms"`, `"name": "chat"`)
	if _, err := w.Run("versions"); err == nil || !strings.Contains(err.Error(), "?worker=: api, rooms") {
		t.Errorf("versions of nobody: %v", err)
	}
	if out, err := w.Run("versions", "--worker", "api"); err != nil || !strings.Contains(out, "current") {
		t.Errorf("versions of api: %q, %v", out, err)
	}
	versions("1", "3")

	w.Interrupt()
	w.Dormouse = StartDormouse(t, Options{Dir: w.api, Data: w.data, Kept: true})
	socket = w.dial("object")
	versions("1", "3")
	w.does("add", `{"value":4}`)
}

// TestWorkersAreBackedUpAndGoBack, each by itself.
func TestWorkersAreBackedUpAndGoBack(t *testing.T) {
	t.Parallel()
	w := startWorkers(t)
	w.does("add", `{"value":2}`)
	w.does("through", `{"value":5}`)
	rooms := filepath.Join(w.data, "rooms")
	// Tools that name the folder find the server that has it, and ask it of that Worker.
	if out := Command(t, "objects", "list", "--data", rooms); strings.Count(out, "rooms-Room") != 2 || strings.Contains(out, "api-Mine") {
		t.Errorf("objects of rooms:\n%s", out)
	}
	history := Command(t, "storage", "history", "--data", rooms, "Room", "name:lobby")
	if !strings.Contains(history, "commit") {
		t.Fatalf("history:\n%s", history)
	}
	saved := filepath.Join(t.TempDir(), "rooms.tar.gz")
	if out := Command(t, "backup", saved, "--to", strings.TrimPrefix(w.Admin, "http://")+"/workers/rooms"); !strings.Contains(out, "2 objects") {
		t.Errorf("backup said %q", out)
	}
	if _, err := TryCommand(t, "backup", saved+".2", "--to", strings.TrimPrefix(w.Admin, "http://")); err == nil || !strings.Contains(err.Error(), "api, rooms") {
		t.Errorf("a backup of nobody: %v", err)
	}
	var past struct{ Now string }
	if status, err := w.ask(t.Context(), "GET", "/api/objects/rooms-Room/name:lobby/history", &past); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	w.does("add", `{"value":4}`)
	Command(t, "storage", "restore", "--data", rooms, "Room", "name:lobby", "--bookmark", past.Now)
	w.does("add", `{"value":4}`)
	w.Interrupt()
	Command(t, "backup", "restore", saved, rooms+".restored")
	for _, move := range [][2]string{{rooms, rooms + ".away"}, {rooms + ".restored", rooms}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	w.Dormouse = StartDormouse(t, Options{Dir: w.api, Data: w.data, More: []string{w.rooms}})
	w.does("add", `{"value":4}`) // as it was saved, and two more
	w.does("through", `{"value":10}`)
}

// TestStartsThatNameWhatIsMissing.
func TestStartsThatNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := Project(t, "several")
	api, rooms := filepath.Join(dir, "api"), filepath.Join(dir, "rooms")
	for _, x := range []struct {
		want string
		args []string
	}{
		{`the binding ROOM of the Worker api leads to the Worker "rooms", which is not in this server`, []string{api}},
		{"Serve both, with `dormouse serve` and the folders of the two", []string{api}},
		{"is also in", []string{api, api}},
		{"say whose it is: --secret-file WORKER:", []string{api, rooms, "--secret-file", "x"}},
		{"no Worker here has this name", []string{api, rooms, "--secret-file", "lobby:" + filepath.Join(rooms, ".dev.vars")}},
	} {
		args := append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "off", "--data", filepath.Join(t.TempDir(), "data"), "--node", Node(t)}, x.args...)
		if out, err := TryCommand(t, args...); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("serve %q: %q, %v; want %q", x.args, out, err, x.want)
		}
	}
	// Alone it starts when that is wanted, and says so when it is used.
	d := StartDormouse(t, Options{Dir: api, More: []string{"--allow-missing-bindings"}})
	w := workers{Dormouse: d}
	w.does("code", `{"value":"1"}`)
	if got := w.do("add", ""); !strings.Contains(got, "The binding ROOM (objects of the class Room of the Worker rooms) is not supported") {
		t.Errorf("a binding that leads nowhere: %s", got)
	}
	if n := strings.Count(d.server.Log(), "the binding ROOM of the Worker api leads to"); n != 1 {
		t.Errorf("the log warns of it %d times, want once", n)
	}
}

// TestWorkersAreSeenTogether, and each alone, at the admin address.
func TestWorkersAreSeenTogether(t *testing.T) {
	t.Parallel()
	w := startWorkers(t)
	w.does("add", `{"value":2}`)
	w.does("through", `{"value":5}`)
	for _, x := range []struct {
		path string
		has  []string
		not  string
	}{
		{"/api/classes", []string{`"api/Mine"`, `"rooms/Room"`}, ""},
		{"/api/objects?class=rooms/Room", []string{`"rooms-Room"`, `"total": 2`}, "api-Mine"},
		{"/api/namespaces", []string{`"api-Mine"`, `"rooms-Room"`}, ""},
		{"/api/guests", []string{`"worker": "api"`, `"worker": "rooms"`}, ""},
		{"/api/alarms", []string{`"alarms": 0`}, ""},
		{"/api/unfinished", []string{`[]`}, ""},
		{"/metrics", []string{`dormouse_wakes_total{class="api/Mine"} 1`, `dormouse_wakes_total{class="rooms/Room"} 2`}, ""},
		{"/readyz", []string{`"ready": true`}, ""},
		{"/healthz", []string{`"ready": true`}, ""},
		{"/", []string{"<title>"}, ""},
		{"/workers/rooms/api/classes", []string{`"Room"`}, "Mine"},
		{"/workers/rooms/metrics", []string{`dormouse_wakes_total{class="Room"} 2`}, "Mine"},
		{"/api/classes?worker=api", []string{`"Mine"`}, "Room"},
		{"/api/objects/rooms-Room/name:lobby", []string{`"lobby"`}, ""},
		{"/api/objects/api-Mine/name:mine/tables", []string{`"keys": 1`}, ""},
		{"/api/storage?namespace=rooms-Room", []string{`"rooms-Room"`}, "api-Mine"},
		{"/api/storage", []string{"say which one is meant with ?worker=: api, rooms"}, ""},
		{"/api/storage?worker=nobody", []string{`there is no Worker \"nobody\" here`}, ""},
		{"/api/objects/nobody-Room/name:x", []string{"there is no namespace"}, ""},
	} {
		res, err := http.Get(w.Admin + x.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range x.has {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s lacks %s: %s", x.path, want, body)
			}
		}
		if x.not != "" && strings.Contains(string(body), x.not) {
			t.Errorf("%s has %s: %s", x.path, x.not, body)
		}
	}
}

// TestWorkersAreRebuilt: `dormouse dev` follows the files of all of them.
func TestWorkersAreRebuilt(t *testing.T) {
	t.Parallel()
	dir := Project(t, "several")
	api, rooms := filepath.Join(dir, "api"), filepath.Join(dir, "rooms")
	s := startDev(t, api, rooms)
	w := workers{Dormouse: &Dormouse{Target: Target{URL: "http://" + s.Addr}, t: t}}
	becomes := func(what, want string) {
		t.Helper()
		w.wait(what+" is "+want, func() (bool, error) {
			got := w.do(what, "")
			if !strings.Contains(got, want) {
				return false, fmt.Errorf("it is %s; dormouse printed:\n%s", got, s.Log())
			}
			return true, nil
		})
	}
	edit := func(dir, old, new string) {
		t.Helper()
		path := filepath.Join(dir, "wrangler.jsonc")
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	becomes("add", `{"value":2}`)
	edit(rooms, `"CODE": "1"`, `"CODE": "2"`)
	becomes("fetch", `\"code\":\"2\"`)
	edit(api, `"CODE": "1"`, `"CODE": "3"`)
	becomes("code", `{"value":"3"}`)
	// What would leave a binding without its Worker is not taken, and said.
	edit(api, `"service": "rooms" }`, `"service": "lobbies" }`)
	w.wait("the mistake is told", func() (bool, error) {
		return strings.Contains(s.Log(), `leads to the Worker "lobbies"`) && strings.Contains(s.Log(), "the old code runs on"), nil
	})
	becomes("fetch", `\"code\":\"2\"`)
	becomes("add", `{"value":`)
	for _, folder := range []string{api, rooms} { // as when each is served alone
		if _, err := os.Stat(filepath.Join(folder, ".dormouse", "do")); err != nil {
			t.Error(err)
		}
	}
}
