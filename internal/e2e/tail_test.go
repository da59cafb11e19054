package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// tailed is a line of `dormouse tail --json`.
type tailed struct {
	Level  string         `json:"level"`
	Text   string         `json:"msg"`
	Class  string         `json:"class"`
	Object string         `json:"object"`
	More   map[string]any `json:"more"`
}

// follow runs `dormouse tail --json`. It ends with the test.
func follow(t *testing.T, d *Dormouse, more ...string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	cmd := exec.CommandContext(ctx, Binary(t), append([]string{"tail", "--json", "--to", d.Admin}, more...)...)
	cmd.Dir, cmd.Env = t.TempDir(), plainEnv()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); cmd.Wait() })
	return bufio.NewScanner(out)
}

// until reads lines until one has that text.
func until(t *testing.T, in *bufio.Scanner, text string) (before []string, l tailed) {
	t.Helper()
	for in.Scan() {
		l = tailed{}
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", in.Text(), err)
		}
		if strings.HasPrefix(l.Text, text) {
			return before, l
		}
		before = append(before, l.Text)
	}
	t.Fatalf("the tail ended before %q: %v; it said %q", text, in.Err(), before)
	return nil, l
}

// TestTailFollowsOneObject: its wake, its events, what it prints and its sleep, and
// nothing of its neighbour, although the server logs none of the first.
func TestTailFollowsOneObject(t *testing.T) {
	d := startRunaway(t, "--log-slow", "1us")
	bad, good := pairOf(t, d)
	in := follow(t, d, "--level", "debug", "--past", "10", "--object", bad.name)
	if _, l := until(t, in, "slow event"); l.Level != "warn" || l.Object != bad.name || l.More["event"] == nil || l.More["handler"] == nil || l.More["guest"] == nil || l.More["version"] == nil {
		t.Errorf("a slow event of the past: %+v", l)
	}
	good.ask("not for us")
	bad.ask("throw in a timer")
	_, l := until(t, in, "event")
	if l.Object != bad.name || l.Class != "Misbehaving" || l.More["event"] != "message" {
		t.Errorf("got %+v", l)
	}
	if _, l := until(t, in, "Uncaught: "); l.Level != "error" || l.Object != bad.name || !strings.Contains(l.Text, "thrown in a timer") {
		t.Errorf("got %+v", l)
	}
}

// TestTailSaysThatAGuestDied: what is about no object is said as well.
func TestTailSaysThatAGuestDied(t *testing.T) {
	d := startRunaway(t)
	in := follow(t, d, "--past", "1000")
	pairOf(t, d)
	if err := syscall.Kill(d.GuestPIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, l := until(t, in, "guest ended"); l.Level != "error" || l.More["guest"] == nil || l.More["reason"] == nil {
		t.Errorf("got %+v", l)
	}
}

// TestMetricsOfRealGuests: a commit is a write to the journal, and each event is
// counted once.
func TestMetricsOfRealGuests(t *testing.T) {
	d := startRunaway(t)
	one := dial(t, d, t.Name())
	one.ask("store things")
	resp, err := http.Get(d.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`dormouse_events_total{class="Misbehaving",kind="message"} 1`,
		`dormouse_events_total{class="Misbehaving",kind="request"} 1`,
		`dormouse_socket_messages_total{direction="received"} 1`,
		`dormouse_guest_running{slot="0"} 1`,
		`dormouse_commit_duration_seconds_count [1-9]`,
		`dormouse_sync_duration_seconds_count [1-9]`,
		`dormouse_journal_written_bytes_total [1-9]`,
		`dormouse_output_gate_closed_seconds_count [1-9]`,
	} {
		want = strings.NewReplacer("{", `\{`, "}", `\}`).Replace(want)
		if !regexp.MustCompile("(?m)^" + want).Match(b) {
			t.Errorf("no %s", want)
		}
	}
}
