package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The example is ordinary Cloudflare code, so the runtime that Cloudflare gives
// away serves it too.
func TestChatUnderWorkerd(t *testing.T) {
	t.Parallel()
	Chat(t, StartWorkerd(t, Example(t, "chat")))
}

func TestBrowserUnderWorkerd(t *testing.T) {
	t.Parallel()
	Browser(t, StartWorkerd(t, Example(t, "chat")))
}

// Neither esbuild nor a browser looks at types.
func TestChatTypes(t *testing.T) {
	t.Parallel()
	tools := need[string](t)(findTools())
	node := need[string](t)(findNode(t.Context()))
	for _, project := range []string{".", "src/page"} {
		cmd := exec.CommandContext(t.Context(), node, filepath.Join(tools, "typescript/bin/tsc"), "-p", project, "--typeRoots", tools)
		cmd.Dir = Example(t, "chat")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("types of %s: %v\n%s", project, err, out)
		}
	}
}
