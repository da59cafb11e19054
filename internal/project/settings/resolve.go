package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// FileName is the name of the file, beside the wrangler file.
const FileName = "dormouse.jsonc"

// Inputs are where values may come from.
type Inputs struct {
	// Dir is the project's folder.
	Dir string
	// File is --config. Empty: DORMOUSE_CONFIG, else dormouse.jsonc in Dir, which
	// need not be there.
	File string
	// Flags are the values of the flags that were given, by the setting's name.
	Flags map[string]string
	// Environ is the environment, as os.Environ gives it.
	Environ []string
	// Classes are the classes that there are; nil: take any name.
	Classes []string
}

// Value is one value and where it came from.
type Value struct {
	Name   string // such as "listen" or "classes.Room.sockets.on_reset"
	Text   string // as it would be written
	Source string // "default", "--listen", "DORMOUSE_LISTEN" or "dormouse.jsonc:3"
}

// Result is what Resolve finds.
type Result struct {
	Settings *Settings
	Values   []Value // one for each setting, then those of single classes
	// Files are those that were read, or would have been: what to watch.
	Files    []string
	Warnings source.Problems
}

// Source is where the value of the setting with this name came from.
func (r *Result) Source(name string) string {
	for _, v := range r.Values {
		if v.Name == name {
			return v.Source
		}
	}
	return ""
}

// Resolve gives every setting its value: that of its flag, else of its
// environment variable, else of the file, else the default. Its error is
// source.Problems: every mistake at once.
func Resolve(in Inputs) (*Result, error) {
	dir, err := filepath.Abs(in.Dir)
	if err != nil {
		return nil, err
	}
	here, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	r := &resolver{
		inputs: in, dir: dir, here: here,
		result:  &Result{Settings: &Settings{}},
		found:   make(map[string]found),
		classes: make(map[string]map[string]found),
	}
	r.environment()
	r.file()
	r.flags()
	r.defaults()
	r.perClass()
	r.together()
	r.report.Sort()
	if err := r.report.Err(); err != nil {
		return nil, err
	}
	r.result.Warnings = r.report.Warnings
	return r.result, nil
}

// found is a value that was given, and how to complain about it.
type found struct {
	value  any
	text   string
	source string
	// problem describes a mistake at the place where the value was given.
	problem func(message, hint string) *source.Problem
}

type resolver struct {
	inputs Inputs
	dir    string // the project's, absolute
	here   string // where Dormouse was started
	report source.Report
	result *Result

	config string // DORMOUSE_CONFIG
	found  map[string]found
	// classes are the values of single classes, by class and setting.
	classes map[string]map[string]found
}

// take parses a value and keeps it in place of what was there.
func (r *resolver) take(into map[string]found, s *Setting, text, dir string, f found) {
	value, err := s.parse(text, dir)
	if err != nil {
		m := asMistake(err)
		r.report.Errors = append(r.report.Errors, f.problem(m.message, m.hint))
		return
	}
	f.value, f.text = value, s.write(value)
	into[s.Name] = f
}

// spoken makes problems about something that stands in no file.
func spoken(name string) func(message, hint string) *source.Problem {
	return func(message, hint string) *source.Problem {
		return &source.Problem{Key: name, Message: name + ": " + message, Hint: hint}
	}
}

// environment reads the variables. It comes first, for it may name the file;
// what the file says then fills only what is missing.
func (r *resolver) environment() {
	names := []string{"CONFIG"} // without the prefix, which makes all of them alike
	byEnv := make(map[string]*Setting)
	for _, s := range table {
		byEnv[s.Env()] = s
		names = append(names, strings.TrimPrefix(s.Env(), "DORMOUSE_"))
	}
	for _, entry := range r.inputs.Environ {
		name, value, _ := strings.Cut(entry, "=")
		switch s := byEnv[name]; {
		case !strings.HasPrefix(name, "DORMOUSE_"), value == "":
		case name == "DORMOUSE_CONFIG":
			r.config = value
		case s != nil:
			r.take(r.found, s, value, r.here, found{source: name, problem: spoken(name)})
		default:
			hint := ""
			if near := source.Suggest(strings.TrimPrefix(name, "DORMOUSE_"), names); near != "" {
				hint = "Did you mean DORMOUSE_" + near + "?"
			}
			r.report.Warnings = append(r.report.Warnings, spoken(name)("no setting has this name", hint))
		}
	}
}

// file reads dormouse.jsonc.
func (r *resolver) file() {
	path, named := filepath.Join(r.dir, FileName), ""
	switch {
	case r.inputs.File != "":
		path, named = r.inputs.File, "--config"
	case r.config != "":
		path, named = r.config, "DORMOUSE_CONFIG"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		r.report.Errors = append(r.report.Errors, spoken(named)(err.Error(), ""))
		return
	}
	r.result.Files = []string{path}
	f, err := source.Read(path)
	switch p, isProblem := errors.AsType[*source.Problem](err); {
	case errors.Is(err, fs.ErrNotExist) && named == "":
		return
	case errors.Is(err, fs.ErrNotExist):
		r.report.Errors = append(r.report.Errors, spoken(named)(source.Display(path)+" is not there", ""))
		return
	case isProblem:
		r.report.Errors = append(r.report.Errors, p)
		return
	case err != nil:
		r.report.Errors = append(r.report.Errors, &source.Problem{File: source.Display(path), Message: err.Error()})
		return
	}
	inFile := make(map[string]found)
	for _, c := range f.Cursor(&r.report).Members() {
		switch c.Key() {
		case "$schema":
		case "classes":
			for _, class := range c.Members() {
				r.class(class, filepath.Dir(path))
			}
		default:
			r.read(inFile, c, "", filepath.Dir(path), allNames(false))
		}
	}
	for name, value := range inFile {
		if _, stronger := r.found[name]; !stronger {
			r.found[name] = value
		}
	}
}

