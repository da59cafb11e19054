package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/admin"
)

// inspectCommand lets DevTools into guests that run.
func inspectCommand() *cobra.Command {
	var to remote
	var guest uint32
	var off bool
	c := &cobra.Command{
		Use:   "inspect",
		Short: "Let DevTools debug the guests of a running server",
		Long: "Let DevTools debug the guests of a running server, on its machine's loopback.\n" +
			"Breakpoints stay while objects hibernate and come back. An object that stands at one\n" +
			"holds up the others of its guest, and nobody ends it: end the session with --off.",
		Args: cobra.NoArgs,
	}
	c.Flags().Uint32Var(&guest, "guest", 0, "the number of one guest (default: all that run)")
	c.Flags().BoolVar(&off, "off", false, "let nobody in any more")
	to.register(c)
	to.registerSettings(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := to.resolve(c); err != nil {
			return err
		}
		var all struct{ Guests []admin.Guest }
		if err := to.ask(c.Context(), http.MethodGet, "/api/guests", nil, nil, &all); err != nil {
			return err
		}
		method, found := http.MethodPost, false
		if off {
			method = http.MethodDelete
		}
		for _, g := range all.Guests {
			if g.State != "running" || guest != 0 && g.ID != guest {
				continue
			}
			found = true
			var told struct{ URL, DevTools string }
			if err := to.ask(c.Context(), method, fmt.Sprintf("/api/guests/%d/inspect", g.ID), nil, nil, &told); err != nil {
				return fmt.Errorf("guest %d: %w", g.ID, err)
			}
			if off {
				fmt.Fprintf(c.OutOrStdout(), "guest %d (process %d): closed\n", g.ID, g.PID)
				continue
			}
			fmt.Fprintf(c.OutOrStdout(), "guest %d (process %d)\n  %s\n  %s\n", g.ID, g.PID, told.DevTools, told.URL)
		}
		if !found {
			return fmt.Errorf("no such guest runs; %s/api/guests lists them", to.to)
		}
		return nil
	}
	return c
}
