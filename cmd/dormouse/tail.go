package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/observe/tail"
)

// tailing is one `dormouse tail`.
type tailing struct {
	server               remote
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
	t.server.register(c)
	t.server.registerSettings(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := t.server.resolve(c); err != nil {
			return err
		}
		err := t.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		if c.Context().Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		return err
	}
	return c
}

func (t *tailing) run(ctx context.Context, out, errs io.Writer) error {
	q := url.Values{"level": {t.level}, "past": {strconv.Itoa(t.past)}}
	for k, v := range map[string]string{"class": t.class, "object": t.object} {
		if v != "" {
			q.Set(k, v)
		}
	}
	body, err := t.server.open(ctx, http.MethodGet, "/api/tail?"+q.Encode(), nil, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	to := &people{out: &shared{w: out}, level: slog.LevelDebug, color: isTerminal(out)}
	in := bufio.NewReader(body)
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
