package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/observe/health"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// readyLimit is how long a server may take to say whether it is ready.
const readyLimit = 5 * time.Second

// readyCommand is /readyz for scripts and containers that have no other client.
func readyCommand() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "ready",
		Short: "Ask a running server whether clients may come",
		Args:  cobra.NoArgs,
	}
	c.Flags().StringVar(&to, "to", "", "admin address of the running server (default: the setting admin)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		found, err := settings.Resolve(settings.Inputs{Dir: ".", Flags: make(map[string]string), Environ: os.Environ()})
		if err != nil {
			return err
		}
		if to == "" {
			to = found.Settings.Admin
		}
		if to == "" {
			return errors.New("the admin address is off here; name the server's with --to")
		}
		if !strings.Contains(to, "://") {
			to = "http://" + to
		}
		r, err := http.NewRequestWithContext(c.Context(), http.MethodGet, strings.TrimSuffix(to, "/")+"/readyz", nil)
		if err != nil {
			return err
		}
		if file := found.Settings.AdminTokenFile; file != "" {
			b, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("admin_token_file: %w", err)
			}
			line, _, _ := strings.Cut(string(b), "\n")
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(line))
		}
		resp, err := (&http.Client{Timeout: readyLimit}).Do(r)
		if err != nil {
			return fmt.Errorf("not ready: %w", err)
		}
		defer resp.Body.Close()
		var report health.Report
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&report); err != nil {
			return fmt.Errorf("not ready: %s answered %s", to, resp.Status)
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
