package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/compat"
	"github.com/evanw/esbuild/pkg/api"
)

// Namespaces of the modules that are no files of their own.
const (
	required = "required" // what require() gives for a module of the runtime
	wasm     = "wasm"     // a WebAssembly.Module of a file
	data     = "data"     // an ArrayBuffer of a file
	bytes    = "bytes"    // a Uint8Array of a file, which the two before import
	text     = "text"     // a string of a file
)

// step marks a resolution that a plugin itself asks for, so that it does not
// answer its own question.
type step string

// plugins are asked in this order, and the first that answers decides.
func (b *builder) plugins() []api.Plugin {
	return []api.Plugin{
		{Name: "alias", Setup: b.alias},
		{Name: "rules", Setup: b.rules},
		{Name: "runtime modules", Setup: b.runtimeModules},
		{Name: "inputs", Setup: b.recordInputs},
	}
}

// recordInputs sees every file before esbuild loads it, so that a build that
// fails knows its files too.
func (b *builder) recordInputs(build api.PluginBuild) {
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "file"}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
		b.input(args.Path)
		return api.OnLoadResult{}, nil
	})
}

// alias replaces whole import paths; the replacement is resolved from the
// project's folder. Unlike esbuild's own, it does not touch longer paths that
// begin with an alias: wrangler's does not.
func (b *builder) alias(build api.PluginBuild) {
	aliases := b.config.Bundle.Alias
	if len(aliases) == 0 {
		return
	}
	build.OnResolve(api.OnResolveOptions{Filter: anyOf(aliases)}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		if args.PluginData == step("alias") {
			return api.OnResolveResult{}, nil
		}
		r := build.Resolve(aliases[args.Path], api.ResolveOptions{
			Importer: args.Importer, ResolveDir: b.config.Dir, Kind: args.Kind, PluginData: step("alias"),
		})
		return resolved(r), nil
	})
}

func resolved(r api.ResolveResult) api.OnResolveResult {
	effects := api.SideEffectsTrue
	if !r.SideEffects {
		effects = api.SideEffectsFalse
	}
	return api.OnResolveResult{
		Errors: r.Errors, Warnings: r.Warnings, Path: r.Path, External: r.External,
		Namespace: r.Namespace, Suffix: r.Suffix, PluginData: r.PluginData, SideEffects: effects,
	}
}

// anyOf is the expression for exactly one of the keys.
func anyOf[V any](keys map[string]V) string {
	var quoted []string
	for key := range keys {
		quoted = append(quoted, regexp.QuoteMeta(key))
	}
	slices.Sort(quoted)
	return "^(" + strings.Join(quoted, "|") + ")$"
}

// runtimeModules leaves cloudflare:, node: and workerd: modules to the guest.
func (b *builder) runtimeModules(build api.PluginBuild) {
	build.OnResolve(api.OnResolveOptions{Filter: "^(cloudflare|node|workerd):"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		return b.external(args, args.Path), nil
	})
	build.OnResolve(api.OnResolveOptions{Filter: "^(" + strings.Join(builtins, "|") + ")$"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		return b.builtin(build, args), nil
	})
	// A CommonJS module cannot require() what only import gives, so the module
	// that it gets instead imports it.
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: required}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
		what := "it" // Node gives a module's default export to require()
		if strings.HasPrefix(args.Path, "cloudflare:") || strings.HasPrefix(args.Path, "workerd:") {
			what = "* as it"
		}
		contents := fmt.Sprintf("import %s from %q;\nmodule.exports = it;\n", what, args.Path)
		return api.OnLoadResult{Contents: &contents, Loader: api.LoaderJS}, nil
	})
}

// external is a module of the runtime, for an import or a require.
func (b *builder) external(args api.OnResolveArgs, path string) api.OnResolveResult {
	r := api.OnResolveResult{Path: path, External: true}
	if args.Kind == api.ResolveJSRequireCall {
		r = api.OnResolveResult{Path: path, Namespace: required}
	}
	if message := b.withoutNode(path); message != nil {
		r.Warnings = append(r.Warnings, *message)
	}
	return r
}

