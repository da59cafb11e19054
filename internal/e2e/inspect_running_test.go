package e2e

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestInspectARunningGuest: DevTools is let in when somebody asks, on loopback;
// a breakpoint stays while its object hibernates, and nobody ends what stands at
// one.
func TestInspectARunningGuest(t *testing.T) {
	d := StartDormouse(t, Options{
		Dir:  filepath.Join(root(t), "internal/e2e/testdata/traced"),
		More: []string{"--guests", "1", "--limits-guest-stall", "1s"},
	})
	p := dial(t, d, "here")
	// What the command prints is what the API says.
	run := func(args ...string) string {
		cmd := exec.Command(Binary(t), append([]string{"inspect", "--to", d.Admin}, args...)...)
		cmd.Dir, cmd.Env = t.TempDir(), plainEnv()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("inspect %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	out := run()
	i := strings.Index(out, "ws://127.0.0.1:")
	if i < 0 || !strings.Contains(out, "devtools://") {
		t.Fatalf("got %s", out)
	}
	url := strings.TrimSpace(out[i:])

	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	node := need[string](t)(findNode(ctx))
	cmd := exec.CommandContext(ctx, node, filepath.Join(root(t), "internal/e2e/drivers/inspect.mjs"))
	cmd.Env = append(os.Environ(), "INSPECT="+url, "AT=throw new TypeError(\"thrown in a message\")")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(answers)
	hear := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			cmd.Wait()
			t.Fatalf("the debugger said %q, want %s\n%s", lines.Text(), want, complaints.String())
		}
	}
	hear(`{"set":true}`)
	pid := d.GuestPIDs()[0]
	stands := func() {
		t.Helper()
		p.say("throw")
		time.Sleep(2500 * time.Millisecond) // longer than anything may run
		in.Write([]byte("\n"))
		hear(`{"stood":true}`)
	}
	stands()
	d.Hibernate("here")
	stands()
	if got := d.GuestPIDs()[0]; got != pid {
		t.Errorf("guest %d was replaced by %d although it was inspected", pid, got)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the debugger: %v\n%s", err, complaints.String())
	}

	run("--off")
	address := strings.TrimPrefix(url[:strings.LastIndexByte(url, '/')], "ws://")
	if resp, err := http.Get("http://" + address + "/json/list"); err == nil {
		resp.Body.Close()
		t.Error("DevTools is still let in")
	}
}
