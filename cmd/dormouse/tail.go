package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/observe/tail"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// tailing is one `dormouse tail`.
type tailing struct {
	to, tokenFile        string
	class, object, level string
	past                 int
	json                 bool
}

func tailCommand() *cobra.Command {
	var t tailing
	c := &cobra.Command{
		Use:   "tail",
		Short: "Follow the log of a running server",
		Long: "Follow the log of a running server: of all objects, of a class or of one object.\n" +
			"With --level debug also each wake, event and sleep, whatever the server itself logs.",
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&t.class, "class", "", "only objects of this class")
	f.StringVar(&t.object, "object", "", "only the object with this name or id")
	f.StringVar(&t.level, "level", "info", "this level and those above it: debug, info, warn, error")
	f.IntVar(&t.past, "past", 0, "begin with up to so many lines of the past")
	f.BoolVar(&t.json, "json", false, "print each line as JSON")
	f.StringVar(&t.to, "to", "", "admin address of the running server (default: the setting admin)")
	f.StringVar(&t.tokenFile, "admin-token-file", "", "file whose first line is the token of the admin address")
	c.RunE = func(c *cobra.Command, _ []string) error {
		err := t.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		if c.Context().Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		return err
	}
	return c
}

// request asks for the lines; what no flag says comes from the settings of this
// folder.
func (t *tailing) request(ctx context.Context) (*http.Request, error) {
	in := settings.Inputs{Dir: ".", Flags: make(map[string]string), Environ: os.Environ()}
	if t.tokenFile != "" {
		in.Flags["admin_token_file"] = t.tokenFile
	}
	found, err := settings.Resolve(in)
	if err != nil {
		return nil, err
	}
	address := t.to
	if address == "" {
		address = found.Settings.Admin
	}
	if address == "" {
		return nil, errors.New("the admin address is off here; name the server's with --to")
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	q := url.Values{"level": {t.level}, "past": {strconv.Itoa(t.past)}}
	for k, v := range map[string]string{"class": t.class, "object": t.object} {
		if v != "" {
			q.Set(k, v)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/api/tail?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if file := found.Settings.AdminTokenFile; file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("admin_token_file: %w", err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(line))
	}
	return r, nil
}

func (t *tailing) run(ctx context.Context, out, errs io.Writer) error {
	r, err := t.request(ctx)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("%w; does a server run there?", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var told struct {
			Error string `json:"error"`
		}
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&told) != nil || told.Error == "" {
			told.Error = fmt.Sprintf("%s answered %s; is this the admin address of a Dormouse?", r.URL.Host, resp.Status)
		}
		return errors.New(told.Error)
	}
	to := &people{out: &shared{w: out}, level: slog.LevelDebug, color: isTerminal(out)}
	in := bufio.NewReader(resp.Body)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("the server has ended the tail: %w", err)
		}
		if len(line) > 1 {
			t.print(ctx, to, out, errs, line)
		}
	}
}

// print prints one line for people, or as it came.
func (t *tailing) print(ctx context.Context, to *people, out, errs io.Writer, line []byte) {
	var l struct {
		tail.Line
		Lost int `json:"lost"`
	}
	switch err := json.Unmarshal(line, &l); {
	case t.json:
		out.Write(line)
		return
	case err != nil:
		fmt.Fprintf(errs, "dormouse: a line cannot be read: %v\n", err)
		return
	case l.Lost > 0:
		fmt.Fprintf(errs, "dormouse: %d lines were lost, because this end was too slow\n", l.Lost)
		return
	}
	var level slog.Level
	level.UnmarshalText([]byte(l.Level))
	r := slog.NewRecord(l.Time, level, l.Text, 0)
	if l.Class != "" {
		r.AddAttrs(slog.String("class", l.Class), slog.String("object", l.Object))
	}
	for _, k := range slices.Sorted(maps.Keys(l.More)) {
		r.AddAttrs(slog.Any(k, l.More[k]))
	}
	to.Handle(ctx, r)
}
