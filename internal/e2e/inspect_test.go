package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// TestInspect: DevTools finds the guest, and only on this machine.
func TestInspect(t *testing.T) {
	bin := Binary(t)
	node := need[string](t)(findNode(t.Context()))
	dir := filepath.Join(root(t), "internal/e2e/testdata/runaway")
	listen, admin, inspect := freeAddr(t), freeAddr(t), freeAddr(t)
	args := []string{"dev", dir, "--listen", listen, "--admin", admin, "--data", t.TempDir(), "--node", node}
	refused := exec.Command(bin, append(args, "--inspect=0.0.0.0:9229")...)
	refused.Env = plainEnv()
	if out, err := refused.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("may run any code")) {
		t.Errorf("an address for everybody: %v, %s", err, out)
	}
	cmd := exec.Command(bin, append(args, "--inspect="+inspect)...)
	cmd.Env = plainEnv()
	s, err := runtimes.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.Addr, s.Admin = listen, admin
	if err := s.Ready(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + inspect + "/json/list")
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var targets []struct {
		URL string `json:"webSocketDebuggerUrl"`
	}
	if err := json.Unmarshal(b, &targets); err != nil || len(targets) != 1 || !strings.HasPrefix(targets[0].URL, "ws://"+inspect) {
		t.Errorf("got %s, %v", b, err)
	}
}
