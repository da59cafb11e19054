package main

import (
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

// nodeCommand runs the Node that guests would run on: for scripts and tests
// that must not meet another one.
func nodeCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "node [-- ARGUMENTS]",
		Short:              "Run the Node that guests run on",
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			n, err := findNode(c, os.Getenv("DORMOUSE_NODE"), "DORMOUSE_NODE", ".")
			if err != nil {
				return err
			}
			run := exec.Command(n.Path, args...)
			run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
			return run.Run()
		},
	}
}