func (r *resolver) class(c source.Cursor, dir string) {
	if known := r.inputs.Classes; known != nil && !slices.Contains(known, c.Key()) {
		hint := source.DidYouMean(c.Key(), known)
		if hint == "" && len(known) > 0 {
			hint = "There are: " + strings.Join(known, ", ") + "."
		}
		c.Errorf(hint, "the Worker has no class %q", c.Key())
		return
	}
	values := make(map[string]found)
	r.classes[c.Key()] = values
	for _, m := range c.Members() {
		r.read(values, m, "", dir, allNames(true))
	}
}

// read takes one member of the file, which is a setting or a table of settings
// under a name.
func (r *resolver) read(into map[string]found, c source.Cursor, prefix, dir string, names []string) {
	name := prefix + c.Key()
	if s := find(name); s != nil && slices.Contains(names, name) {
		if !c.Exists() {
			return
		}
		f := found{
			source:  c.File() + ":" + fmt.Sprint(c.Pos().Line),
			problem: func(message, hint string) *source.Problem { return c.Problem(c.Path()+": "+message, hint) },
		}
		text, err := s.fromFile(c.Node())
		if err != nil {
			c.Errorf(asMistake(err).hint, "%q %s", c.Path(), err)
			return
		}
		r.take(into, s, text, dir, f)
		return
	}
	isGroup := slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, name+".") })
	if !isGroup {
		hint := source.DidYouMean(name, names)
		if hint == "" && find(name) != nil {
			hint = "A class has no setting of this name for itself."
		}
		c.Errorf(hint, "%q is not a setting", c.Path())
		return
	}
	for _, m := range c.Members() {
		r.read(into, m, name+".", dir, names)
	}
}

// allNames are the names that may stand in the file, or in a class.
func allNames(inClass bool) []string {
	var names []string
	for _, s := range table {
		if !inClass || s.PerClass() {
			names = append(names, s.Name)
		}
	}
	return names
}

func (r *resolver) flags() {
	for _, name := range slices.Sorted(maps.Keys(r.inputs.Flags)) {
		s := find(name)
		if s == nil {
			r.report.Errors = append(r.report.Errors, spoken(name)("no setting has this name", source.DidYouMean(name, allNames(false))))
			continue
		}
		r.take(r.found, s, r.inputs.Flags[name], r.here, found{source: "--" + s.Flag(), problem: spoken("--" + s.Flag())})
	}
}

// defaults fills what nobody said, and stores everything.
func (r *resolver) defaults() {
	for _, s := range table {
		f, said := r.found[s.Name]
		if !said {
			value, err := s.parseDefault(r.dir)
			if err != nil {
				panic(fmt.Sprintf("settings: default of %s: %v", s.Name, err)) // a test has tried them all
			}
			f = found{value: value, text: s.write(value), source: "default", problem: spoken(s.Name)}
			r.found[s.Name] = f
		}
		assign(s.field(r.result.Settings), f.value)
		r.result.Values = append(r.result.Values, Value{Name: s.Name, Text: f.text, Source: f.source})
	}
}

func (s *Setting) parseDefault(dir string) (any, error) {
	if s.Default == "" && s.Type != Addresses && s.Type != Networks {
		return "", nil // a path that is not set
	}
	return s.parse(s.Default, dir)
}

// perClass makes the settings of single classes whole.
func (r *resolver) perClass() {
	settings := r.result.Settings
	settings.Classes = make(map[string]Class)
	for _, name := range slices.Sorted(maps.Keys(r.classes)) {
		class := Class{settings.Sockets, settings.Placement}
		for _, s := range table {
			if f, ok := r.classes[name][s.Name]; ok {
				assign(s.class(&class), f.value)
				r.result.Values = append(r.result.Values, Value{Name: "classes." + name + "." + s.Name, Text: f.text, Source: f.source})
			}
		}
		settings.Classes[name] = class
	}
}

// together checks what only several settings can say.
func (r *resolver) together() {
	s := r.result.Settings
	complain := func(name, message, hint string) {
		r.report.Errors = append(r.report.Errors, r.found[name].problem(message, hint))
	}
	if s.TLSCert != "" && s.TLSKey == "" {
		complain("tls_cert", "a certificate needs its key", "Name it with tls_key, or --tls-key.")
	}
	if s.TLSKey != "" && s.TLSCert == "" {
		complain("tls_key", "a key needs its certificate", "Name it with tls_cert, or --tls-cert.")
	}
	if s.Admin == "" {
		return
	}
	if !loopback(s.Admin) && s.AdminTokenFile == "" {
		complain("admin", s.Admin+" can be reached from other machines, so it needs a token",
			"Name a file that holds one with admin_token_file, or --admin-token-file, or use a loopback address.")
	}
	if s.Admin == s.Listen && !strings.HasSuffix(s.Admin, ":0") {
		complain("admin", "clients and operators cannot share "+s.Admin, "Give one of them another port.")
	}
}

// loopback reports whether only this machine reaches the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
