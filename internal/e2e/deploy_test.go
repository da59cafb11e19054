package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse/internal/e2e/numbered"
	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// numberedCode is testdata/numbered with CODE and whatever else changed.
func numberedCode(t testing.TB, code string, more ...string) string {
	return Project(t, "numbered", append([]string{`"CODE": "1"`, fmt.Sprintf(`"CODE": %q`, code)}, more...)...)
}

// TestDeployUnderLoad deploys, rolls back and kills guests while clients talk:
// they notice a pause.
func TestDeployUnderLoad(t *testing.T) {
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1"), More: []string{"--spare-guest", "on"}})
	outlive(t, d, numbered.Config{URL: d.URL, Rooms: 12, Idle: 200, Busy: 40}, []string{"deploy", "rollback", "deploy", "kill", "deploy", "rollback", "kill"})
}

// TestSoakDeploy is the same with more of everything.
func TestSoakDeploy(t *testing.T) {
	if os.Getenv("DORMOUSE_SOAK") == "" {
		t.Skip("DORMOUSE_SOAK is not set")
	}
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1"), More: []string{"--spare-guest", "on"}})
	var deeds []string
	for range 20 {
		deeds = append(deeds, "deploy", "rollback", "kill")
	}
	outlive(t, d, numbered.Config{URL: d.URL, Rooms: 200, Idle: 5000, Busy: 200, Pace: 50 * time.Millisecond}, deeds)
}

// outlive does things to a server with clients, and has the clients say how that
// was.
func outlive(t *testing.T, d *Dormouse, c numbered.Config, deeds []string) {
	f, err := numbered.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abandon()
	for i, deed := range deeds {
		f.Silence()
		began := time.Now()
		switch deed {
		case "deploy":
			d.Deploy(numberedCode(t, fmt.Sprint(i+2)))
			d.WaitMoved()
		case "rollback":
			if _, err := d.Run("rollback"); err != nil {
				t.Fatal(err)
			}
			d.WaitMoved()
		case "kill":
			old := d.GuestPIDs()
			for _, pid := range old {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			d.wait("another guest runs", func() (bool, error) {
				return slices.ContainsFunc(d.Guests(), func(g Guest) bool { return g.State == "running" && !slices.Contains(old, g.PID) }), nil
			})
		}
		t.Logf("%s took %v; longest silence of a busy client %v", deed, time.Since(began).Round(time.Millisecond), f.Silence().Round(time.Millisecond))
	}
	r := f.Stop()
	excuse(t, d, r)
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	t.Logf("%d sockets, %d messages, %d answers by versions %v", r.Sockets, r.Sent, r.Answered, r.Codes)
}

// excuse takes out what the server has reported as begun by guests that died.
func excuse(t *testing.T, d *Dormouse, r *numbered.Report) {
	t.Helper()
	if len(r.Unanswered) == 0 {
		return
	}
	reported := d.Unfinished()
	r.Excuse(func(name string, number int) bool {
		return slices.ContainsFunc(reported, func(u Unfinished) bool { return slices.Contains(u.Tags, name) && u.Number == uint64(number) })
	})
}

// TestDeployRefused tries what may go wrong: the old code runs on, the reason is
// told, and nothing is kept.
func TestDeployRefused(t *testing.T) {
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1")})
	for name, c := range map[string]struct {
		replace []string
		want    string
	}{
		"syntax":        {[]string{"export class Room", "export klass Room"}, "klass"},
		"throws":        {[]string{"export default {", "throw new Error('not today');\nexport default {"}, "not today"},
		"class missing": {[]string{"export class Room", "class Room"}, "Room"},
		"dies":          {[]string{"export default {", "for (const held = [];;) held.push(new Array(1e7).fill(0));\nexport default {"}, "guest"},
		"other worker":  {[]string{`"name": "numbered"`, `"name": "lettered"`}, "lettered"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := d.Run("deploy", numberedCode(t, "2", c.replace...))
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("got %v, %s; want a refusal with %q", err, out, c.want)
			}
		})
	}
	t.Run("bad package", func(t *testing.T) {
		for digest, want := range map[string]int{"": 400, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:": 400} {
			req, err := http.NewRequest("POST", d.Admin+"/api/versions", strings.NewReader("no package"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Digest", digest)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("digest %q: status %d, want %d", digest, resp.StatusCode, want)
			}
		}
	})
	if got := d.Versions(); len(got) != 1 || got[0].State != "current" {
		t.Errorf("%+v are kept, want version 1 alone", got)
	}
	if got := d.get("/room/code"); got != "1" {
		t.Errorf("the code is %q, want 1", got)
	}
	if _, err := d.Run("rollback"); err == nil {
		t.Error("rolled back to nothing")
	}
}

