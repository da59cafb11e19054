package project

import "github.com/dormouse-dev/dormouse/internal/project/source"

// standing is how Dormouse takes a key of the wrangler file.
type standing uint8

const (
	supported standing = iota // it does what it says
	harmless                  // it speaks to Cloudflare's tools; ignored in silence
	idle                      // ignored with a warning: it cannot change how the Worker behaves
	refused                   // the Worker cannot behave as written; the start stops
)

// key is a top-level key of the wrangler file.
type key struct {
	name     string
	standing standing
	reach    reach
	what     string // for refused and idle: what it is, for a sentence
	binding  bool   // it puts names into env, which can be made to throw
	hint     string // for refused: a better hint than the usual one
}

// reach is how a key behaves under an environment.
type reach uint8

const (
	inherited    reach = iota // an environment without it has the top level's
	notInherited              // an environment without it has none
	topOnly                   // it may not stand in an environment
)

// keys is every top-level key that wrangler 4.164.0 knows, and some that older
// ones did.
var keys = []key{
	{name: "name", standing: supported},
	{name: "main", standing: supported},
	{name: "compatibility_date", standing: supported},
	{name: "compatibility_flags", standing: supported},
	{name: "migrations", standing: supported},
	{name: "exports", standing: supported},
	{name: "rules", standing: supported},
	{name: "tsconfig", standing: supported},
	{name: "jsx_factory", standing: supported},
	{name: "jsx_fragment", standing: supported},
	{name: "build", standing: supported},
	{name: "limits", standing: supported},
	{name: "minify", standing: supported},
	{name: "keep_names", standing: supported},
	{name: "durable_objects", standing: supported, reach: notInherited},
	{name: "vars", standing: supported, reach: notInherited},
	{name: "secrets", standing: supported, reach: notInherited},
	{name: "define", standing: supported, reach: notInherited},
	{name: "alias", standing: supported, reach: topOnly},
	{name: "env", standing: supported, reach: topOnly},

	{name: "assets", standing: supported},
	{name: "kv_namespaces", standing: supported, reach: notInherited},
	{name: "r2_buckets", standing: supported, reach: notInherited},
	{name: "services", standing: supported, reach: notInherited},

	{name: "$schema", standing: harmless, reach: topOnly},
	{name: "account_id", standing: harmless},
	{name: "compliance_region", standing: harmless},
	{name: "dependencies_instrumentation", standing: harmless, reach: topOnly},
	{name: "dev", standing: harmless, reach: topOnly},
	{name: "first_party_worker", standing: harmless},
	{name: "keep_vars", standing: harmless, reach: topOnly},
	{name: "legacy_env", standing: harmless},
	{name: "logpush", standing: harmless},
	{name: "observability", standing: harmless},
	{name: "placement", standing: harmless},
	{name: "preserve_file_names", standing: harmless},
	{name: "preview_urls", standing: harmless},
	{name: "previews", standing: harmless},
	{name: "route", standing: harmless},
	{name: "routes", standing: harmless},
	{name: "send_metrics", standing: harmless, reach: topOnly},
	{name: "type", standing: harmless, reach: topOnly},
	{name: "upload_source_maps", standing: harmless},
	{name: "usage_model", standing: harmless},
	{name: "workers_dev", standing: harmless},
	{name: "zone_id", standing: harmless},

	{name: "base_dir", standing: idle, what: "Dormouse bundles what the entry point imports"},
	{name: "cache", standing: idle, what: "Dormouse does not cache responses"},
	{name: "no_bundle", standing: idle, what: "Dormouse bundles every Worker"},
	{name: "streaming_tail_consumers", standing: idle, reach: notInherited, what: "Dormouse has no tail Workers"},
	{name: "tail_consumers", standing: idle, reach: notInherited, what: "Dormouse has no tail Workers"},

	{name: "access", standing: refused, what: "Cloudflare Access", hint: "Without it anyone could reach the Worker. Put an authenticating proxy in front, and remove the key."},
	{name: "addresses", standing: refused, reach: topOnly, what: "incoming mail"},
	{name: "agent_memory", standing: refused, reach: notInherited, what: "Agent Memory", binding: true},
	{name: "ai", standing: refused, reach: notInherited, what: "Workers AI", binding: true},
	{name: "ai_search", standing: refused, reach: notInherited, what: "AI Search", binding: true},
	{name: "ai_search_namespaces", standing: refused, reach: notInherited, what: "AI Search", binding: true},
	{name: "analytics", standing: refused, reach: notInherited, what: "Analytics SQL", binding: true},
	{name: "analytics_engine_datasets", standing: refused, reach: notInherited, what: "Analytics Engine", binding: true},
	{name: "artifacts", standing: refused, reach: notInherited, what: "Artifacts", binding: true},
	{name: "browser", standing: refused, reach: notInherited, what: "Browser Rendering", binding: true},
	{name: "cloudchamber", standing: refused, reach: notInherited, what: "containers"},
	{name: "connect", standing: refused, reach: notInherited, what: "raw sockets"},
	{name: "containers", standing: refused, reach: notInherited, what: "containers"},
	{name: "d1_databases", standing: refused, reach: notInherited, what: "D1", binding: true},
	{name: "data_blobs", standing: refused, reach: topOnly, what: "service-worker blobs", hint: importHint},
	{name: "dispatch_namespaces", standing: refused, reach: notInherited, what: "dispatch namespaces", binding: true},
	{name: "find_additional_modules", standing: refused, what: "modules that no import names", hint: importHint},
	{name: "flagship", standing: refused, reach: notInherited, what: "Flagship", binding: true},
	{name: "hyperdrive", standing: refused, reach: notInherited, what: "Hyperdrive", binding: true},
	{name: "images", standing: refused, reach: notInherited, what: "Images", binding: true},
	{name: "k2", standing: refused, reach: notInherited, what: "K2 streams", binding: true},
	{name: "logfwdr", standing: refused, what: "logfwdr", binding: true},
	{name: "media", standing: refused, reach: notInherited, what: "Media Transformations", binding: true},
	{name: "mtls_certificates", standing: refused, reach: notInherited, what: "client certificates", binding: true},
	{name: "node_compat", standing: refused, what: "the old polyfills", hint: "Use \"compatibility_flags\": [\"nodejs_compat\"] instead."},
	{name: "pages_build_output_dir", standing: refused, reach: topOnly, what: "Pages projects"},
	{name: "pipelines", standing: refused, reach: notInherited, what: "Pipelines", binding: true},
	{name: "python_modules", standing: refused, what: "Python"},
	{name: "queues", standing: refused, reach: notInherited, what: "Queues", binding: true},
	{name: "ratelimits", standing: refused, reach: notInherited, what: "rate limits", binding: true},
	{name: "secrets_store_secrets", standing: refused, reach: notInherited, what: "the Secrets Store", binding: true},
	{name: "send_email", standing: refused, reach: notInherited, what: "outgoing mail", binding: true},
	{name: "site", standing: refused, reach: topOnly, what: "Workers Sites", hint: "Use \"assets\" instead."},
	{name: "stream", standing: refused, reach: notInherited, what: "Stream", binding: true},
	{name: "text_blobs", standing: refused, reach: topOnly, what: "service-worker blobs", hint: importHint},
	{name: "triggers", standing: refused, what: "cron triggers"},
	{name: "unsafe", standing: refused, reach: notInherited, what: "unsafe bindings", binding: true},
	{name: "unsafe_hello_world", standing: refused, reach: notInherited, what: "the example binding", binding: true},
	{name: "vectorize", standing: refused, reach: notInherited, what: "Vectorize", binding: true},
	{name: "version_metadata", standing: refused, reach: notInherited, what: "version metadata", binding: true},
	{name: "vpc_networks", standing: refused, reach: notInherited, what: "VPC networks", binding: true},
	{name: "vpc_services", standing: refused, reach: notInherited, what: "VPC services", binding: true},
	{name: "wasm_modules", standing: refused, reach: topOnly, what: "service-worker blobs", hint: importHint},
	{name: "worker_loaders", standing: refused, reach: notInherited, what: "Worker loaders", binding: true},
	{name: "workflows", standing: refused, reach: notInherited, what: "Workflows", binding: true},
}

