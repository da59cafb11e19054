package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/operator"
	"github.com/dormouse-dev/dormouse/internal/workerdisk"
	"github.com/dormouse-dev/dormouse/server"
)

func exportCommand(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "export PATH [NAMESPACE [ID|name:NAME]]",
		Short: "Write objects as plain SQLite files into a folder that workerd opens",
		Long: `Write all objects, those of a namespace or one of them as plain SQLite files
into the folder PATH, which must not exist: PATH/<namespace>/<id>.sqlite, and
metadata.sqlite with the alarms. workerd serves them from a disk service, and
wrangler dev when PATH takes the place of .wrangler/state/v3/do.

` + objectHelp,
		Args: cobra.RangeArgs(1, 3),
		RunE: func(c *cobra.Command, args []string) error {
			return t.with(c, func(ctx context.Context, s operator.Store, out io.Writer) error {
				which, err := selected(ctx, s, args[1:])
				if err != nil {
					return err
				}
				sum, err := workerdisk.Export(args[0], func(to io.Writer) error { return s.Backup(ctx, to, which) })
				if err != nil {
					return err
				}
				fmt.Fprintf(out, "%s has %d objects\n", args[0], sum.Objects)
				warnDamaged(c.ErrOrStderr(), sum)
				return nil
			})
		},
	}
}

// selected finds what a namespace and an id mean, each of which may be missing.
func selected(ctx context.Context, s operator.Store, args []string) (which browse.Selection, err error) {
	switch len(args) {
	case 1:
		which.Namespace, err = operator.FindNamespace(ctx, s, args[0])
	case 2:
		var o operator.Object
		o, err = operator.Find(ctx, s, args[0], args[1])
		which = browse.Selection{Namespace: o.Namespace, ID: &o.ID}
	}
	return which, err
}

func importCommand(t *target) *cobra.Command {
	return &cobra.Command{
		Use:   "import PATH",
		Short: "Take over the objects of workerd or wrangler dev, and its KV and R2",
		Long: `Take over the objects of workerd's local disk, or of wrangler dev: PATH is the
folder of namespaces, one of them, or a project's folder or its .wrangler/state.
Alarms are taken too. The unique key of a namespace becomes its name here: for
wrangler dev that is the Worker's name and the class's, as Dormouse has it.

Of wrangler dev KV namespaces and R2 buckets are taken too, under the names that
they have there. Where the wrangler file of PATH, or of the project in --dir, has
a preview_id or a preview_bucket_name, which wrangler dev uses, they get the name
that Dormouse uses: the id or the bucket_name. To take them alone, PATH is
.wrangler/state/v3/kv, or r2.

Neither side may run meanwhile. Objects and keys that are in the data folder
already are not touched: then nothing is taken at all.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return t.adopt(c, args[0]) },
	}
}

// adopt takes over what path has. All of it is looked at before any is taken.
func (t *target) adopt(c *cobra.Command, path string) (err error) {
	s, err := t.settings()
	if err != nil {
		return err
	}
	stores, err := findStores(c.Context(), path, t.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.close()) }()
	found, err := workerdisk.Find(path)
	if err != nil && (!errors.Is(err, workerdisk.ErrNone) || stores.none()) {
		return err
	}
	f, err := server.MakeFolder(s.Data)
	if busy, inUse := errors.AsType[*server.InUse](err); inUse {
		return fmt.Errorf("data folder %s is in use (process %s): stop the server first", s.Data, busy.PID)
	}
	if err != nil {
		return err
	}
	objects := make([]server.Adopted, len(found))
	for i, o := range found {
		objects[i] = server.Adopted(o)
	}
	keep, closed := f.Keep()
	n := 0
	if err = stores.refuseThere(c.Context(), keep); err == nil {
		n, err = f.Adopt(c.Context(), objects, func() error { return stores.take(c.Context(), keep) })
	}
	if err := errors.Join(err, closed(), f.Close()); err != nil {
		return err
	}
	if len(objects) > 0 {
		fmt.Fprintf(c.OutOrStdout(), "%s has taken %d objects; %d had stored nothing\n", s.Data, n, len(objects)-n)
	}
	stores.tell(c.OutOrStdout())
	return nil
}
