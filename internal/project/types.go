package project

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// TypesFile is the name under which the types of a project's env are written, as
// by wrangler.
const TypesFile = "worker-configuration.d.ts"

// Types declares the Worker's env in TypeScript, for @cloudflare/workers-types,
// in a file of the folder dir. other finds Workers whose files are there, by their
// names; nil: there is none, and bindings to it have general types.
//
// Wrangler: `wrangler types`, without those of the runtime.
func (c *Config) Types(dir string, other func(name string) *Config) []byte {
	t := typing{config: c, dir: dir, other: other}
	for _, v := range c.Vars {
		t.variable(v)
	}
	for _, k := range c.KV {
		t.member(k.Binding, "KVNamespace", "")
	}
	for _, b := range c.R2 {
		t.member(b.Binding, "R2Bucket", "")
	}
	for _, o := range c.Objects {
		t.objects(o.Name, c.Name, o.Class)
	}
	for _, o := range c.FarObjects {
		t.objects(o.Name, o.Worker, o.Class)
	}
	for _, s := range c.Services {
		t.service(s)
	}
	if c.Assets != nil && c.Assets.Binding != "" {
		t.member(c.Assets.Binding, "Fetcher", "")
	}
	for _, m := range c.Missing {
		t.member(m.Name, "unknown", m.What+": not offered by Dormouse")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "/* eslint-disable */\n// Written by `dormouse types` from %s: write it again when that, or .dev.vars, changes.\n", filepath.Base(c.File))
	b.WriteString("declare namespace Cloudflare {\n")
	if in := t.module(c.Name); in != "" {
		fmt.Fprintf(&b, "\tinterface GlobalProps {\n\t\tmainModule: typeof %s;\n", in)
		if len(c.Classes) > 0 {
			names := make([]string, len(c.Classes))
			for i, k := range c.Classes {
				names[i] = quoted(k.Name)
			}
			fmt.Fprintf(&b, "\t\tdurableNamespaces: %s;\n", strings.Join(names, " | "))
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("\tinterface Env {\n")
	b.Write(t.members.Bytes())
	b.WriteString("\t}\n}\ninterface Env extends Cloudflare.Env {}\n")
	return b.Bytes()
}

type typing struct {
	config  *Config
	dir     string
	other   func(string) *Config
	members bytes.Buffer
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// member writes one; note stands behind it.
func (t *typing) member(name, is, note string) {
	if !identifier.MatchString(name) {
		name = quoted(name)
	}
	if note != "" {
		note = " // " + note
	}
	fmt.Fprintf(&t.members, "\t\t%s: %s;%s\n", name, is, note)
}

// variable is of the type of its value, which is known: JSON reads as a type.
func (t *typing) variable(v Var) {
	is := "string"
	var compact bytes.Buffer
	if !v.Secret && json.Compact(&compact, v.Value) == nil {
		is = compact.String()
	}
	t.member(v.Name, is, "")
}

// quoted is a string of TypeScript.
func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// worker finds the files of a Worker; nil: they are not known.
func (t *typing) worker(name string) *Config {
	if name == t.config.Name {
		return t.config
	}
	return t.other(name)
}

// module imports the entry point of a Worker, if that has types.
func (t *typing) module(worker string) string {
	w := t.worker(worker)
	if w == nil {
		return ""
	}
	path, err := filepath.Rel(t.dir, w.Main)
	if err != nil {
		return ""
	}
	path = filepath.ToSlash(path)
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	switch filepath.Ext(path) {
	case ".ts", ".tsx":
		path = stem
	case ".mts":
		path = stem + ".mjs"
	default:
		return ""
	}
	if !strings.HasPrefix(path, ".") {
		path = "./" + path
	}
	return "import(" + quoted(path) + ")"
}

// objects is a namespace of a class.
func (t *typing) objects(name, worker, class string) {
	if in := t.module(worker); in != "" {
		t.member(name, "DurableObjectNamespace<"+in+"."+class+">", "")
		return
	}
	t.member(name, "DurableObjectNamespace", class+" of "+worker)
}

// service is an entrypoint of a Worker.
func (t *typing) service(s Service) {
	entry := s.Entrypoint
	if entry == "" {
		entry = "default"
	}
	if in := t.module(s.Service); in != "" {
		t.member(s.Binding, "Service<typeof "+in+"."+entry+">", "")
		return
	}
	t.member(s.Binding, "Fetcher", entry+" of "+s.Service)
}
