package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/classes"
	"github.com/dormouse-dev/dormouse/server"
)

func purgeCommand(t *target) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "purge [NAMESPACE]",
		Short: "List the data of deleted classes, or remove it for good",
		Long: `A migration that deletes a class keeps the data of its objects aside. Without
NAMESPACE this lists what there is; with one, and --yes, its data is removed for
good. The server must be stopped.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := t.stopped()
			if err != nil {
				return err
			}
			r, err := classes.Load(f.Data)
			if err == nil && len(args) == 0 {
				err = t.listAside(c.OutOrStdout(), f, r)
			} else if err == nil {
				err = purge(c.OutOrStdout(), f, r, dormouse.Namespace(args[0]), yes)
			}
			return errors.Join(err, f.Close())
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "remove it")
	return c
}

// stopped takes the data folder, which no server may use.
func (t *target) stopped() (*server.Folder, error) {
	s, err := t.settings()
	if err != nil {
		return nil, err
	}
	f, err := server.OpenFolder(s.Data)
	if busy, inUse := errors.AsType[*server.InUse](err); inUse {
		return nil, fmt.Errorf("data folder %s is in use (process %s): stop the server first", s.Data, busy.PID)
	}
	return f, err
}

func (t *target) listAside(out io.Writer, f *server.Folder, r *classes.Record) error {
	l := newLines(out, t.json)
	l.head("NAMESPACE", "CLASS", "DELETED", "BY", "OBJECTS", "BYTES")
	for _, d := range r.Aside() {
		objects, bytes, err := sizeOf(f, d.Namespace)
		if err != nil {
			return err
		}
		v := struct {
			classes.Deleted
			Objects int   `json:"objects"`
			Bytes   int64 `json:"bytes"`
		}{d, objects, bytes}
		l.line(v, string(d.Namespace), d.Name, d.At.Local().Format(time.DateTime), d.By, fmt.Sprint(objects), fmt.Sprint(bytes))
	}
	return l.end()
}

func sizeOf(f *server.Folder, n dormouse.Namespace) (objects int, bytes int64, err error) {
	err = browse.Walk(server.DatabaseFolder(f.Data), n, "", func(_ dormouse.Key, path string) error {
		objects++
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return objects, bytes, err
}

func purge(out io.Writer, f *server.Folder, r *classes.Record, n dormouse.Namespace, yes bool) error {
	if !slices.ContainsFunc(r.Aside(), func(d classes.Deleted) bool { return d.Namespace == n }) {
		return fmt.Errorf("no deleted class has the namespace %q; `dormouse storage purge` lists those that there are", n)
	}
	objects, bytes, err := sizeOf(f, n)
	if err != nil {
		return err
	}
	if !yes {
		return fmt.Errorf("%d objects with %d bytes would be removed for good: say --yes", objects, bytes)
	}
	if err := f.Purge(n); err != nil {
		return err
	}
	r.Forget(n)
	if err := r.Save(f.Data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "removed %d objects, %d bytes\n", objects, bytes)
	return err
}
