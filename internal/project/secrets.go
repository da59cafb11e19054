package project

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// secret is one KEY=value of a file.
type secret struct {
	value string
	at    string // the file, as the reader would type it
}

// secrets reads the files of secrets. A secret of the same name replaces a
// variable; one of the name of another binding is a mistake.
func (l *loader) secrets() {
	loaded := make(map[string]secret)
	files := slices.Concat(l.options.SecretFiles, l.options.SecretsOf[l.config.Name])
	switch {
	case len(files) > 0:
		for _, path := range files {
			if abs, err := filepath.Abs(path); err == nil {
				path = abs
			}
			l.config.Files = append(l.config.Files, path)
			if err := l.readSecrets(loaded, path); err != nil {
				l.problem(asProblem(path, err))
			}
		}
	default:
		l.devVars(loaded)
	}
	required := l.required(loaded)
	for _, name := range sortedKeys(loaded) {
		// As wrangler does: once the file says which secrets there are, others
		// only replace variables.
		if required != nil && !slices.Contains(required, name) && !l.isVar(name) {
			continue
		}
		l.addSecret(name, loaded[name])
	}
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (l *loader) problem(err error) {
	if p, ok := errors.AsType[*source.Problem](err); ok {
		l.report.Errors = append(l.report.Errors, p)
	}
}

// devVars reads .dev.vars.ENV or, when there is none, .dev.vars.
func (l *loader) devVars(loaded map[string]secret) {
	paths := []string{filepath.Join(l.config.Dir, ".dev.vars")}
	if l.options.Env != "" && filepath.IsLocal(".dev.vars."+l.options.Env) {
		paths = slices.Insert(paths, 0, paths[0]+"."+l.options.Env)
	}
	l.config.Files = append(l.config.Files, paths...)
	for _, path := range paths {
		err := l.readSecrets(loaded, path)
		if err == nil {
			return
		}
		if !errors.Is(err, fs.ErrNotExist) {
			l.problem(asProblem(path, err))
			return
		}
	}
	dotenv := filepath.Join(l.config.Dir, ".env")
	if _, err := os.Stat(dotenv); err == nil {
		l.report.Warnings = append(l.report.Warnings, &source.Problem{File: source.Display(dotenv),
			Message: "not read", Hint: "Call it .dev.vars, or name it with --secret-file, if the Worker needs its values."})
	}
}

const maxSecrets = 1 << 20

func (l *loader) readSecrets(loaded map[string]secret, path string) error {
	if strings.HasSuffix(path, ".json") {
		f, err := source.Read(path)
		if err != nil {
			return err
		}
		for name, value := range f.Cursor(&l.report).StringMap() {
			loaded[name] = secret{value, source.Display(path)}
		}
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxSecrets {
		return &source.Problem{File: source.Display(path), Message: fmt.Sprintf("longer than %d MiB", maxSecrets>>20)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	values, odd := parseDotenv(string(text))
	for name, value := range values {
		loaded[name] = secret{value, source.Display(path)}
	}
	for _, line := range odd {
		l.report.Warnings = append(l.report.Warnings, &source.Problem{File: source.Display(path), Line: line, Column: 1,
			Message: "ignored, because it is not of the form KEY=value"})
	}
	return nil
}

// required looks for the secrets that the wrangler file requires, in the
// environment if no file has them, and names those that are nowhere. It returns
// nil when the file says nothing about secrets.
func (l *loader) required(loaded map[string]secret) []string {
	c := l.get("secrets")
	if !c.Exists() {
		return nil
	}
	c.Only("required")
	names := []string{}
	var missing []string
	for _, name := range c.Get("required").Strings() {
		names = append(names, name)
		if _, ok := loaded[name]; ok {
			continue
		}
		if l.options.LookupEnv != nil {
			if value, ok := l.options.LookupEnv(name); ok {
				loaded[name] = secret{value, "the environment"}
				continue
			}
		}
		missing = append(missing, name)
	}
	if len(missing) > 0 {
		c.Get("required").Warnf("Add it to .dev.vars as KEY=value, to a --secret-file, or to the environment of Dormouse.",
			"no value for the secret %s", strings.Join(missing, ", "))
	}
	return names
}

func (l *loader) isVar(name string) bool {
	return slices.ContainsFunc(l.config.Vars, func(v Var) bool { return v.Name == name })
}

func (l *loader) addSecret(name string, s secret) {
	value, err := json.Marshal(s.value)
	if err != nil {
		return // a string always encodes
	}
	v := Var{Name: name, Value: value, Secret: true}
	for i := range l.config.Vars {
		if l.config.Vars[i].Name == name {
			l.config.Vars[i] = v
			return
		}
	}
	if at, taken := l.bound[name]; taken {
		at.Errorf("Names in env must differ. The other one is a secret of "+s.at+".", "%q is bound twice", name)
		return
	}
	l.config.Vars = append(l.config.Vars, v)
}

// dotenvLine is the grammar of the npm package dotenv 16, which wrangler uses.
var dotenvLine = regexp.MustCompile("(?m)^\\s*(?:export\\s+)?([\\w.-]+)(?:\\s*=\\s*?|:\\s+?)" +
	"(\\s*'(?:\\\\'|[^'])*'|\\s*\"(?:\\\\\"|[^\"])*\"|\\s*`(?:\\\\`|[^`])*`|[^#\r\n]+)?\\s*(?:#.*)?$")

// parseDotenv reads KEY=value lines, and returns the numbers of the lines that
// are neither that, nor empty, nor a comment.
func parseDotenv(text string) (values map[string]string, odd []int) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	values = make(map[string]string)
	end := 0
	for _, m := range dotenvLine.FindAllStringSubmatchIndex(text, -1) {
		odd = append(odd, oddLines(text, end, m[0])...)
		end = m[1]
		value := ""
		if m[4] >= 0 {
			value = unquote(strings.TrimSpace(text[m[4]:m[5]]))
		}
		values[text[m[2]:m[3]]] = value
	}
	return values, append(odd, oddLines(text, end, len(text))...)
}

// unquote strips quotes; within double ones \n and \r are line breaks.
func unquote(v string) string {
	if len(v) < 2 || !strings.ContainsRune("'\"`", rune(v[0])) || v[len(v)-1] != v[0] {
		return v
	}
	inner := v[1 : len(v)-1]
	if v[0] == '"' {
		inner = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(inner)
	}
	return inner
}

// oddLines numbers the lines of text[from:to] that say something.
func oddLines(text string, from, to int) []int {
	var odd []int
	first := strings.Count(text[:from], "\n") + 1
	for i, line := range strings.Split(text[from:to], "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			odd = append(odd, first+i)
		}
	}
	return odd
}
