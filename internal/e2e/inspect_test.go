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
)

// TestInspect: DevTools finds the guest, and only on this machine.
func TestInspect(t *testing.T) {
	dir, data, inspect := filepath.Join(root(t), "internal/e2e/testdata/runaway"), t.TempDir(), freeAddr(t)
	refused := exec.Command(Binary(t), "dev", dir, "--listen", freeAddr(t), "--admin", freeAddr(t), "--data", data, "--node", Node(t), "--inspect=0.0.0.0:9229")
	refused.Env = plainEnv()
	if out, err := refused.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("may run any code")) {
		t.Errorf("an address for everybody: %v, %s", err, out)
	}
	s := startDev(t, dir, "--data", data, "--inspect="+inspect)
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
