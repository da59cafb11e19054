// Package bundle makes one module of a Worker and all that it imports, as
// wrangler would, with esbuild in this process. It knows module resolution and
// never runs what it makes.
package bundle

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/compat"
	"github.com/dormouse-dev/dormouse/internal/project/source"
	"github.com/evanw/esbuild/pkg/api"
)

// Entry is the name of the module that a Bundle is entered by.
const Entry = "index.mjs"

// Bundle is a Worker as one ES module. It imports nothing but cloudflare: and
// node: modules. The caller owns it; nothing changes it.
type Bundle struct {
	// Files are the module and its source map, by name. The module refers to the
	// map, whose sources are absolute, so a stack shows the author's files.
	Files map[string][]byte
	// Hash names the contents in hex: the same project gives the same hash,
	// wherever its folder is.
	Hash string
	// Exports are the names that the entry point exports, sorted.
	Exports []string
	// Inputs are the files that it was made from or looked for, absolute and
	// sorted: what to watch.
	Inputs []string
	// Warnings are for the person who wrote the Worker, formatted.
	Warnings []string
}

// Options are what a bundle depends on beside the project.
type Options struct {
	// NodeEnv is what process.env.NODE_ENV is while modules are chosen and dead
	// code is cut: "development" or "production". Empty means production.
	NodeEnv string
}

// Error is why a Worker could not be bundled.
type Error struct {
	// Messages are esbuild's, their files as the reader would type them.
	Messages []api.Message
	// Inputs are the files that were read until then: a change to one of them
	// may mend it.
	Inputs []string
	text   string
}

// Error gives every message with the line itself and a mark below the place,
// as esbuild's command does.
func (e *Error) Error() string { return e.text }

// Build bundles a project.
func Build(c *project.Config, o Options) (*Bundle, error) {
	b := &builder{config: c, nodeEnv: cmp.Or(o.NodeEnv, "production"), inputs: make(map[string]bool), told: make(map[string]bool)}
	result := api.Build(b.options())
	if len(result.Errors) > 0 {
		messages := b.display(result.Errors)
		return nil, &Error{Messages: messages, Inputs: b.sortedInputs(), text: format(messages, api.ErrorMessage)}
	}
	bundle := &Bundle{Files: make(map[string][]byte), Inputs: b.sortedInputs()}
	for _, f := range result.OutputFiles {
		name, err := filepath.Rel(c.Dir, f.Path)
		if err != nil {
			return nil, fmt.Errorf("bundle %s: %w", source.Display(c.Main), err)
		}
		bundle.Files[filepath.ToSlash(name)] = f.Contents
	}
	bundle.Hash = hash(bundle.Files)
	// After the hash, which must not depend on where the project lies.
	if m := bundle.Files[Entry+".map"]; len(m) > 0 {
		bundle.Files[Entry+".map"] = withSourceRoot(m, c.Dir)
	}
	var err error
	if bundle.Exports, err = exports(result.Metafile); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", source.Display(c.Main), err)
	}
	for _, w := range b.display(result.Warnings) {
		bundle.Warnings = append(bundle.Warnings, format([]api.Message{w}, api.WarningMessage))
	}
	return bundle, nil
}

