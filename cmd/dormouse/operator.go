package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/operator"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
	"github.com/dormouse-dev/dormouse/server"
)

// target says which objects a command is about: those of a server that runs, or
// of a data folder.
type target struct {
	dir, config, data, to, tokenFile string
	json                             bool
}

func (t *target) register(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&t.data, "data", "", "data folder (default: what the project in --dir says)")
	f.StringVar(&t.to, "to", "", "admin address of a server, such as 127.0.0.1:8788 (default: that of the server which uses the data folder)")
	f.StringVar(&t.tokenFile, "admin-token-file", "", "file whose first line is the token of the admin address")
	f.StringVar(&t.dir, "dir", ".", "folder of the project")
	f.StringVar(&t.config, "config", "", "file with Dormouse's settings (default DIR/dormouse.jsonc)")
	f.BoolVar(&t.json, "json", false, "print JSON")
}

// settings are those of the project that matter here.
func (t *target) settings() (*settings.Settings, error) {
	in := settings.Inputs{Dir: t.dir, File: t.config, Environ: os.Environ(), Flags: make(map[string]string)}
	if t.data != "" {
		in.Flags["data"] = t.data
	}
	if t.tokenFile != "" {
		in.Flags["admin_token_file"] = t.tokenFile
	}
	r, err := settings.Resolve(in)
	if err != nil {
		return nil, err
	}
	return r.Settings, nil
}

// open returns the objects: through a server if one was named or uses the data
// folder.
func (t *target) open() (operator.Store, error) {
	s, err := t.settings()
	if err != nil {
		return nil, err
	}
	if t.to != "" {
		return dial(t.to, s)
	}
	f, err := operator.OpenFolder(s.Data)
	busy, inUse := errors.AsType[*server.InUse](err)
	switch {
	case inUse && busy.Admin != "":
		return dial(busy.Admin, s)
	case inUse:
		return nil, fmt.Errorf("data folder %s is in use by the Dormouse with process %s, which has no admin address; stop it, or start it with --admin", s.Data, busy.PID)
	case err != nil:
		return nil, err
	}
	return f, nil
}

func dial(address string, s *settings.Settings) (operator.Store, error) {
	token := ""
	if s.AdminTokenFile != "" {
		var err error
		if token, err = readToken(s.AdminTokenFile); err != nil {
			return nil, err
		}
	}
	return operator.Dial(address, token)
}

// with opens the objects for f.
func (t *target) with(c *cobra.Command, f func(context.Context, operator.Store, io.Writer) error) error {
	s, err := t.open()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(c.OutOrStdout(), 64<<10)
	err = f(c.Context(), s, out)
	return errors.Join(err, out.Flush(), s.Close())
}

// withObject opens the objects and finds the one that the first two arguments
// name.
func (t *target) withObject(c *cobra.Command, args []string, f func(context.Context, operator.Store, operator.Object, io.Writer) error) error {
	return t.with(c, func(ctx context.Context, s operator.Store, out io.Writer) error {
		o, err := operator.Find(ctx, s, args[0], args[1])
		if err != nil {
			return err
		}
		err = f(ctx, s, o, out)
		if errors.Is(err, browse.ErrNoData) {
			err = fmt.Errorf("object %s has no data, or does not exist", o.Key)
		}
		return err
	})
}

func objectsCommand() *cobra.Command {
	var t target
	c := &cobra.Command{Use: "objects", Short: "See which objects there are"}
	t.register(c)
	var q struct {
		after string
		limit int
	}
	list := &cobra.Command{
		Use:   "list [NAMESPACE]",
		Short: "List the objects that have stored something",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.with(c, func(ctx context.Context, s operator.Store, out io.Writer) error {
				b := browse.Query{After: q.after}
				if len(args) > 0 {
					n, err := operator.FindNamespace(ctx, s, args[0])
					if err != nil {
						return err
					}
					b.Namespace = n
				}
				return t.listObjects(ctx, s, out, b, q.limit)
			})
		},
	}
	list.Flags().StringVar(&q.after, "after", "", "begin after this NAMESPACE/ID")
	list.Flags().IntVar(&q.limit, "limit", 0, "print so many at most (default: all)")
	c.AddCommand(list)
	return c
}

// objectsPage is how many objects are asked for at a time.
const objectsPage = 10_000

func (t *target) listObjects(ctx context.Context, s operator.Store, out io.Writer, q browse.Query, limit int) error {
	lines := newLines(out, t.json)
	lines.head("NAMESPACE", "ID", "BYTES", "CHANGED")
	for printed := 0; limit == 0 || printed < limit; {
		q.Limit = objectsPage
		if limit > 0 {
			q.Limit = min(q.Limit, limit-printed)
		}
		page, err := s.Stored(ctx, q)
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			lines.line(o, string(o.Namespace), o.ID, fmt.Sprint(o.Bytes), o.Changed.Local().Format("2006-01-02 15:04:05"))
		}
		printed += len(page.Objects)
		if page.Next == "" {
			break
		}
		q.After = page.Next
	}
	return lines.end()
}

// lines prints a table, or JSON, one value a line.
type lines struct {
	json  bool
	table *tabwriter.Writer
	out   io.Writer
	err   error
}

func newLines(out io.Writer, asJSON bool) *lines {
	return &lines{json: asJSON, out: out, table: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)}
}

func (l *lines) head(cells ...string) {
	if !l.json {
		l.row(cells)
	}
}

// line prints v as JSON, or the cells.
func (l *lines) line(v any, cells ...string) {
	if !l.json {
		l.row(cells)
		return
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = l.out.Write(append(b, '\n'))
	}
	l.err = errors.Join(l.err, err)
}

func (l *lines) row(cells []string) {
	for i, s := range cells {
		cells[i] = oneLine(s)
	}
	fmt.Fprintln(l.table, strings.Join(cells, "\t"))
}

func (l *lines) end() error { return errors.Join(l.err, l.table.Flush()) }

// oneLine keeps what an author has stored from moving the cursor or the columns.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\n':
			return '⏎'
		case '\t':
			return ' '
		}
		return r
	}, printable(s))
}