// TestTwoDeploysAtOnce: one of them is refused, or both serve one after the
// other.
func TestTwoDeploysAtOnce(t *testing.T) {
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1")})
	dirs := []string{numberedCode(t, "2"), numberedCode(t, "3")}
	out := make([]string, 2)
	errs := make([]error, 2)
	var both sync.WaitGroup
	for i, dir := range dirs {
		both.Go(func() { out[i], errs[i] = d.Run("deploy", dir) })
	}
	both.Wait()
	for i := range 2 {
		if errs[i] != nil && !strings.Contains(out[i], "another version is being started") {
			t.Errorf("refused because of %s", out[i])
		}
	}
	if errs[0] != nil && errs[1] != nil {
		t.Error("both were refused")
	}
}

// TestDeployMovesWhatIsBusy: what a deadline means for those in the middle of
// something.
func TestDeployMovesWhatIsBusy(t *testing.T) {
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1")})
	standard := dialRoom(t, d, "/busy/standard")
	kept := dialRoom(t, d, "/busy/socket?name=kept")
	answer := make(chan string, 1)
	go func() { answer <- d.get("/busy/slow?ms=60000") }()
	finishes := make(chan string, 1)
	go func() { finishes <- d.get("/quick/slow?ms=300") }()
	d.get("/clock/timer")
	d.wait("all have begun", func() (bool, error) {
		b, _ := d.Object("busy")
		q, _ := d.Object("quick")
		return b.State == "active" && q.State == "active", nil
	})

	d.Deploy(numberedCode(t, "2"), "--deploy-deadline", "2s")
	if got := d.get("/fresh/code"); got != "2" {
		t.Errorf("an object that was not in memory runs code %q, want 2", got)
	}
	// The busy room still runs the old code, the fresh one the new: each calls the other.
	if got := d.get("/fresh/ask?room=busy"); got != "2 1 1" {
		t.Errorf("new asks old by fetch and by RPC: %q, want 2 1 1", got)
	}
	if got := d.get("/busy/ask?room=fresh"); got != "1 2 2" {
		t.Errorf("old asks new by fetch and by RPC: %q, want 1 2 2", got)
	}
	if got := <-finishes; got != "1" {
		t.Errorf("a request that ended before the deadline was answered %q, want 1", got)
	}
	if got, want := <-answer, "Durable Object reset because its code was updated. true true"; got != want {
		t.Errorf("a request past the deadline was answered %q, want %q", got, want)
	}
	d.WaitMoved()
	d.wait("the room with a timer runs the new code", func() (bool, error) {
		r, _ := d.Object("clock")
		return r.Version == 2 && r.State != "inactive", nil
	})
	tell(t, kept, "1")
	if got := hear(t, kept); !strings.Contains(got, `"code":"2"`) || !strings.Contains(got, `"before":0`) {
		t.Errorf("the socket that was kept hears %s", got)
	}
	standard.SetReadDeadline(time.Now().Add(limit))
	frame, err := wsread.Frame(standard)
	if code, _ := ws.ParseCloseFrameData(frame.Payload); err != nil || frame.Header.OpCode != ws.OpClose || code != 1012 {
		t.Errorf("the standard socket ended with %v %d, %v; want a Close frame with 1012", frame.Header.OpCode, code, err)
	}
}

