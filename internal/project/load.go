package project

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project/compat"
	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// fileNames are the wrangler file's names, in wrangler's order of preference.
var fileNames = []string{"wrangler.json", "wrangler.jsonc", "wrangler.toml"}

// Load reads a project's configuration. Its error is a *source.Problem or
// source.Problems: every mistake that was found, each with its place.
func Load(o Options) (*Config, error) {
	file, others, err := findFile(o.Dir)
	if err != nil {
		return nil, err
	}
	f, err := source.Read(file)
	if err != nil {
		return nil, asProblem(file, err)
	}
	return load(f, file, others, o)
}

// load makes a Config of a file that was read. The others are eclipsed by it.
func load(f *source.File, file string, others []string, o Options) (*Config, error) {
	l := &loader{
		options: o,
		config: &Config{
			File: file, Dir: filepath.Dir(file), Env: o.Env, Files: []string{file},
			boundAt: make(map[string]source.Cursor), farAt: make(map[string]source.Cursor),
		},
		bound: make(map[string]source.Cursor),
	}
	l.top = f.Cursor(&l.report)
	for _, other := range others {
		l.report.Warnings = append(l.report.Warnings, &source.Problem{File: source.Display(other),
			Message: "ignored, because " + filepath.Base(file) + " is there", Hint: "Remove one of the two."})
	}
	l.load()
	l.report.Sort()
	if err := l.report.Err(); err != nil {
		return nil, err
	}
	l.config.Warnings = l.report.Warnings
	return l.config, nil
}

// Here says whether a folder has a project, or is its wrangler file.
func Here(dir string) bool {
	_, _, err := findFile(dir)
	return err == nil
}

// Folder is where a project lies, or would: dir may be its wrangler file.
func Folder(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", asProblem(dir, err)
	}
	if !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	return dir, nil
}

// findFile finds the wrangler file of dir, which may be that file itself, and
// those that it eclipses.
func findFile(dir string) (file string, others []string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, &source.Problem{File: source.Display(dir), Message: "there is no such folder",
			Hint: "Name the folder that holds the Worker's wrangler.jsonc."}
	}
	if err != nil {
		return "", nil, asProblem(dir, err)
	}
	if !info.IsDir() {
		return dir, nil, nil
	}
	var found []string
	for _, name := range fileNames {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return "", nil, &source.Problem{File: source.Display(dir), Message: "no wrangler.jsonc, wrangler.json or wrangler.toml here",
			Hint: "Name the folder that holds the Worker's, or write one:\n" +
				`{ "name": "my-worker", "main": "src/index.ts", "compatibility_date": "` + compat.Newest + `" }`}
	}
	return found[0], found[1:], nil
}

