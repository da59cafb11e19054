package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/server"
)

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the Node that it needs and the format of its data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		out := c.OutOrStdout()
		if asJSON {
			e := json.NewEncoder(out)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			return e.Encode(struct {
				Version    string `json:"version"`
				Commit     string `json:"commit"`
				Go         string `json:"go"`
				OS         string `json:"os"`
				Arch       string `json:"arch"`
				Node       string `json:"node"`        // what guests may run on
				NodeTested string `json:"node_tested"` // what they are tested with
				DataFormat string `json:"data_format"`
			}{version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, project.NodeRange, project.NodeTested, server.DataFormat})
		}
		fmt.Fprintf(out, "dormouse %s", version)
		if commit != "" {
			fmt.Fprintf(out, " (%s)", commit)
		}
		_, err := fmt.Fprintf(out, " %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	}
	return c
}
