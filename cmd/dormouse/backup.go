package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/backup"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/operator"
	"github.com/dormouse-dev/dormouse/server"
)

func backupCommand() *cobra.Command {
	t := new(target)
	c := &cobra.Command{
		Use:   "backup DIR|FILE",
		Short: "Write a backup of all objects, while the server runs or when it does not",
		Long: `Write a backup of all objects into a folder, or into a file if the name ends in
.tar, .tar.gz, .tgz or .tar.zst. Each object is in it as of one commit; what was
confirmed before the backup began is there. The backup is verified while it is
written, and appears whole or not at all.

If a server uses the data folder, it is asked; otherwise the files are read.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.with(c, func(ctx context.Context, s operator.Store, out io.Writer) error {
				sum, err := backup.Save(args[0], func(to io.Writer) error {
					return s.Backup(ctx, to, browse.Selection{})
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(out, "%s holds %s\n", args[0], described(sum))
				warnDamaged(c.ErrOrStderr(), sum)
				return nil
			})
		},
	}
	t.register(c)
	c.AddCommand(backupVerifyCommand(), backupRestoreCommand())
	return c
}

func described(s backup.Summary) string {
	return fmt.Sprintf("%d objects, %d bytes, begun %s", s.Objects, s.Bytes, s.Begun.Local().Format(time.DateTime))
}

// shownDamaged is how many damaged objects are named.
const shownDamaged = 20

func warnDamaged(errs io.Writer, s backup.Summary) {
	for i, e := range s.Damaged {
		if i == shownDamaged {
			fmt.Fprintf(errs, "and %d others\n", len(s.Damaged)-i)
			return
		}
		fmt.Fprintf(errs, "object %s/%s is damaged, and in the backup as it is: %s\n", e.Namespace, e.ID, printable(e.Damaged))
	}
}

func backupVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR|FILE",
		Short: "Read a backup, compare it with its checksums, and look into each database",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := backup.Verify(args[0], "")
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			warnDamaged(c.ErrOrStderr(), s)
			fmt.Fprintf(c.OutOrStdout(), "%s is whole: %s\n", args[0], described(s))
			if len(s.Damaged) > 0 {
				return fmt.Errorf("%d of its objects were damaged before they were copied", len(s.Damaged))
			}
			return nil
		},
	}
}

func backupRestoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore DIR|FILE DATA",
		Short: "Make a data folder of a backup",
		Long: `Make the data folder DATA, which must not exist or be empty, of a backup. It
appears whole or not at all. Start the server with --data DATA then.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := server.Restore(args[0], args[1])
			if err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			warnDamaged(c.ErrOrStderr(), s)
			fmt.Fprintf(c.OutOrStdout(), "%s has %s\n", args[1], described(s))
			return nil
		},
	}
}