const importHint = "Import the file from the Worker's code instead."

// findKey returns the row of a key, or nil.
func findKey(name string) *key {
	for i := range keys {
		if keys[i].name == name {
			return &keys[i]
		}
	}
	return nil
}

// keyNames are the keys that may stand at the top level, or in an environment.
func keyNames(inEnv bool) []string {
	var names []string
	for _, k := range keys {
		if !inEnv || k.reach != topOnly {
			names = append(names, k.name)
		}
	}
	return names
}

// says reports whether a value says anything: `"crons": []` and `false` do not.
func says(n *source.Node) bool {
	switch {
	case n == nil:
		return false
	case n.Kind == source.Bool:
		return n.Bool
	case n.Kind == source.List:
		return len(n.Items) > 0
	case n.Kind == source.Table:
		for _, m := range n.Members {
			if says(m.Value) {
				return true
			}
		}
		return false
	}
	return n.Kind != source.Null
}

// boundNames finds the names that a key puts into env, whichever of wrangler's
// forms it has: {binding}, [{binding}], [{name}], {bindings: [...]},
// {producers: [...]}.
func boundNames(c source.Cursor) []source.Cursor {
	n := c.Node()
	if n == nil {
		return nil
	}
	var names []source.Cursor
	switch n.Kind {
	case source.List:
		for _, item := range c.Items() {
			names = append(names, boundNames(item)...)
		}
	case source.Table:
		for _, k := range []string{"binding", "name"} {
			if m := n.Lookup(k); m != nil && m.Value.Kind == source.String && m.Value.Text != "" {
				return []source.Cursor{c.Get(k)}
			}
		}
		for _, k := range []string{"bindings", "producers"} {
			names = append(names, boundNames(c.Get(k))...)
		}
	}
	return names
}