// withoutNode warns, once a module, about node: modules that the Worker's flags
// do not ask for. It is no error: the code that uses them may never run.
func (b *builder) withoutNode(path string) *api.Message {
	switch {
	case !strings.HasPrefix(path, "node:"), b.nodejs(),
		path == "node:async_hooks" && b.has(compat.AsyncLocalStorage):
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told[path] {
		return nil
	}
	b.told[path] = true
	return &api.Message{Text: fmt.Sprintf("%q needs the compatibility flag \"nodejs_compat\"", path), Notes: []api.Note{{Text: flagHint}}}
}

const flagHint = `Add it to the wrangler file: "compatibility_flags": ["nodejs_compat"].`

func (b *builder) nodejs() bool { return b.has(compat.NodeJS) || b.has(compat.NodeJSv2) }

// builtin is one of Node's own modules without the prefix. From nodejs_compat
// version 2 on it always means Node's; before, a package of that name comes
// first.
func (b *builder) builtin(build api.PluginBuild, args api.OnResolveArgs) api.OnResolveResult {
	if args.PluginData == step("builtin") {
		return api.OnResolveResult{}
	}
	if b.has(compat.NodeJSv2) {
		return b.external(args, "node:"+args.Path)
	}
	r := build.Resolve(args.Path, api.ResolveOptions{
		Importer: args.Importer, Namespace: args.Namespace, ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: step("builtin"),
	})
	switch {
	case len(r.Errors) == 0:
		return resolved(r)
	case b.nodejs():
		return b.external(args, "node:"+args.Path)
	}
	return api.OnResolveResult{Errors: []api.Message{{
		Text:  fmt.Sprintf("Could not resolve %q", args.Path),
		Notes: []api.Note{{Text: fmt.Sprintf("%q is built into Node, and needs the compatibility flag \"nodejs_compat\". ", args.Path) + flagHint}},
	}}}
}

// builtins are Node's modules that may be written without the prefix.
var builtins = []string{
	"_http_agent", "_http_client", "_http_common", "_http_incoming", "_http_outgoing", "_http_server",
	"_stream_duplex", "_stream_passthrough", "_stream_readable", "_stream_transform", "_stream_wrap", "_stream_writable",
	"_tls_common", "_tls_wrap", "assert", "assert/strict", "async_hooks", "buffer", "child_process", "cluster", "console",
	"constants", "crypto", "dgram", "diagnostics_channel", "dns", "dns/promises", "domain", "events", "fs", "fs/promises",
	"http", "http2", "https", "inspector", "inspector/promises", "module", "net", "os", "path", "path/posix", "path/win32",
	"perf_hooks", "process", "punycode", "querystring", "readline", "readline/promises", "repl", "stream",
	"stream/consumers", "stream/promises", "stream/web", "string_decoder", "sys", "timers", "timers/promises", "tls",
	"trace_events", "tty", "url", "util", "util/types", "v8", "vm", "wasi", "worker_threads", "zlib",
}

// rules makes modules of files that are no code, by wrangler's rules: a file is
// chosen by what the import says, not by where the file lies.
func (b *builder) rules(build api.PluginBuild) {
	// First, for a rule would match this path too.
	build.OnResolve(api.OnResolveOptions{Filter: "^" + bytes + ":"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		if args.Namespace != wasm && args.Namespace != data {
			return api.OnResolveResult{}, nil
		}
		return api.OnResolveResult{Path: strings.TrimPrefix(args.Path, bytes+":"), Namespace: bytes, PluginData: args.PluginData}, nil
	})
	used, removed := splitRules(b.config.Bundle.Rules)
	for _, r := range used {
		namespace := map[project.RuleType]string{project.RuleText: text, project.RuleData: data, project.RuleCompiledWasm: wasm}[r.Type]
		if namespace == "" {
			continue // code is bundled by being imported
		}
		for _, glob := range r.Globs {
			build.OnResolve(api.OnResolveOptions{Filter: globFilter(glob)}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
				return b.file(build, args, namespace), nil
			})
		}
	}
	for _, r := range removed {
		for _, glob := range r.Globs {
			build.OnResolve(api.OnResolveOptions{Filter: globFilter(glob)}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
				return shadowed(args, r), nil
			})
		}
	}
	b.loadFiles(build)
}

func shadowed(args api.OnResolveArgs, r project.Rule) api.OnResolveResult {
	if args.PluginData == step("rules") {
		return api.OnResolveResult{}
	}
	return api.OnResolveResult{Errors: []api.Message{{
		Text: fmt.Sprintf("%q matches a rule that is not in force", args.Path),
		Notes: []api.Note{{Text: fmt.Sprintf("The rule %s %q comes after another rule of the same type. "+
			"Add \"fallthrough\": true to that one in the wrangler file.", r.Type, r.Globs)}},
	}}}
}

// file resolves an import that a rule matched. Paths in our namespaces are
// relative to the project, because esbuild writes them into its output.
func (b *builder) file(build api.PluginBuild, args api.OnResolveArgs, namespace string) api.OnResolveResult {
	if args.PluginData == step("rules") {
		return api.OnResolveResult{}
	}
	clean, _, _ := strings.Cut(args.Path, "?")
	r := build.Resolve(clean, api.ResolveOptions{
		Importer: args.Importer, Namespace: args.Namespace, ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: step("rules"),
	})
	path := r.Path
	if len(r.Errors) > 0 {
		// wrangler's rules find files without "./", too.
		path = filepath.Join(args.ResolveDir, clean)
		if _, err := os.Stat(path); err != nil {
			return api.OnResolveResult{Errors: r.Errors}
		}
	}
	b.input(path)
	name, err := filepath.Rel(b.config.Dir, path)
	if err != nil {
		name = path
	}
	return api.OnResolveResult{Path: filepath.ToSlash(name), Namespace: namespace, PluginData: path}
}

// loadFiles writes the modules of files. A file's bytes are a module of their
// own, which source maps leave out.
func (b *builder) loadFiles(build api.PluginBuild) {
	code := func(namespace, export string) {
		build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: namespace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			contents := fmt.Sprintf("import bytes from %q;\nexport default %s;\n", bytes+":"+args.Path, export)
			return api.OnLoadResult{Contents: &contents, Loader: api.LoaderJS, PluginData: args.PluginData}, nil
		})
	}
	code(wasm, "new WebAssembly.Module(bytes)")
	code(data, "bytes.buffer")
	contents := func(namespace string, loader api.Loader) {
		build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: namespace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
			path, _ := args.PluginData.(string)
			raw, err := os.ReadFile(path)
			if err != nil {
				return api.OnLoadResult{}, err
			}
			contents := string(raw)
			return api.OnLoadResult{Contents: &contents, Loader: loader}, nil
		})
	}
	contents(bytes, api.LoaderBinary)
	contents(text, api.LoaderText)
}