// asProblem gives an error of the file system the form of all others.
func asProblem(path string, err error) error {
	if p, ok := errors.AsType[*source.Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return &source.Problem{File: source.Display(path), Message: "cannot read it: " + err.Error()}
}

// loader fills a Config from the cursors of its file.
type loader struct {
	options  Options
	config   *Config
	report   source.Report
	top, env source.Cursor            // env does not exist without one
	bound    map[string]source.Cursor // every name in env, and where it stands
}

func (l *loader) load() {
	l.environment()
	l.unknownKeys()
	l.identity()
	l.entry()
	l.compatibility()
	l.objects()
	l.classes()
	l.vars()
	l.others()
	l.bundling()
	l.refuse()
	l.secrets()
}

// environment finds the table of the chosen environment.
func (l *loader) environment() {
	name := l.options.Env
	if name == "" {
		return
	}
	all := l.top.Get("env")
	l.env = all.Get(name)
	if l.env.Exists() {
		l.env.Members() // complains unless it is a table
		return
	}
	var names []string
	for _, m := range all.Members() {
		names = append(names, m.Key())
	}
	if len(names) == 0 {
		all.Warnf(fmt.Sprintf("Add one to the file, or leave out --env %s.", name), "there are no environments, so %q is the top level under another name", name)
		return
	}
	hint := "There are: " + strings.Join(names, ", ") + "."
	if near := source.DidYouMean(name, names); near != "" {
		hint = near
	}
	all.Errorf(hint, "there is no environment %q", name)
}

// get finds a key where wrangler would: in the environment, else at the top
// level if the key is inherited or no environment was chosen.
func (l *loader) get(name string) source.Cursor {
	k := findKey(name)
	if k == nil {
		panic("project: " + name + " is not in the table of keys")
	}
	if !l.env.Exists() || k.reach == topOnly {
		return l.top.Get(name)
	}
	if c := l.env.Get(name); c.Exists() || k.reach == notInherited {
		return c
	}
	return l.top.Get(name)
}

// unknownKeys complains about keys that are in no table, and about those that
// an environment does not inherit though its author may have thought so.
func (l *loader) unknownKeys() {
	for _, m := range l.top.Members() {
		if findKey(m.Key()) == nil {
			m.Errorf(source.DidYouMean(m.Key(), keyNames(false)), "%q is not a key of a wrangler file", m.Path())
		}
	}
	if !l.env.Exists() {
		return
	}
	for _, m := range l.env.Members() {
		switch k := findKey(m.Key()); {
		case k == nil:
			m.Errorf(source.DidYouMean(m.Key(), keyNames(true)), "%q is not a key of a wrangler file", m.Path())
		case k.reach == topOnly:
			m.Errorf("Move it there.", "%q may only stand at the top level", m.Path())
		}
	}
	for _, k := range keys {
		if c := l.top.Get(k.name); k.reach == notInherited && says(c.Node()) && !l.env.Get(k.name).Exists() {
			c.Warnf(fmt.Sprintf("Environments do not inherit it. Repeat it in %q if the Worker needs it there.", l.env.Path()),
				"%q is not used in environment %q", k.name, l.options.Env)
		}
	}
}

// A Worker's name and a class's become the name of a folder, so they have the
// letters that wrangler allows, and a length.
var (
	workerName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]*$`)
	className  = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)
)

const maxName = 120

func (l *loader) identity() {
	c := l.get("name")
	if !c.Exists() {
		c.Errorf("Every object's id depends on the Worker's name, so give it one that stays: \"name\": \"my-worker\".", "%q is missing", c.Path())
		return
	}
	name, ok := c.Required()
	if !ok {
		return
	}
	if !workerName.MatchString(name) || len(name) > maxName {
		c.Errorf("Use lower-case letters, digits, - and _, and do not begin with -.", "%q cannot be the name of a Worker", name)
		return
	}
	if l.options.Env != "" && !l.env.Get("name").Exists() {
		name += "-" + l.options.Env
		if !workerName.MatchString(name) || len(name) > maxName {
			c.Errorf("Give the environment a \"name\" of its own.", "%q cannot be the name of a Worker", name)
		}
	}
	l.config.Name = name
}

func (l *loader) entry() {
	c := l.get("main")
	l.config.mainAt = c
	if !c.Exists() {
		c.Errorf("Name the Worker's entry point: \"main\": \"src/index.ts\".", "%q is missing", c.Path())
		return
	}
	main, ok := c.Required()
	if !ok {
		return
	}
	l.config.Main = l.path(main)
	if filepath.Ext(main) == ".py" {
		c.Errorf("Dormouse runs JavaScript and TypeScript.", "%q is a Python Worker", main)
		return
	}
	l.build()
	if l.config.Build.Command == "" {
		if p := l.config.mainProblem(); p != nil {
			l.report.Errors = append(l.report.Errors, p)
		}
	}
}

// path makes a path of the file absolute.
func (l *loader) path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(l.config.Dir, p)
}

// CheckMain reports an entry point that is not there. Load has done so already
// unless a build command makes it; then ask after the command has run.
func (c *Config) CheckMain() error {
	if p := c.mainProblem(); p != nil {
		return p
	}
	return nil
}

func (c *Config) mainProblem() *source.Problem {
	info, err := os.Stat(c.Main)
	switch {
	case err == nil && info.Mode().IsRegular():
		return nil
	case err == nil:
		return c.mainAt.Problem(fmt.Sprintf("the entry point %s is not a file", source.Display(c.Main)), "")
	case !errors.Is(err, fs.ErrNotExist):
		return c.mainAt.Problem(asProblem(c.Main, err).Error(), "")
	}
	hint := ""
	for _, guess := range []string{"src/index.ts", "src/index.js", "src/worker.ts", "src/main.ts", "index.ts", "index.js"} {
		if _, err := os.Stat(filepath.Join(c.Dir, guess)); err == nil {
			hint = fmt.Sprintf("Did you mean %q?", guess)
			break
		}
	}
	if c.Build.Command != "" {
		hint = fmt.Sprintf("The build command %q should have made it.", c.Build.Command)
	}
	return c.mainAt.Problem(fmt.Sprintf("the entry point %s is not there", source.Display(c.Main)), hint)
}

func (l *loader) build() {
	c := l.get("build")
	c.Only("command", "cwd", "watch_dir", "upload")
	b := &l.config.Build
	b.Command, _ = c.Get("command").Text()
	if b.Command == "" {
		return
	}
	b.Dir = l.config.Dir
	if dir, ok := c.Get("cwd").Text(); ok {
		b.Dir = l.path(dir)
	}
	watch := c.Get("watch_dir")
	switch n := watch.Node(); {
	case n == nil:
		b.Watch = []string{l.path("src")}
	case n.Kind == source.List:
		for _, dir := range watch.Strings() {
			b.Watch = append(b.Watch, l.path(dir))
		}
	default:
		if dir, ok := watch.Text(); ok {
			b.Watch = []string{l.path(dir)}
		}
	}
}

func (l *loader) compatibility() {
	c := l.get("compatibility_date")
	today := l.options.Now.UTC().Format(time.DateOnly)
	date, ok := c.Text()
	switch {
	case !c.Exists():
		date = min(compat.Newest, today)
		c.Warnf(fmt.Sprintf("Write the date on which the Worker was made: \"compatibility_date\": %q.", date),
			"%q is missing; %s is used, and may change with the next Dormouse", c.Path(), date)
	case !ok:
		return
	default:
		if message, hint := compat.CheckDate(date, l.options.Now); message != "" {
			c.Errorf(hint, "%s", message)
			return
		}
		if date > compat.Newest {
			c.Warnf("Newer behaviours, if there are any, will be missing.", "compatibility date %s is newer than this Dormouse knows (%s)", date, compat.Newest)
		}
	}
	flags := l.get("compatibility_flags")
	names := flags.Strings()
	set, findings := compat.Resolve(date, names)
	l.config.Compat = set
	items := flags.Items()
	if len(items) != len(names) {
		return // one was no string, and has been complained about
	}
	for _, f := range findings {
		if f.Fatal {
			items[f.Index].Errorf(f.Hint, "%s", f.Message)
		} else {
			items[f.Index].Warnf(f.Hint, "%s", f.Message)
		}
	}
}

// bind notes a name in env and reports whether it is the first of that name.
func (l *loader) bind(name string, at source.Cursor) bool {
	if first, twice := l.bound[name]; twice {
		at.Errorf("Names in env must differ. The other one: "+first.Place()+".", "%q is bound twice", name)
		return false
	}
	l.bound[name] = at
	return true
}

// refuse complains about every key that Dormouse does not serve, or lists the
// bindings it would have made.
func (l *loader) refuse() {
	for _, k := range keys {
		c := l.get(k.name)
		if !says(c.Node()) {
			continue
		}
		switch k.standing {
		case idle:
			c.Warnf("", "%q is ignored: %s", c.Path(), k.what)
		case refused:
			l.refuseKey(k, c)
		}
	}
}

func (l *loader) refuseKey(k key, c source.Cursor) {
	names := boundNames(c)
	if !k.binding {
		names = nil
	}
	if l.options.AllowMissing {
		for _, n := range names {
			l.missing(k.what, n)
		}
		c.Warnf("", "%q is not supported: Dormouse does not have %s", c.Path(), k.what)
		return
	}
	hint := k.hint
	if hint == "" {
		hint = "Remove it, or start with --allow-missing-bindings"
		if len(names) > 0 {
			hint += "; then " + envNames(names) + " when used"
		}
		hint += "."
	}
	c.Errorf(hint, "%q is not supported: Dormouse does not have %s", c.Path(), k.what)
}

// missing lists a name that will throw.
func (l *loader) missing(what string, at source.Cursor) {
	name, _ := at.Text()
	if _, known := l.bound[name]; !known {
		l.bound[name] = at
	}
	if slices.ContainsFunc(l.config.Missing, func(m MissingBinding) bool { return m.Name == name }) {
		return
	}
	l.config.Missing = append(l.config.Missing, MissingBinding{Name: name, What: what, Key: at.Path()})
}

// envNames is "env.A and env.B throw", in the right number.
func envNames(names []source.Cursor) string {
	list := make([]string, len(names))
	for i, n := range names {
		name, _ := n.Text()
		list[i] = "env." + name
	}
	if len(list) == 1 {
		return list[0] + " throws"
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1] + " throw"
}
