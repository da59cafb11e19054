package project

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTypes: every kind of binding, in a project that is read from its files, as
// TypeScript sees it. `make types` compiles conformance/neighbours against what is
// written for it.
func TestTypes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"api/src/index.ts": "", "rooms/main.mts": "", "old/index.js": "", "api/public/index.html": "",
		"api/.dev.vars": "KEY=1\n",
		"api/wrangler.jsonc": `{ "name": "api", "main": "src/index.ts", "compatibility_date": "2026-01-01",
			"durable_objects": { "bindings": [
				{ "name": "MINE", "class_name": "Mine" },
				{ "name": "ROOM", "class_name": "Room", "script_name": "rooms" },
				{ "name": "OLD", "class_name": "Hall", "script_name": "old" },
				{ "name": "LOST", "class_name": "Hall", "script_name": "lost" } ] },
			"migrations": [{ "tag": "v1", "new_sqlite_classes": ["Mine", "Other"] }],
			"services": [
				{ "binding": "ROOMS", "service": "rooms" }, { "binding": "ADMIN", "service": "rooms", "entrypoint": "Admin" },
				{ "binding": "SELF", "service": "api", "entrypoint": "Self" }, { "binding": "FAR", "service": "far", "entrypoint": "Far" } ],
			"kv_namespaces": [{ "binding": "KV", "id": "x" }], "r2_buckets": [{ "binding": "BUCKET", "bucket_name": "b" }],
			"assets": { "directory": "public", "binding": "ASSETS" }, "ai": { "binding": "AI" },
			"secrets": { "required": ["TOKEN", "KEY"] },
			"vars": { "NAME": "a\"pi", "LEVEL": -3, "DEEP": { "a": [1, true, null] }, "odd-\u0001name": "1" } }`,
		"rooms/wrangler.jsonc": `{ "name": "rooms", "main": "main.mts", "compatibility_date": "2026-01-01" }`,
		"old/wrangler.jsonc":   `{ "name": "old", "main": "index.js", "compatibility_date": "2026-01-01" }`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	load := func(name string) *Config {
		c, err := Load(Options{Dir: filepath.Join(dir, name), Now: now, AllowMissing: true, LookupEnv: func(string) (string, bool) { return "", true }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	got := string(load("api").Types(filepath.Join(dir, "api"), beside(load("rooms"), load("old"))))
	want := `/* eslint-disable */
// Written by ` + "`dormouse types`" + ` from wrangler.jsonc: write it again when that, or .dev.vars, changes.
declare namespace Cloudflare {
	interface GlobalProps {
		mainModule: typeof import("./src/index");
		durableNamespaces: "Mine" | "Other";
	}
	interface Env {
		NAME: "a\"pi";
		LEVEL: -3;
		DEEP: {"a":[1,true,null]};
		"odd-\u0001name": "1";
		KEY: string;
		TOKEN: string;
		KV: KVNamespace;
		BUCKET: R2Bucket;
		MINE: DurableObjectNamespace<import("./src/index").Mine>;
		ROOM: DurableObjectNamespace<import("../rooms/main.mjs").Room>;
		OLD: DurableObjectNamespace; // Hall of old
		LOST: DurableObjectNamespace; // Hall of lost
		ROOMS: Service<typeof import("../rooms/main.mjs").default>;
		ADMIN: Service<typeof import("../rooms/main.mjs").Admin>;
		SELF: Service<typeof import("./src/index").Self>;
		FAR: Fetcher; // Far of far
		ASSETS: Fetcher;
		AI: unknown; // Workers AI: not offered by Dormouse
	}
}
interface Env extends Cloudflare.Env {}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
