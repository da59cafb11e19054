package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKVAndR2OfAnOperator: what the Worker has stored can be read, changed and
// removed with the same commands while the server runs and when it does not.
func TestKVAndR2OfAnOperator(t *testing.T) {
	t.Parallel()
	project := write(t, map[string]string{
		"wrangler.jsonc": `{
			"name": "stores", "main": "index.js", "compatibility_date": "2026-11-17",
			"kv_namespaces": [{"binding": "WORDS", "id": "0f2ac74b498b48028cb68387c421e279"}, {"binding": "UNUSED", "id": "unused"}],
			"durable_objects": {"bindings": [{"name": "NOTHING", "class_name": "Nothing"}]},
			"migrations": [{"tag": "v1", "new_sqlite_classes": ["Nothing"]}],
			"r2_buckets": [{"binding": "FILES", "bucket_name": "files"}]
		}`,
		"index.js": `import { DurableObject } from "cloudflare:workers";
		export class Nothing extends DurableObject {}
		export default { async fetch(request, env) {
			const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
			if (key === "") return new Response("ready");
			if (request.method === "PUT") {
				await env.WORDS.put(key, "by the Worker", { metadata: { n: 1 } });
				await env.FILES.put(key, "a file of the Worker");
			}
			const file = await env.FILES.get(key);
			return new Response([await env.WORDS.get(key), await file?.text(), file?.httpMetadata.contentType].join("|"));
		} };`,
	})
	data := filepath.Join(t.TempDir(), "data")
	d := StartDormouse(t, Options{Dir: project, Data: data})
	ask := func(method, key string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, d.URL+"/"+key, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		out, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %v, %s: %.200s", method, key, err, res.Status, out)
		}
		return string(out)
	}
	ask("PUT", "one")
	big := filepath.Join(t.TempDir(), "big.html")
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // longer than a pipe
	if err := os.WriteFile(big, body, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, args ...string) (string, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		// Without --to: the command finds the server, or the files.
		cmd := exec.CommandContext(ctx, Binary(t), append(args, "--data", data, "--dir", project)...)
		cmd.Env = plainEnv()
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	check := func(t *testing.T, round string) {
		says := func(want string, args ...string) {
			t.Helper()
			if out, err := run(t, args...); err != nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v, %q, want %q", args, err, out, want)
			}
		}
		refuses := func(want string, args ...string) {
			t.Helper()
			if out, err := run(t, args...); err == nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v, %q, want an error with %q", args, err, out, want)
			}
		}
		says("0f2ac74b498b48028cb68387c421e279\n", "kv", "namespaces")
		says("files\n", "r2", "buckets")
		says(`{"n":1}`, "kv", "list", "WORDS")
		says("by the Worker", "kv", "get", "0f2ac74b498b48028cb68387c421e279", "one")
		says("a file of the Worker", "r2", "get", "files", "one")
		says("", "kv", "put", "WORDS", "two "+round, "said "+round, "--metadata", `{"by": "hand"}`, "--ttl", "3600")
		says(`{"by":"hand"}`, "kv", "list", "WORDS", "--prefix", "two "+round)
		says("", "r2", "put", "FILES", "dir/"+round, big)
		says("dir/", "r2", "list", "FILES", "--delimiter", "/")
		got := filepath.Join(t.TempDir(), "got")
		says("", "r2", "get", "FILES", "dir/"+round, "-o", got)
		if b, err := os.ReadFile(got); err != nil || !bytes.Equal(b, body) {
			t.Errorf("%d bytes came back, %v; want %d", len(b), err, len(body))
		}
		says("", "kv", "put", "WORDS", "gone", "x")
		says("", "kv", "delete", "WORDS", "gone")
		refuses("has no key", "kv", "delete", "WORDS", "gone")
		refuses(`there is no key "gone"`, "kv", "get", "WORDS", "gone")
		refuses("does not exist", "r2", "get", "FILES", "gone")
		refuses("Please use a different name", "kv", "put", "WORDS", "..", "x")
		refuses("ttl must be", "kv", "put", "WORDS", "short", "x", "--ttl", "3")
		refuses("there is no KV namespace", "kv", "list", "NOBODYS")
		refuses("there is no KV namespace", "kv", "put", "NOBODYS", "a", "b")
	}
	t.Run("Running", func(t *testing.T) {
		check(t, "running")
		if got, want := ask("GET", "two%20running"), "said running||"; got != want {
			t.Errorf("the Worker reads %q, want %q", got, want)
		}
		if got := ask("GET", "dir%2Frunning"); !strings.HasPrefix(got, "|"+string(body[:100])) || !strings.HasSuffix(got, "|text/html; charset=utf-8") {
			t.Errorf("the Worker reads %.40q … %q", got, got[max(0, len(got)-40):])
		}
		if out, err := run(t, "kv", "put", "UNUSED", "first", "before the Worker"); err != nil {
			t.Errorf("a namespace that only the project names: %v, %s", err, out)
		}
	})
	t.Run("Stopped", func(t *testing.T) {
		d.Kill()
		check(t, "stopped")
		for i, want := range []string{"said running", "said stopped"} {
			if out, err := run(t, "kv", "get", "WORDS", fmt.Sprint("two ", []string{"running", "stopped"}[i])); err != nil || out != want {
				t.Errorf("got %q, %v, want %q", out, err, want)
			}
		}
	})
}
