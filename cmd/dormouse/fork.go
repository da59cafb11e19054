package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/backup"
	"github.com/dormouse-dev/dormouse/internal/operator"
	"github.com/dormouse-dev/dormouse/server"
)

func restoreObjectCommand(t *target) *cobra.Command {
	var from string
	var p point
	c := &cobra.Command{
		Use:   "restore NAMESPACE ID|name:NAME --bookmark B | --time T | --backup PATH",
		Short: "Put one object back to what it was",
		Long: `Put one object back, with its alarm, to what it was at a bookmark or a time
(storage history lists them), or in a backup.

From history it goes while the server runs, too: the object is reset. A bookmark
is printed with which the restore can be undone. For a backup the server must be
stopped; all of it is verified first.

` + objectHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.check(from != "", false); err != nil {
				return err
			}
			if from == "" {
				return t.withObject(c, args, func(ctx context.Context, s operator.Store, o operator.Object, out io.Writer) error {
					return t.putBack(ctx, s, o, p, out)
				})
			}
			return t.withFolder(c, func(ctx context.Context, f *server.Folder, s operator.Store) error {
				o, err := operator.Find(ctx, s, args[0], args[1])
				if err != nil {
					return err
				}
				return extracted(f, from, o, func(path string) error {
					return f.Replace(ctx, server.Adopted{Key: o.Key, Path: path})
				})
			})
		},
	}
	c.Flags().StringVar(&from, "backup", "", "folder or file of a backup")
	p.register(c)
	return c
}

func forkCommand(t *target) *cobra.Command {
	var from string
	var p point
	c := &cobra.Command{
		Use:   "fork NAMESPACE ID|name:NAME NEW-ID|name:NEW-NAME [--bookmark B | --time T | --backup PATH]",
		Short: "Copy one object, as it is or as it was, under another id",
		Long: `Copy one object under another id of its namespace, which must not have anything:
as it is, as it was at a bookmark or a time, or as it was in a backup. Its alarm
is copied too. The server must be stopped.

` + objectHelp,
		Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.check(from != "", true); err != nil {
				return err
			}
			return t.withFolder(c, func(ctx context.Context, f *server.Folder, s operator.Store) error {
				o, err := operator.Find(ctx, s, args[0], args[1])
				if err != nil {
					return err
				}
				to, err := operator.Find(ctx, s, string(o.Namespace), args[2])
				if err != nil {
					return err
				}
				copied := func(path string) error {
					n, err := f.Adopt(ctx, []server.Adopted{{Key: to.Key, Path: path}}, nil)
					if err == nil && n == 0 {
						err = fmt.Errorf("object %s has no data", o.Key)
					}
					return err
				}
				switch {
				case from != "":
					return extracted(f, from, o, copied)
				case p.given():
					return f.AsOf(o.Key, p.PastPoint, copied)
				}
				return copied(server.DatabasePath(f.Data, o.Key))
			})
		},
	}
	c.Flags().StringVar(&from, "backup", "", "folder or file of a backup to copy from")
	p.register(c)
	return c
}

// withFolder takes the data folder of a server that does not run.
func (t *target) withFolder(c *cobra.Command, f func(context.Context, *server.Folder, operator.Store) error) error {
	folder, err := t.stopped()
	if err != nil {
		return err
	}
	return errors.Join(f(c.Context(), folder, operator.Of(folder)), folder.Close())
}

// extracted takes an object out of a backup, into the data folder, for f.
func extracted(folder *server.Folder, from string, o operator.Object, f func(path string) error) error {
	dir, err := os.MkdirTemp(folder.Data, "tmp-")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "object.sqlite")
	if err = backup.Extract(from, o.Key, path); err == nil {
		err = f(path)
	}
	return errors.Join(err, os.RemoveAll(dir))
}
