package project

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// objects reads durable_objects.bindings.
func (l *loader) objects() {
	c := l.get("durable_objects")
	c.Only("bindings", "code_update_strategy")
	for _, b := range c.Get("bindings").Tables() {
		b.Only("name", "class_name", "script_name", "environment")
		name, ok := b.Get("name").Required()
		class, classOK := l.class(b.Get("class_name"))
		if !ok || !classOK || !l.bind(name, b.Get("name")) {
			continue
		}
		if script, ok := l.worker(b, "script_name"); ok && script != l.config.Name {
			l.config.FarObjects = append(l.config.FarObjects, FarObject{Name: name, Worker: script, Class: class})
			l.config.farAt[name] = b.Get("script_name")
			continue
		}
		l.config.Objects = append(l.config.Objects, ObjectBinding{Name: name, Class: class})
		if _, known := l.config.boundAt[class]; !known {
			l.config.boundAt[class] = b.Get("class_name")
		}
	}
}

// class reads the name of a class.
func (l *loader) class(c source.Cursor) (string, bool) {
	name, ok := c.Required()
	if ok && (!className.MatchString(name) || len(name) > maxName) {
		c.Errorf("It is the name under which the entry point exports the class.", "%q cannot be the name of a class", name)
		return "", false
	}
	return name, ok
}

// worker reads the name of a Worker that a binding leads to, in an environment if
// it names one.
func (l *loader) worker(b source.Cursor, key string) (string, bool) {
	name, ok := b.Get(key).Text()
	if !ok || name == "" {
		return "", false
	}
	if env, ok := b.Get("environment").Text(); ok && env != "" {
		name += "-" + env
	}
	if !workerName.MatchString(name) || len(name) > maxName {
		b.Get(key).Errorf("It is the \"name\" of that Worker's wrangler file.", "%q cannot be the name of a Worker", name)
		return "", false
	}
	return name, true
}

// vars reads the variables. A value that is no string stays what it is in JSON.
func (l *loader) vars() {
	for _, m := range l.get("vars").Members() {
		if m.Node().Kind == source.Null || !l.bind(m.Key(), m) {
			continue
		}
		value, err := m.Node().JSON()
		if err != nil {
			hint := ""
			if m.Node().Kind == source.Date {
				hint = "Write it in quotes."
			}
			m.Errorf(hint, "%q: %v", m.Path(), err)
			continue
		}
		l.config.Vars = append(l.config.Vars, Var{Name: m.Key(), Value: value})
	}
}

// others reads the bindings of every other kind that Dormouse has or will have.
func (l *loader) others() {
	l.assets()
	for _, c := range l.get("kv_namespaces").Tables() {
		c.Only("binding", "id", "preview_id", "remote")
		if name, ok := l.binding(c); ok {
			id := l.store(c, "id", name)
			l.config.KV = append(l.config.KV, KVNamespace{Binding: name, ID: id, Preview: preview(c, "preview_id", id)})
		}
	}
	for _, c := range l.get("r2_buckets").Tables() {
		c.Only("binding", "bucket_name", "preview_bucket_name", "jurisdiction", "remote", "local_dev")
		if name, ok := l.binding(c); ok {
			bucket := l.store(c, "bucket_name", name)
			l.config.R2 = append(l.config.R2, R2Bucket{Binding: name, Bucket: bucket, Preview: preview(c, "preview_bucket_name", bucket)})
		}
	}
	for _, c := range l.get("services").Tables() {
		l.service(c)
	}
	limits := l.get("limits")
	limits.Only("cpu_ms", "subrequests")
	if ms, ok := limits.Get("cpu_ms").Int(); ok {
		l.config.Limits.CPU = time.Duration(min(ms, int64(time.Hour/time.Millisecond))) * time.Millisecond
	}
	l.config.Limits.Subrequests, _ = limits.Get("subrequests").Int()
}

// store reads the name of a KV namespace or a bucket: without one it has that of
// its binding, as in wrangler dev. Workers of one data folder that name the same
// share it.
func (l *loader) store(c source.Cursor, key, binding string) string {
	if remote, _ := c.Get("remote").Bool(); remote {
		c.Get("remote").Errorf("Remove it: what is stored is kept on this machine, in the data folder.", "%q is not supported: Dormouse does not reach stores at Cloudflare", c.Get("remote").Path())
	}
	name, ok := c.Get(key).Text()
	if !ok || name == "" {
		return binding
	}
	if len(name) > maxStoreName {
		c.Get(key).Errorf("", "%q is longer than %d bytes", c.Get(key).Path(), maxStoreName)
	}
	return name
}

// preview reads the name that wrangler dev has for a KV namespace or a bucket.
// Nothing is kept under it here.
func preview(c source.Cursor, key, name string) string {
	if text, ok := c.Get(key).Text(); ok && text != "" {
		return text
	}
	return name
}

// maxStoreName bounds the name of a store: it becomes that of a folder.
const maxStoreName = 64

// binding reads the name that a binding puts into env.
func (l *loader) binding(c source.Cursor) (string, bool) {
	name, ok := c.Get("binding").Required()
	return name, ok && l.bind(name, c.Get("binding"))
}

