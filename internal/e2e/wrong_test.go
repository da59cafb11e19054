package e2e

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Wrong input ends the command with an answer that a person can act on.
func TestWrongInput(t *testing.T) {
	t.Parallel()
	const (
		config = `{
			"name": "wrong", "main": "src/index.ts", "compatibility_date": "2026-11-17",
			"durable_objects": {"bindings": [{"name": "ROOMS", "class_name": "Room"}]},
			"migrations": [{"tag": "v1", "new_sqlite_classes": ["Room"]}],
		}`
		worker = `import { DurableObject } from "cloudflare:workers";
export class Room extends DurableObject {}
export default { fetch() { return new Response("fine") } };
`
	)
	for _, test := range []struct {
		name  string
		files map[string]string
		args  []string
		want  []string // what the message contains
	}{
		{
			name:  "NoConfiguration",
			files: map[string]string{"src/index.ts": worker},
			want:  []string{"wrangler.jsonc"},
		},
		{
			name:  "NoMain",
			files: map[string]string{"wrangler.jsonc": `{"name": "wrong", "compatibility_date": "2026-11-17"}`},
			want:  []string{"wrangler.jsonc", `"main"`},
		},
		{
			name:  "MainIsNotThere",
			files: map[string]string{"wrangler.jsonc": config},
			want:  []string{"wrangler.jsonc:2", "src/index.ts"},
		},
		{
			name:  "SyntaxError",
			files: map[string]string{"wrangler.jsonc": config, "src/index.ts": worker + "export const wrong: number = = 1;\n"},
			want:  []string{"src/index.ts:4", "export const wrong: number = = 1;"},
		},
		{
			name:  "ClassNotExported",
			files: map[string]string{"wrangler.jsonc": config, "src/index.ts": strings.Replace(worker, "export class", "class", 1)},
			want:  []string{"Room", "export"},
		},
		{
			name:  "UnknownKey",
			files: map[string]string{"wrangler.jsonc": strings.Replace(config, `"main"`, "\n\"mian\"", 1), "src/index.ts": worker},
			want:  []string{"wrangler.jsonc:3", "mian"},
		},
		{
			name:  "UnknownFlag",
			files: map[string]string{"wrangler.jsonc": config, "src/index.ts": worker},
			args:  []string{"--hibernate-later", "1s"},
			want:  []string{"--hibernate-later"},
		},
		{
			name:  "PortInUse",
			files: map[string]string{"wrangler.jsonc": config, "src/index.ts": worker},
			args:  []string{"--listen", inUse(t)},
			want:  []string{"127.0.0.1:", "in use", "--listen"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, test.files)
			got := mustRefuse(t, dir, test.args...)
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("the message has no %q:\n%s", want, got)
				}
			}
			if strings.Contains(got, "goroutine ") {
				t.Errorf("the message is a stack of Go:\n%s", got)
			}
		})
	}
}

// Two servers on one folder would each believe to be the only one.
func TestDataInUse(t *testing.T) {
	t.Parallel()
	o := Options{Dir: Example(t, "chat"), Data: filepath.Join(t.TempDir(), "data")}
	StartDormouse(t, o)
	got := mustRefuse(t, o.Dir, "--data", o.Data)
	if !strings.Contains(got, o.Data) || !strings.Contains(got, "in use") {
		t.Errorf("the message does not say that %s is in use:\n%s", o.Data, got)
	}
}

// mustRefuse starts the command and returns its message when it has refused.
func mustRefuse(t *testing.T, dir string, args ...string) string {
	t.Helper()
	bin := Binary(t)
	node := need[string](t)(findNode(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	args = append([]string{"serve", dir, "--listen", freeAddr(t), "--admin", freeAddr(t), "--node", node}, args...)
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = plainEnv()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); ctx.Err() != nil || !errors.As(err, &exit) || exit.ExitCode() <= 0 {
		t.Fatalf("dormouse %s: %v, want it to exit with a code; it printed:\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// write puts files into a folder of their own.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// inUse is an address that somebody listens on until the test has ended.
func inUse(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}
