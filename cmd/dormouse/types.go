package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/project"
)

// typesCommand declares what a Worker finds in env.
func typesCommand() *cobra.Command {
	var env, out string
	c := &cobra.Command{
		Use:   "types [DIR]...",
		Short: "Write the TypeScript types of the Worker's bindings to " + project.TypesFile,
		Long: "Write the TypeScript types of the bindings of the Worker in DIR to " + project.TypesFile + ", for @cloudflare/workers-types.\n" +
			"Bindings to the Workers in further folders have the types of their classes and entrypoints.",
	}
	c.Flags().StringVar(&env, "env", "", "environment of the wrangler file")
	c.Flags().StringVar(&out, "out", "", "the file (default DIR/"+project.TypesFile+")")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = []string{"."}
		}
		all := make(map[string]*project.Config)
		var first *project.Config
		for _, dir := range args {
			w, err := project.Load(project.Options{
				Dir: dir, Env: env, AllowMissing: true, Now: time.Now(),
				LookupEnv: func(string) (string, bool) { return "", true }, // a secret is a string, wherever it will come from
			})
			if err != nil {
				return err
			}
			if first == nil {
				first = w
			}
			all[w.Name] = w
		}
		if out == "" {
			out = filepath.Join(first.Dir, project.TypesFile)
		}
		path, err := filepath.Abs(out)
		if err != nil {
			return err
		}
		text := first.Types(filepath.Dir(path), func(name string) *project.Config { return all[name] })
		if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, text) {
			fmt.Fprintf(c.OutOrStdout(), "%s is as it should be\n", out)
			return nil
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "wrote %s\n", out)
		return nil
	}
	return c
}