func (l *loader) service(c source.Cursor) {
	c.Only("binding", "service", "entrypoint", "environment", "props", "remote")
	name, ok := l.binding(c)
	if _, there := c.Get("service").Required(); !there {
		return
	}
	service, serviceOK := l.worker(c, "service")
	if !ok || !serviceOK {
		return
	}
	if remote, _ := c.Get("remote").Bool(); remote {
		c.Get("remote").Errorf("Remove it, and serve that Worker beside this one.", "%q is not supported: Dormouse does not reach Workers at Cloudflare", c.Get("remote").Path())
	}
	s := Service{Binding: name, Service: service}
	l.config.farAt[name] = c.Get("service")
	if entry, ok := c.Get("entrypoint").Text(); ok && entry != "default" {
		s.Entrypoint = entry
		if !className.MatchString(entry) {
			c.Get("entrypoint").Errorf("It is the name under which that Worker's entry point exports it.", "%q cannot be the name of an entrypoint", entry)
		}
	}
	if props := c.Get("props"); props.Members() != nil {
		var err error
		if s.Props, err = props.Node().JSON(); err != nil {
			props.Errorf("", "%q: %v", props.Path(), err)
		}
	}
	l.config.Services = append(l.config.Services, s)
}

func (l *loader) assets() {
	c := l.get("assets")
	if !c.Exists() {
		return
	}
	c.Only("directory", "binding", "base_path", "html_handling", "not_found_handling", "run_worker_first")
	a := &Assets{HTMLHandling: "auto-trailing-slash", NotFoundHandling: "none"}
	l.config.Assets = a
	if c.Get("binding").Exists() {
		a.Binding, _ = l.binding(c)
	}
	a.BasePath, _ = c.Get("base_path").Text()
	if s, ok := c.Get("html_handling").OneOf("auto-trailing-slash", "force-trailing-slash", "drop-trailing-slash", "none"); ok {
		a.HTMLHandling = s
	}
	if s, ok := c.Get("not_found_handling").OneOf("single-page-application", "404-page", "none"); ok {
		a.NotFoundHandling = s
	}
	l.workerFirst(a, c.Get("run_worker_first"))
	l.assetsDirectory(a, c.Get("directory"))
}

func (l *loader) workerFirst(a *Assets, c source.Cursor) {
	if n := c.Node(); n != nil && n.Kind == source.Bool {
		a.WorkerFirst = n.Bool
		return
	}
	for _, item := range c.Items() {
		path, ok := item.Text()
		if !ok {
			continue
		}
		if !strings.HasPrefix(strings.TrimPrefix(path, "!"), "/") {
			item.Errorf("Begin it with / or !/.", "%q is not a path", path)
		}
		a.WorkerFirstPaths = append(a.WorkerFirstPaths, path)
	}
}

func (l *loader) assetsDirectory(a *Assets, c source.Cursor) {
	dir, ok := c.Required()
	if !ok {
		return
	}
	a.Directory = l.path(dir)
	if findKey("assets").standing != supported || l.config.Build.Command != "" {
		return // nobody will look, or the build command makes it
	}
	info, err := os.Stat(a.Directory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Errorf("Make it, or remove \"assets\".", "the folder %s is not there", source.Display(a.Directory))
	case err != nil:
		c.Errorf("", "%v", asProblem(a.Directory, err))
	case !info.IsDir():
		c.Errorf("", "%s is not a folder", source.Display(a.Directory))
	}
}

// bundling reads what decides how the modules become one.
func (l *loader) bundling() {
	b := &l.config.Bundle
	b.Define = l.get("define").StringMap()
	b.Alias = l.get("alias").StringMap()
	b.JSXFactory, _ = l.get("jsx_factory").Text()
	b.JSXFragment, _ = l.get("jsx_fragment").Text()
	b.Minify, _ = l.get("minify").Bool()
	b.KeepNames = true // wrangler's default
	if keep, ok := l.get("keep_names").Bool(); ok {
		b.KeepNames = keep
	}
	if c := l.get("tsconfig"); c.Exists() {
		if file, ok := c.Required(); ok {
			b.TSConfig = l.path(file)
			if _, err := os.Stat(b.TSConfig); err != nil {
				c.Errorf("", "%v", asProblem(b.TSConfig, err))
			}
		}
	}
	for _, c := range l.get("rules").Tables() {
		l.rule(c)
	}
}

func (l *loader) rule(c source.Cursor) {
	c.Only("type", "globs", "fallthrough")
	if !c.Get("type").Exists() {
		c.Get("type").Required()
		return
	}
	kind, ok := c.Get("type").OneOf(string(RuleESModule), string(RuleCommonJS), string(RuleCompiledWasm),
		string(RuleText), string(RuleData), string(RulePython), string(RulePythonReq))
	if !ok {
		return
	}
	r := Rule{Type: RuleType(kind), Globs: c.Get("globs").Strings()}
	if len(r.Globs) == 0 {
		c.Errorf("Say which files it is for: \"globs\": [\"**/*.txt\"].", "%q has no globs", c.Path())
	}
	if through, ok := c.Get("fallthrough").Bool(); ok {
		r.Fallthrough = &through
	}
	l.config.Bundle.Rules = append(l.config.Bundle.Rules, r)
}
