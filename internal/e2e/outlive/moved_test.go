package outlive

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// TestStoresOutliveUpgrades: an object that uses KV, R2 and another object for
// each message goes on in the next process, with each message handled once; and a
// restore that was ordered and has not begun takes place there.
func TestStoresOutliveUpgrades(t *testing.T) {
	s := serve(t, Config{project: "testdata/several"})
	ask := func(path string) (answer string) {
		t.Helper()
		b, err := s.get(s.url() + path)
		if err == nil {
			var v any
			err = json.Unmarshal(b, &v)
			answer = fmt.Sprint(v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	ask("/old/write/1")
	ask("/old/back/" + ask("/old/bookmark")) // for its next session
	ask("/old/write/2")

	c := (&client{name: "writer", object: "shelf"}).must(t, s)
	const messages = 120
	said := make(chan error, 1)
	begun := make(chan struct{})
	go func() { // a message each 5 ms, whatever happens
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := range messages {
			if err := ws.WriteFrame(c.conn, ws.MaskFrameInPlace(ws.NewTextFrame(strconv.AppendInt(nil, int64(i+1), 10)))); err != nil {
				said <- err
				return
			}
			if i == 10 {
				close(begun)
			}
			<-tick.C
		}
		said <- nil
	}()
	<-begun
	for range 2 {
		if _, err := s.upgrade(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.last.Cut {
			t.Error("something was cut")
		}
	}
	answered, counts := make(map[int]bool), make(map[int]bool)
	for i := range messages {
		f, err := wsread.Frame(c.r)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var n, counted, inKV, inR2, size int
		if _, err := fmt.Sscan(string(f.Payload), &n, &counted, &inKV, &inR2, &size); err != nil || inKV != n || inR2 != n || size != 100_000 {
			t.Errorf("answer %q, %v", f.Payload, err)
		}
		answered[n], counts[counted] = true, true
	}
	for n := 1; n <= messages; n++ {
		if !answered[n] || !counts[n] {
			t.Errorf("message %d: answered %t; %d were counted: %t", n, answered[n], n, counts[n])
		}
	}
	if err := <-said; err != nil {
		t.Error(err)
	}
	if got := ask("/old/read"); got != "1" {
		t.Errorf("the object that was to be put back reads %s, want 1", got)
	}
	if n := s.reported(); n > 0 {
		t.Errorf("%d events are reported as lost", n)
	}
}

// TestClientLimitsOutliveUpgrades: the sockets of an address count for it in the
// next process too, and their places are free when they go.
func TestClientLimitsOutliveUpgrades(t *testing.T) {
	s := serve(t, Config{args: []string{"--limits-client-sockets", "2", "--limits-client-messages", "1000"}})
	first := (&client{name: "first", object: "o"}).must(t, s)
	second := (&client{name: "second", object: "p"}).must(t, s)
	third := func() error {
		c := &client{name: "third", object: "o"}
		err := c.dial(s.address)
		if err == nil {
			c.conn.Close()
		}
		return err
	}
	refused := func(when string) {
		t.Helper()
		if err := third(); err == nil || !strings.Contains(err.Error(), strconv.Itoa(http.StatusTooManyRequests)) {
			t.Errorf("%s the third socket of an address: %v, want it refused", when, err)
		}
	}
	refused("before the upgrades")
	for i := range 2 { // the second hands on what was handed over
		if _, err := s.upgrade(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{first, second} {
			c.say(t, fmt.Sprint(i+1))
			c.hear(t, fmt.Sprintf("%d %d 0", i+1, i+1))
		}
		refused("after an upgrade")
	}
	first.conn.Close()
	if err := s.until(t.Context(), "the place of a socket that has gone is free", third); err != nil {
		t.Error(err)
	}
}

// TestUpgradeGoesOnWithWhatServes: what has changed in the project's folder since
// is neither served nor in the way; settings are those of now.
func TestUpgradeGoesOnWithWhatServes(t *testing.T) {
	folder := t.TempDir()
	s := serve(t, Config{Folder: folder})
	c := (&client{name: "c", object: "o"}).must(t, s)
	c.say(t, "1")
	c.hear(t, "1 1 0")

	project := filepath.Join(folder, "project")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("src/version.ts", "export const version = ;\n")
	write("wrangler.jsonc", "not yet")
	write("dormouse.jsonc", `{ "limits": { "client_sockets": 1 } }`)
	if _, err := s.upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.say(t, "2")
	c.hear(t, "2 2 0")
	fresh := &client{name: "fresh", object: "o"}
	if err := fresh.dial(s.address); err != nil {
		t.Fatal(err)
	}
	defer fresh.conn.Close()
	if err := (&client{name: "more", object: "o"}).dial(s.address); err == nil {
		t.Error("the limit that was set since does not hold")
	}
	if err := s.deploy(t.Context(), 7); err == nil {
		t.Error("the folder was deployed as it is")
	}
	write("wrangler.jsonc", wranglerOf(t))
	if err := s.deploy(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	c.say(t, "3")
	c.hear(t, "3 3 7")

	if err := os.Rename(project, project+".gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.upgrade(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("an upgrade without the project's folder, and its settings: %v", err)
	}
	c.say(t, "4")
	c.hear(t, "4 4 7")

	text, err := s.get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`dormouse_deploys_total{outcome="done"} 1`, `dormouse_upgrades_total{outcome="done"} 1`, `dormouse_upgrades_total{outcome="failed"} 1`,
		`dormouse_upgrade_sockets_total{outcome="moved"} 1`, `dormouse_upgrade_sockets_total{outcome="told"} 0`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(string(text), "dormouse_upgrade_silence_max_seconds 0\n") {
		t.Error("an upgrade was not silent at all")
	}
}

// TestUpgradeWithoutAProject: a server of what its data folder keeps.
func TestUpgradeWithoutAProject(t *testing.T) {
	folder := t.TempDir()
	first := serve(t, Config{Folder: folder})
	if err := first.deploy(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	first.stop()
	if err := os.RemoveAll(filepath.Join(folder, "project")); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{Folder: folder, kept: true})
	c := (&client{name: "c", object: "o"}).must(t, s)
	for i := range 3 {
		c.say(t, fmt.Sprint(i+1))
		c.hear(t, fmt.Sprintf("%d %d 3", i+1, i+1))
		if _, err := s.upgrade(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldProcessIsKilledBehindThePoint: the new one serves alone, with the socket.
func TestOldProcessIsKilledBehindThePoint(t *testing.T) {
	s := serve(t, Config{})
	c := (&client{name: "c", object: "o"}).must(t, s)
	c.say(t, "1")
	c.hear(t, "1 1 0")
	if _, err := s.upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(s.pid, syscall.SIGKILL) // it may have ended by itself
	select {
	case <-s.exited:
	case <-time.After(waitLimit):
		t.Fatal("it does not end")
	}
	c.say(t, "2")
	c.hear(t, "2 2 0")
	other := (&client{name: "other", object: "o"}).must(t, s)
	other.say(t, "1")
	other.hear(t, "1 1 0")
}

func wranglerOf(t *testing.T) string {
	t.Helper()
	b, err := worker.ReadFile("worker/wrangler.jsonc")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
