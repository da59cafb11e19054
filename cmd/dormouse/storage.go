package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/operator"
)

const objectHelp = `NAMESPACE is the Worker's name and the class's name with a dash between, or the
class's name if that is enough. The object is named by its id, or by name: and
its name.

If a server uses the data folder, it is asked; otherwise the files are opened.`

func storageCommand() *cobra.Command {
	t := new(target)
	c := &cobra.Command{Use: "storage", Short: "Look into what objects have stored, and change it", Long: objectHelp}
	t.register(c)
	kv := &cobra.Command{Use: "kv", Short: "Keys and values of an object", Long: objectHelp}
	kv.AddCommand(kvListCommand(t), kvGetCommand(t), kvPutCommand(t), kvDeleteCommand(t))
	c.AddCommand(sqlCommand(t), kv, exportCommand(t), importCommand(t), purgeCommand(t), historyCommand(t), restoreObjectCommand(t), forkCommand(t))
	return c
}

func sqlCommand(t *target) *cobra.Command {
	var write bool
	var limit int
	c := &cobra.Command{
		Use:   "sql NAMESPACE ID|name:NAME STATEMENT",
		Short: "Run SQL on an object's database",
		Long: `Run SQL on an object's database. Without --write nothing can be changed, and
what is seen is the database as of its last commit; a running object is not
disturbed. With --write the statement runs in the object itself, as an event of
its own: all of it or nothing.

` + objectHelp,
		Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withObject(c, args, func(ctx context.Context, s operator.Store, o operator.Object, out io.Writer) error {
				run := s.Query
				if write {
					run = s.Exec
				}
				rows, err := run(ctx, o, args[2], limit)
				if err != nil {
					return err
				}
				return t.printRows(out, rows, write)
			})
		},
	}
	c.Flags().BoolVar(&write, "write", false, "allow the statement to change the database")
	c.Flags().IntVar(&limit, "limit", 1000, "print so many rows at most")
	return c
}

func (t *target) printRows(out io.Writer, r *browse.Rows, write bool) error {
	if t.json {
		b, err := json.Marshal(r)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", b)
		}
		return err
	}
	if len(r.Columns) > 0 {
		l := newLines(out, false)
		l.head(append([]string(nil), r.Columns...)...)
		for _, row := range r.Rows {
			cells := make([]string, len(row))
			for i, x := range row {
				cells[i] = cellText(x)
			}
			l.row(cells)
		}
		if err := l.end(); err != nil {
			return err
		}
	}
	if r.More {
		fmt.Fprintf(out, "(there are more rows; --limit %d)\n", 10*len(r.Rows))
	}
	if write {
		fmt.Fprintf(out, "%d rows changed\n", r.Changed)
	}
	return nil
}

// blobShown is how many bytes of a blob are printed.
const blobShown = 32

// cellText prints a value of a row as SQL would write it, but for texts.
func cellText(x any) string {
	switch x := x.(type) {
	case nil:
		return "NULL"
	case map[string]string:
		for kind, text := range x {
			return cellOf(kind, text)
		}
	case map[string]any: // from the admin API
		for kind, text := range x {
			return cellOf(kind, fmt.Sprint(text))
		}
	}
	return fmt.Sprint(x)
}

func cellOf(kind, text string) string {
	if kind != "blob" && kind != "bytes" {
		return text
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return text
	}
	if len(b) > blobShown {
		return fmt.Sprintf("x'%s…' (%d bytes)", hex.EncodeToString(b[:blobShown]), len(b))
	}
	return "x'" + hex.EncodeToString(b) + "'"
}

// kvPage is how many pairs are asked for at a time.
const kvPage = 10_000

func kvListCommand(t *target) *cobra.Command {
	var prefix string
	var limit int
	c := &cobra.Command{
		Use:   "list NAMESPACE ID|name:NAME",
		Short: "List keys and values",
		Long:  "List keys and values, as JavaScript prints them, in the order of the keys' bytes.\n\n" + objectHelp,
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withObject(c, args, func(ctx context.Context, s operator.Store, o operator.Object, out io.Writer) error {
				r := browse.Range{Prefix: prefix}
				for printed := 0; limit == 0 || printed < limit; {
					r.Limit = kvPage
					if limit > 0 {
						r.Limit = min(r.Limit, limit-printed)
					}
					page, err := s.List(ctx, o, r)
					if err != nil {
						return err
					}
					for _, v := range page.Pairs {
						if err := t.printPair(out, &v); err != nil {
							return err
						}
					}
					printed += len(page.Pairs)
					if !page.More || len(page.Pairs) == 0 {
						break
					}
					last := page.Pairs[len(page.Pairs)-1].Key.Raw()
					r.After = &last
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with this")
	c.Flags().IntVar(&limit, "limit", 0, "print so many at most (default: all)")
	return c
}

func (t *target) printPair(out io.Writer, v *browse.Value) error {
	if t.json {
		b, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", b)
		}
		return err
	}
	_, err := fmt.Fprintf(out, "%s  %s\n", oneLine(v.Key.Text), strings.ReplaceAll(printable(v.Text), "\n", "\n    "))
	return err
}

func kvGetCommand(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "get NAMESPACE ID|name:NAME KEY",
		Short: "Print the value of a key as JavaScript prints it, or with --json as JSON",
		Long:  "Print the value of a key.\n\n" + objectHelp,
		Args:  cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withObject(c, args, func(ctx context.Context, s operator.Store, o operator.Object, out io.Writer) error {
				v, err := s.Get(ctx, o, args[2])
				switch {
				case err != nil:
					return err
				case v == nil:
					return fmt.Errorf("object %s has no key %q", o.Key, args[2])
				case v.Error != "":
					return fmt.Errorf("the value cannot be read: %s", v.Error)
				case t.json && v.JSON == nil:
					return errors.New("the value cannot be said in JSON; without --json it is printed as JavaScript does")
				case t.json:
					_, err = fmt.Fprintf(out, "%s\n", v.JSON)
				default:
					_, err = fmt.Fprintf(out, "%s\n", printable(v.Text))
				}
				return err
			})
		},
	}
}

func kvPutCommand(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "put NAMESPACE ID|name:NAME KEY JSON",
		Short: "Store a value, which is given as JSON",
		Long:  "Store a value, which is given as JSON; - reads it from the input.\n\n" + objectHelp,
		Args:  cobra.ExactArgs(4),
		RunE: func(c *cobra.Command, args []string) error {
			text := []byte(args[3])
			if args[3] == "-" {
				var err error
				if text, err = io.ReadAll(io.LimitReader(c.InOrStdin(), 16<<20)); err != nil {
					return err
				}
			}
			return t.withObject(c, args, func(ctx context.Context, s operator.Store, o operator.Object, _ io.Writer) error {
				return s.Put(ctx, o, args[2], text)
			})
		},
	}
}

func kvDeleteCommand(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAMESPACE ID|name:NAME KEY",
		Short: "Delete a key",
		Long:  "Delete a key.\n\n" + objectHelp,
		Args:  cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withObject(c, args, func(ctx context.Context, s operator.Store, o operator.Object, _ io.Writer) error {
				was, err := s.Delete(ctx, o, args[2])
				if err == nil && !was {
					err = fmt.Errorf("object %s has no key %q", o.Key, args[2])
				}
				return err
			})
		},
	}
}
