package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientOfNpm talks and sleeps through the package ws.
func clientOfNpm(t *testing.T, s Target) {
	drive(t, s, "ws.mjs", roomOf(t))
}

// Browser is two tabs of a real browser in one room. It leaves screenshots in
// artefacts/, under the name of the test.
func Browser(t *testing.T, s Target) {
	browser := need[string](t)(findBrowser())
	shots := filepath.Join(root(t), "artefacts", strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	drive(t, s, "browser.mjs", "lobby", "CHROMIUM="+browser, "SCREENSHOTS="+shots)
}

// drive runs one of the drivers with Node, and fails as it does. A driver that
// writes the line {"quiet":true} is told when its room has left memory; see
// drivers/host.mjs.
func drive(t *testing.T, s Target, driver, room string, env ...string) {
	t.Helper()
	need[string](t)(findTools())
	node := need[string](t)(findNode(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second+3*s.HibernateAfter)
	defer cancel()

	cmd := exec.CommandContext(ctx, node, filepath.Join(root(t), "internal/e2e/drivers", driver))
	cmd.Env = append(os.Environ(), "CHAT_URL="+s.URL, "CHAT_ROOM="+room)
	cmd.Env = append(cmd.Env, env...)
	// Asked first, so that a browser is closed with its driver.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	answers, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	questions, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answer(t, ctx, s, room, questions, answers)
	answers.Close() // a driver that still waits for an answer ends
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", driver, err, complaints.String())
	}
}

// answer serves a driver until it ends its output.
func answer(t *testing.T, ctx context.Context, s Target, room string, questions io.Reader, answers io.Writer) {
	t.Helper()
	lines := bufio.NewScanner(questions)
	for lines.Scan() {
		var q struct {
			Quiet bool `json:"quiet"`
		}
		if json.Unmarshal(lines.Bytes(), &q) != nil || !q.Quiet {
			t.Log(lines.Text())
			continue
		}
		if err := s.WaitAsleep(ctx, room); err != nil {
			t.Error(err)
			return
		}
		if _, err := io.WriteString(answers, "\n"); err != nil {
			t.Error(err)
			return
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}
