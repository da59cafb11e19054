package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// classWorker is a Worker with one class of objects, under the name "Vault"
// in its binding.
func classWorker(t *testing.T, dir, class string, migrations ...string) {
	t.Helper()
	for name, content := range map[string]string{
		"wrangler.jsonc": fmt.Sprintf(`{"name": "moving", "main": "index.js", "compatibility_date": "2026-11-17",
			"durable_objects": {"bindings": [{"name": "OBJECTS", "class_name": %q}]}, "migrations": [%s]}`, class, strings.Join(migrations, ", ")),
		"index.js": fmt.Sprintf(`import { DurableObject } from "cloudflare:workers";
			export class %s extends DurableObject {
				async fetch(request) {
					const operation = new URL(request.url).pathname.split("/").at(-1), argument = await request.json();
					try {
						if (operation === "id") return Response.json(this.ctx.id.toString());
						if (operation === "put") await this.ctx.storage.put(argument.key, argument.value);
						if (operation === "sql") this.ctx.storage.sql.exec(argument);
						return Response.json(operation === "get" ? (await this.ctx.storage.get(argument)) ?? null : null);
					} catch (e) {
						return Response.json(String(e));
					}
				}
			}
			export default {
				fetch(request, env) {
					if (request.method !== "POST") return new Response("ready");
					return env.OBJECTS.getByName(new URL(request.url).pathname.split("/")[1]).fetch(request);
				}
			};`, class),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// serveClass serves the Worker of classWorker over a data folder.
func serveClass(t *testing.T, dir, data, class string, migrations ...string) (Vault, *Dormouse) {
	t.Helper()
	classWorker(t, dir, class, migrations...)
	d := StartDormouse(t, Options{Dir: dir, Data: data})
	return Vault{t, d.URL}, d
}

func TestClassMigrations(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	serve := func(class string, migrations ...string) (Vault, *Dormouse) {
		t.Helper()
		return serveClass(t, dir, data, class, migrations...)
	}
	refused := func(want, class string, migrations ...string) {
		t.Helper()
		classWorker(t, dir, class, migrations...)
		out, err := TryCommand(t, "serve", dir, "--data", data, "--listen", freeAddr(t), "--admin", "off", "--node", need[string](t)(findNode(t.Context())))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v (%s), want %q", err, out, want)
		}
	}
	const v1 = `{"tag": "v1", "new_sqlite_classes": ["Room"]}`
	const v2 = `{"tag": "v2", "renamed_classes": [{"from": "Room", "to": "Hall"}]}`
	const v3 = `{"tag": "v3", "new_classes": ["Old"], "deleted_classes": ["Hall"]}`

	v, d := serve("Room", v1)
	Ask[any](v, "box", "put", map[string]any{"key": "k", "value": "kept"})
	id := Ask[string](v, "box", "id", nil)
	d.Interrupt()

	// Renamed: the same ids, the same data.
	v, d = serve("Hall", v1, v2)
	if got := Ask[string](v, "box", "get", "k"); got != "kept" {
		t.Errorf("renamed, the object has %q", got)
	}
	if got := Ask[string](v, "box", "id", nil); got != id {
		t.Errorf("renamed, the object is %s, was %s", got, id)
	}
	if out := Command(t, "storage", "kv", "get", "moving-Room", id, "k", "--data", data); out != "'kept'\n" {
		t.Errorf("an operator finds %q", out)
	}
	d.Interrupt()

	// What cannot be is refused, and changes nothing.
	refused(`knows no class "Nobody"`, "Hall", v1, v2, `{"tag": "v3", "deleted_classes": ["Nobody"]}`)
	refused(`"Hall" is bound, but gone`, "Hall", v1, v2, v3)
	refused(`stands before "v1"`, "Hall", `{"tag": "v0"}`, v1, v2)

	// Deleted: set aside until it is purged. Beside it the older storage.
	v, d = serve("Old", v1, v2, v3)
	if got := Ask[*string](v, "box", "get", "k"); got != nil {
		t.Errorf("another class has %q", *got)
	}
	if got := Ask[string](v, "box", "sql", "SELECT 1"); !strings.Contains(got, "SQL is not enabled for this Durable Object class.") {
		t.Errorf("SQL with the older storage: %q", got)
	}
	if got := Ask[string](v, "box", "put", map[string]any{"key": "k", "value": strings.Repeat("x", 131_073)}); !strings.Contains(got, "Values cannot be larger than 131072 bytes.") {
		t.Errorf("a large value with the older storage: %q", got)
	}
	if _, err := TryCommand(t, "storage", "purge", "--data", data); err == nil || !strings.Contains(err.Error(), "stop the server first") {
		t.Errorf("purged while the server runs: %v", err)
	}
	d.Interrupt()
	if out := Command(t, "storage", "purge", "--data", data); !strings.Contains(out, "moving-Room  Hall") {
		t.Errorf("set aside is\n%s", out)
	}
	for want, args := range map[string][]string{"say --yes": {"moving-Room"}, "no deleted class": {"moving-Old", "--yes"}} {
		if _, err := TryCommand(t, append([]string{"storage", "purge", "--data", data}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("purge %v: %v, want %q", args, err, want)
		}
	}
	if out := Command(t, "storage", "purge", "moving-Room", "--yes", "--data", data); !strings.HasPrefix(out, "removed 1 objects") {
		t.Errorf("purge said %q", out)
	}
	if out := Command(t, "objects", "list", "--data", data); strings.Contains(out, id) {
		t.Errorf("purged, there is still\n%s", out)
	}
}
