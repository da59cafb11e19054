package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// options are what a command line may say of a project: its files, and every
// setting there is.
type options struct {
	dir          string
	env          string
	config       string
	secretFiles  []string
	secretsOf    map[string][]string // by the Worker's name
	allowMissing bool
	verbose      bool

	flags *pflag.FlagSet
}

// register adds the flags. Those of settings are made from their table.
func (o *options) register(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.env, "env", "", "environment of the wrangler file")
	f.StringVar(&o.config, "config", "", "file with Dormouse's settings (default DIR/dormouse.jsonc)")
	f.StringArrayVar(&o.secretFiles, "secret-file", nil, "file with secrets, in place of .dev.vars; may be repeated; of several Workers WORKER:FILE")
	f.BoolVar(&o.allowMissing, "allow-missing-bindings", false, "start although some bindings are not offered; they throw when they are used")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print each wake and sleep (log.level=debug)")
	for _, s := range settings.Table() {
		f.String(s.Flag(), "", doc(s))
		if s.Type == settings.Bool {
			f.Lookup(s.Flag()).NoOptDefVal = "true"
		}
	}
	o.flags = f
}

// doc is the line of help of a setting.
func doc(s *settings.Setting) string {
	if s.Default == "" {
		return s.Doc
	}
	return fmt.Sprintf("%s (default %s)", s.Doc, s.Default)
}

// load reads the project and resolves the settings.
func (o *options) load() (*project.Config, *settings.Result, error) {
	c, err := project.Load(project.Options{
		Dir: o.dir, Env: o.env, SecretFiles: o.secretFiles, SecretsOf: o.secretsOf, LookupEnv: os.LookupEnv,
		AllowMissing: o.allowMissing, Now: time.Now(),
	})
	if err != nil {
		return nil, nil, err
	}
	classes := []string{}
	for _, k := range c.Classes {
		classes = append(classes, k.Name)
	}
	r, err := o.settingsOf(c.Dir, classes)
	return c, r, err
}

// settingsOf resolves the settings of a folder; nil classes take any name.
func (o *options) settingsOf(dir string, classes []string) (*settings.Result, error) {
	in := settings.Inputs{Dir: dir, File: o.config, Flags: make(map[string]string), Environ: os.Environ(), Classes: classes}
	for _, s := range settings.Table() {
		if f := o.flags.Lookup(s.Flag()); f.Changed {
			in.Flags[s.Name] = f.Value.String()
		}
	}
	if o.verbose {
		in.Flags["log.level"] = "debug"
	}
	return settings.Resolve(in)
}

// configCommand prints the settings.
func configCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "config [DIR]",
		Short: "Print each setting, its value and where it came from",
		Args:  cobra.MaximumNArgs(1),
	}
	o.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.dir = dirOf(args)
		_, r, err := o.load()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
		for _, v := range r.Values {
			text := v.Text
			if text == "" {
				text = "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", v.Name, text, v.Source)
		}
		return w.Flush()
	}
	return c
}

// dirOf is the project's folder that a command line names.
func dirOf(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return "."
}

// findNode looks for the Node of guests; by says how somebody named it.
func findNode(c *cobra.Command, named, by, dir string) (project.Node, error) {
	return project.FindNode(c.Context(), project.NodeSearch{Named: named, NamedBy: by, Dir: dir, Path: os.Getenv("PATH")})
}