// TestOnUpdateClose drops sockets as Cloudflare does, of objects in memory and
// of those that sleep; a class can have it alone.
func TestOnUpdateClose(t *testing.T) {
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1")})
	awake, asleep := dialRoom(t, d, "/awake/socket?name=a"), dialRoom(t, d, "/asleep/socket?name=b")
	d.Hibernate("asleep")
	next := numberedCode(t, "2")
	if err := os.WriteFile(filepath.Join(next, "dormouse.jsonc"), []byte(`{"classes": {"Room": {"sockets": {"on_update": "close"}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Deploy(next)
	for name, c := range map[string]net.Conn{"awake": awake, "asleep": asleep} {
		c.SetReadDeadline(time.Now().Add(limit))
		_, _, err := wsutil.ReadServerData(c)
		if _, clean := err.(wsutil.ClosedError); err == nil || clean {
			t.Errorf("%s: ended with %v, want no Close frame", name, err)
		}
	}
	again := dialRoom(t, d, "/awake/socket?name=a")
	tell(t, again, "1")
	if got := hear(t, again); !strings.Contains(got, `"before":0`) || !strings.Contains(got, `"code":"2"`) {
		t.Errorf("heard %s, want new code and no attachment", got)
	}
}

// TestServeKeptVersion serves what the data folder keeps, without a project.
func TestServeKeptVersion(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	dir := numberedCode(t, "1")
	d := StartDormouse(t, Options{Dir: dir, Data: data})
	d.Deploy(numberedCode(t, "2"))
	d.Interrupt()

	d = StartDormouse(t, Options{Dir: dir, Data: data, Kept: true})
	if got := d.get("/room/code"); got != "2" {
		t.Errorf("the code is %q, want that of the version that was deployed, 2", got)
	}
	if _, err := d.Run("rollback", "1"); err != nil {
		t.Fatal(err)
	}
	if got := d.get("/other/code"); got != "1" {
		t.Errorf("after the rollback the code is %q, want 1", got)
	}
	d.Interrupt()

	d = StartDormouse(t, Options{Dir: numberedCode(t, "3"), Data: data}) // deploys first: it differs
	if got := d.get("/room/code"); got != "3" {
		t.Errorf("the code is %q, want the project's, 3", got)
	}
	if v := d.Versions(); len(v) != 3 || v[0].Number != 3 || v[0].State != "current" || v[2].State != "previous" {
		t.Errorf("%+v are kept", v)
	}
}

// TestNewClass deploys a version with one class more and bindings in another
// order.
func TestNewClass(t *testing.T) {
	d := StartDormouse(t, Options{Dir: numberedCode(t, "1")})
	kept := dialRoom(t, d, "/room/socket?name=kept")
	d.Deploy(numberedCode(t, "2",
		`[{"name": "ROOM"`, `[{"name": "HALL", "class_name": "Hall"}, {"name": "ROOM"`,
		`"new_sqlite_classes": ["Room"]}`, `"new_sqlite_classes": ["Room"]}, {"tag": "2", "new_sqlite_classes": ["Hall"]}`,
		"export class Room", "export class Hall extends DurableObject {\n\tfetch() {\n\t\treturn new Response('hall');\n\t}\n}\n\nexport class Room",
		`case "/slow":`, "case \"/hall\":\n\t\t\t\treturn this.env.HALL.get(this.env.HALL.idFromName('x')).fetch(request);\n\t\t\tcase \"/slow\":"))
	if got := d.get("/room/hall"); got != "hall" {
		t.Errorf("the new class answers %q", got)
	}
	tell(t, kept, "1")
	if got := hear(t, kept); !strings.Contains(got, `"code":"2"`) {
		t.Errorf("the old socket hears %s", got)
	}
	if _, err := d.Run("rollback"); err != nil {
		t.Fatal(err)
	}
	tell(t, kept, "2")
	if got := hear(t, kept); !strings.Contains(got, `"code":"1"`) || !strings.Contains(got, `"before":1`) {
		t.Errorf("after the rollback the old socket hears %s", got)
	}
}

// get asks the Worker and returns what it answers.
func (d *Dormouse) get(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", d.URL+path, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func dialRoom(t *testing.T, d *Dormouse, path string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, _, _, err := ws.Dial(ctx, strings.Replace(d.URL, "http", "ws", 1)+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func tell(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := wsutil.WriteClientText(c, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(limit))
	text, err := wsutil.ReadServerText(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
