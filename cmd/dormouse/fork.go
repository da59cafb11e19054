package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/backup"
	"github.com/dormouse-dev/dormouse/internal/operator"
	"github.com/dormouse-dev/dormouse/server"
)

func restoreObjectCommand(t *target) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "restore NAMESPACE ID|name:NAME --backup PATH",
		Short: "Put one object back to what it was in a backup",
		Long: `Put one object back to what it was in a backup, with its alarm. All of the backup
is verified first. The server must be stopped.

` + objectHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
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
	c.Flags().StringVar(&from, "backup", "", "folder or file of the backup")
	c.MarkFlagRequired("backup")
	return c
}

func forkCommand(t *target) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "fork NAMESPACE ID|name:NAME NEW-ID|name:NEW-NAME [--backup PATH]",
		Short: "Copy one object, as it is or as it was in a backup, under another id",
		Long: `Copy one object under another id of its namespace, which must not have anything:
as it is, or with --backup as it was in a backup. Its alarm is copied too. The
server must be stopped.

` + objectHelp,
		Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
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
					n, err := f.Adopt(ctx, []server.Adopted{{Key: to.Key, Path: path}})
					if err == nil && n == 0 {
						err = fmt.Errorf("object %s has no data", o.Key)
					}
					return err
				}
				if from == "" {
					return copied(server.DatabasePath(f.Data, o.Key))
				}
				return extracted(f, from, o, copied)
			})
		},
	}
	c.Flags().StringVar(&from, "backup", "", "folder or file of a backup to copy from")
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