// Write writes the files into a folder, which is made if it is not there.
func (b *Bundle) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, data := range b.Files {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("write bundle: %q would leave the folder", name)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// builder is one run of esbuild.
type builder struct {
	config  *project.Config
	nodeEnv string

	mu     sync.Mutex // guards the following; plugins run on many goroutines
	inputs map[string]bool
	told   map[string]bool // node: modules that have been warned about
}

func (b *builder) has(f compat.Flag) bool { return b.config.Compat.Has(f) }

func (b *builder) options() api.BuildOptions {
	c := b.config
	return api.BuildOptions{
		EntryPoints:    []string{c.Main},
		AbsWorkingDir:  c.Dir,
		Outfile:        filepath.Join(c.Dir, Entry), // never written: sources are relative to it
		AllowOverwrite: true,

		Bundle:   true,
		Metafile: true,
		Format:   api.FormatESModule,
		// The platform decides the main fields (browser, module, main), the
		// conditions what "exports" of a package gives: as wrangler does.
		Platform:   api.PlatformBrowser,
		Conditions: []string{"workerd", "worker", "browser"},
		// Decorators are newer than this target and so are lowered; what is
		// listed as supported stays as it was written.
		Target:    api.ES2024,
		Supported: map[string]bool{"using": true, "from-base64": true},
		Loader:    map[string]api.Loader{".js": api.LoaderJSX, ".mjs": api.LoaderJSX, ".cjs": api.LoaderJSX},
		Define:    b.defines(),
		Plugins:   b.plugins(),

		Tsconfig:          c.Bundle.TSConfig,
		JSXFactory:        c.Bundle.JSXFactory,
		JSXFragment:       c.Bundle.JSXFragment,
		KeepNames:         c.Bundle.KeepNames,
		MinifyWhitespace:  c.Bundle.Minify,
		MinifyIdentifiers: c.Bundle.Minify,
		MinifySyntax:      c.Bundle.Minify,

		Sourcemap:      api.SourceMapLinked,
		SourcesContent: api.SourcesContentInclude,
		LogLevel:       api.LogLevelSilent,
		LogLimit:       20,
	}
}

func (b *builder) defines() map[string]string {
	env, _ := json.Marshal(b.nodeEnv) // a string always encodes
	d := map[string]string{
		"process.env.NODE_ENV":            string(env),
		"global.process.env.NODE_ENV":     string(env),
		"globalThis.process.env.NODE_ENV": string(env),
	}
	if b.has("global_navigator") {
		d["navigator.userAgent"] = `"Cloudflare-Workers"`
	}
	for name, value := range b.config.Bundle.Define {
		d[name] = value
	}
	return d
}

// input notes a file that the bundle depends on.
func (b *builder) input(path string) {
	b.mu.Lock()
	b.inputs[path] = true
	b.mu.Unlock()
}

// sortedInputs adds the files that esbuild reads without telling.
func (b *builder) sortedInputs() []string {
	c := b.config
	for _, path := range []string{c.Main, c.Bundle.TSConfig, filepath.Join(c.Dir, "tsconfig.json"), filepath.Join(c.Dir, "package.json")} {
		if path != "" {
			b.input(path)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	paths := make([]string, 0, len(b.inputs))
	for path := range b.inputs {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// display makes the files of messages what the reader would type.
func (b *builder) display(messages []api.Message) []api.Message {
	for i := range messages {
		m := &messages[i]
		b.advise(m)
		b.displayLocation(m.Location)
		for j := range m.Notes {
			b.displayLocation(m.Notes[j].Location)
		}
		m.PluginName = "" // our plugins are no news to the author
	}
	return messages
}

// advise replaces advice that is meant for those who call esbuild themselves.
func (b *builder) advise(m *api.Message) {
	m.Notes = slices.DeleteFunc(m.Notes, func(n api.Note) bool { return strings.HasPrefix(n.Text, "You can mark the path ") })
	if path := unresolvedPackage.FindStringSubmatch(m.Text); path != nil && len(m.Notes) == 0 {
		m.Notes = []api.Note{{Text: fmt.Sprintf("If it is a package, install it: npm install %s", path[1])}}
	}
	if strings.HasPrefix(m.Text, "Invalid define ") {
		m.Notes = append(m.Notes, api.Note{Text: fmt.Sprintf("It stands in \"define\" of %s. A text needs quotes within the quotes: \"\\\"text\\\"\".", source.Display(b.config.File))})
	}
}

var unresolvedPackage = regexp.MustCompile(`^Could not resolve "((?:@[\w.-]+/)?[\w-][\w.-]*)[^":]*"$`)

func (b *builder) displayLocation(l *api.Location) {
	if l != nil && (l.Namespace == "" || l.Namespace == "file") && l.File != "" {
		path := l.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(b.config.Dir, path)
		}
		l.File = source.Display(path)
	}
}

func format(messages []api.Message, kind api.MessageKind) string {
	return strings.TrimSpace(strings.Join(api.FormatMessages(messages, api.FormatMessagesOptions{Kind: kind}), ""))
}

// hash covers every name and every byte; lengths keep them apart.
func hash(files map[string][]byte) string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		for _, part := range [][]byte{[]byte(name), files[name]} {
			var size [8]byte
			binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
			h.Write(size[:])
			h.Write(part)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// withSourceRoot makes the sources of a map, which are relative to the project,
// absolute. esbuild writes an object, and its first byte is the brace.
func withSourceRoot(sourceMap []byte, dir string) []byte {
	root := url.URL{Scheme: "file", Path: filepath.ToSlash(dir) + "/"}
	text, _ := json.Marshal(root.String()) // a string always encodes
	return slices.Concat([]byte("{\n  \"sourceRoot\": "), text, []byte(","), sourceMap[1:])
}

// exports takes the names that the entry point exports from the metafile.
func exports(metafile string) ([]string, error) {
	var meta struct {
		Outputs map[string]struct {
			EntryPoint string   `json:"entryPoint"`
			Exports    []string `json:"exports"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, fmt.Errorf("read esbuild's metafile: %w", err)
	}
	for _, o := range meta.Outputs {
		if o.EntryPoint != "" {
			slices.Sort(o.Exports)
			return o.Exports, nil
		}
	}
	return nil, fmt.Errorf("esbuild's metafile names no entry point")
}
