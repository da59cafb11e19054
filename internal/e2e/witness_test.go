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

// witness is somebody who looks at the page all the time, in a real browser, and
// follows the log.
type witness struct {
	t       testing.TB
	ask     io.Writer
	answers *bufio.Scanner
	tail    *bufio.Scanner
	said    *strings.Builder
}

// watch opens the page of an admin address and follows its log. Without a browser
// only the log is followed.
func watch(t *testing.T, admin string) *witness {
	t.Helper()
	w := &witness{t: t, tail: follow(t, &Dormouse{Admin: admin}, "--past", "1000"), said: new(strings.Builder)}
	browser, err := findBrowser()
	if err != nil {
		t.Log("NOT TESTED: the page: ", err)
		return w
	}
	need[string](t)(findTools())
	node := need[string](t)(findNode(t.Context()))
	shots := filepath.Join(root(t), "artefacts", t.Name())
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*limit)
	cmd := exec.CommandContext(ctx, node, filepath.Join(root(t), "internal/e2e/drivers/witness.mjs"))
	cmd.Env = append(os.Environ(), "CHROMIUM="+browser, "SCREENSHOTS="+shots, "ADMIN="+admin)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // the browser is closed with its driver
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = w.said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
		cancel()
	})
	w.ask, w.answers = in, bufio.NewScanner(out)
	w.hear("open")
	return w
}

func (w *witness) hear(what string) {
	w.t.Helper()
	if !w.answers.Scan() {
		w.t.Fatalf("the page: %v\n%s", w.answers.Err(), w.said)
	}
	if got := w.answers.Text(); got != `{"`+what+`":true}` {
		w.t.Fatalf("the page: %s", got)
	}
}

// sees waits until the page shows that the server is ready or not, a problem with
// that text (empty: none is looked for), and the line of the log, which the tail
// has too.
func (w *witness) sees(ready bool, text, logged string) {
	w.t.Helper()
	began := time.Now()
	for w.tail.Scan() && !strings.Contains(w.tail.Text(), logged) {
	}
	if err := w.tail.Err(); err != nil || !strings.Contains(w.tail.Text(), logged) {
		w.t.Fatalf("the tail ended before %q: %v", logged, err)
	}
	w.t.Logf("the tail said so after %v", time.Since(began).Round(time.Millisecond))
	if w.ask == nil {
		return
	}
	q, err := json.Marshal(map[string]any{"ready": ready, "text": text, "logged": logged})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.ask.Write(append(q, '\n')); err != nil {
		w.t.Fatal(err)
	}
	w.hear("seen")
	w.t.Logf("the page showed it after %v", time.Since(began).Round(time.Millisecond))
}
