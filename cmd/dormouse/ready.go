package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/observe/health"
)

// readyLimit is how long a server may take to say whether it is ready.
const readyLimit = 5 * time.Second

// readyCommand is /readyz for scripts and containers that have no other client.
func readyCommand() *cobra.Command {
	var to remote
	c := &cobra.Command{
		Use:   "ready",
		Short: "Ask a running server whether clients may come",
		Args:  cobra.NoArgs,
	}
	to.register(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := to.resolve(c); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), readyLimit)
		defer cancel()
		resp, err := to.do(ctx, http.MethodGet, "/readyz", nil, nil)
		if err != nil {
			return fmt.Errorf("not ready: %w", err)
		}
		defer resp.Body.Close()
		var report health.Report
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&report); err != nil {
			return fmt.Errorf("not ready: %s answered %s", to.to, resp.Status)
		}
		for _, p := range report.Problems {
			fmt.Fprintln(c.OutOrStdout(), p.Text)
		}
		if !report.Ready {
			return errors.New("not ready")
		}
		fmt.Fprintln(c.OutOrStdout(), "ready")
		return nil
	}
	return c
}
