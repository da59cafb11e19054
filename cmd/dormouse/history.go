package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/operator"
)

// point is a moment that an operator names.
type point struct {
	browse.PastPoint
	time string
}

func (p *point) register(c *cobra.Command) {
	c.Flags().StringVar(&p.Bookmark, "bookmark", "", "as of this bookmark")
	c.Flags().StringVar(&p.time, "time", "", "as of this time, such as 2026-11-22T08:00:00Z, or so long ago, such as 90m")
}

func (p *point) given() bool { return p.Bookmark != "" || p.time != "" }

var errOnePoint = errors.New("say one of --bookmark, --time and --backup")

// check reads what was given: one at most, or exactly one unless none will do.
func (p *point) check(backup, none bool) error {
	n := 0
	for _, given := range []bool{backup, p.Bookmark != "", p.time != ""} {
		if given {
			n++
		}
	}
	if n > 1 || n == 0 && !none {
		return errOnePoint
	}
	if p.time == "" {
		return nil
	}
	if ago, err := time.ParseDuration(p.time); err == nil && ago >= 0 {
		p.Time = time.Now().Add(-ago)
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime} {
		if at, err := time.ParseInLocation(layout, p.time, time.Local); err == nil {
			p.Time = at
			return nil
		}
	}
	return fmt.Errorf("--time %q: give a time such as 2026-11-22T08:00:00Z, or how long ago, such as 90m", p.time)
}

func (t *target) putBack(ctx context.Context, s operator.Store, o operator.Object, p point, out io.Writer) error {
	x, err := s.PutBack(ctx, o, p.PastPoint)
	if err != nil {
		return err
	}
	if t.json {
		_, err = fmt.Fprintf(out, "{\"undo\":%q}\n", x.Undo)
		return err
	}
	_, err = fmt.Fprintf(out, "restored; --bookmark %s undoes it\n", x.Undo)
	return err
}

func historyCommand(t *target) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "history NAMESPACE ID|name:NAME",
		Short: "List the last commits of an object, with their bookmarks",
		Long: `List the last commits of an object, the oldest first, with the bookmarks to which
it can be put back, and how far back history goes. Commits that were made durable
together are one line.

` + objectHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withObject(c, args, func(ctx context.Context, s operator.Store, o operator.Object, out io.Writer) error {
				h, err := s.History(ctx, o, limit)
				if err != nil {
					return err
				}
				l := newLines(out, t.json)
				l.head("TIME", "WHAT", "PAGES", "BOOKMARK")
				for _, p := range h.Points {
					l.line(p, p.Time.Local().Format("2006-01-02 15:04:05.000"), p.What, fmt.Sprint(p.Pages), p.Bookmark)
				}
				if err := l.end(); err != nil {
					return err
				}
				if t.json {
					return nil
				}
				if h.Damage != "" {
					fmt.Fprintf(out, "history is damaged: %s\n", h.Damage)
				}
				_, err = fmt.Fprintf(out, "history goes back to %s\n", h.Since.Local().Format(time.DateTime))
				return err
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "list so many at most, the newest")
	return c
}
