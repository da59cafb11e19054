package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/operator"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/r2"
)

const storesHelp = `If a server uses the data folder, it is asked; otherwise the files are opened.
A namespace or bucket is named as in the wrangler file: by its id or name, or in
the project's folder by its binding.`

// storeTarget is the KV namespaces or buckets that a command is about.
type storeTarget struct {
	target
	kind operator.Kind
}

func kvCommand() *cobra.Command {
	t := &storeTarget{kind: operator.KV}
	c := &cobra.Command{Use: "kv", Short: "Look into KV namespaces, and change them", Long: "Look into KV namespaces, and change them. Keys of objects are elsewhere: dormouse storage kv.\n\n" + storesHelp}
	t.register(c)
	c.AddCommand(t.namesCommand("namespaces", "List the namespaces"), kvKeysCommand(t), t.getCommand("NAMESPACE", "value"), kvWriteCommand(t), t.deleteCommand("NAMESPACE"))
	return c
}

func r2Command() *cobra.Command {
	t := &storeTarget{kind: operator.R2}
	c := &cobra.Command{Use: "r2", Short: "Look into R2 buckets, and change them", Long: "Look into R2 buckets, and change them.\n\n" + storesHelp}
	t.register(c)
	c.AddCommand(t.namesCommand("buckets", "List the buckets"), r2ListCommand(t), t.getCommand("BUCKET", "body"), r2WriteCommand(t), t.deleteCommand("BUCKET"))
	return c
}

// withStores opens them for f.
func (t *storeTarget) withStores(c *cobra.Command, f func(context.Context, *operator.Stores, io.Writer) error) error {
	return t.with(c, func(ctx context.Context, s operator.Store, out io.Writer) error {
		open, ok := s.(interface{ Stores() *operator.Stores })
		if !ok {
			return errors.New("stores cannot be asked for here")
		}
		list := open.Stores()
		return errors.Join(f(ctx, list, out), list.Close())
	})
}

// withStore opens them and finds the one that somebody means.
func (t *storeTarget) withStore(c *cobra.Command, name string, f func(context.Context, *operator.Stores, string, io.Writer) error) error {
	return t.withStores(c, func(ctx context.Context, s *operator.Stores, out io.Writer) error {
		all, err := s.Names(ctx, t.kind)
		if err != nil {
			return err
		}
		if !slices.Contains(all, name) {
			name = cmp.Or(t.bound(name), name)
		}
		return f(ctx, s, name, out)
	})
}

// bound is what the project has under that name, or binds to it; empty: nothing,
// or there is no project.
func (t *storeTarget) bound(name string) string {
	c, err := project.Load(project.Options{Dir: t.dir, LookupEnv: os.LookupEnv, AllowMissing: true, Now: time.Now()})
	if err != nil {
		return "" // the error is about a name that is not there
	}
	for _, k := range c.KV {
		if t.kind == operator.KV && (k.Binding == name || k.ID == name) {
			return k.ID
		}
	}
	for _, b := range c.R2 {
		if t.kind == operator.R2 && (b.Binding == name || b.Bucket == name) {
			return b.Bucket
		}
	}
	return ""
}

func (t *storeTarget) namesCommand(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return t.withStores(c, func(ctx context.Context, s *operator.Stores, out io.Writer) error {
				all, err := s.Names(ctx, t.kind)
				l := newLines(out, t.json)
				for _, name := range all {
					l.line(name, name)
				}
				return errors.Join(err, l.end())
			})
		},
	}
}

// listFlags are those of a list.
type listFlags struct {
	prefix string
	limit  int
}

func (f *listFlags) register(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&f.prefix, "prefix", "", "only keys that begin with this")
	c.Flags().IntVar(&f.limit, "limit", 0, "print so many at most (default: all)")
	return c
}

// page is how many are asked for next, when so many have been printed; 0: no more.
func (f *listFlags) page(printed, most int) int {
	if f.limit == 0 {
		return most
	}
	return min(most, f.limit-printed)
}

func kvKeysCommand(t *storeTarget) *cobra.Command {
	f := new(listFlags)
	return f.register(&cobra.Command{
		Use: "list NAMESPACE", Short: "List keys, with their metadata and when they go", Long: "List keys in the order of their bytes.\n\n" + storesHelp, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withStore(c, args[0], func(ctx context.Context, s *operator.Stores, name string, out io.Writer) error {
				l := newLines(out, t.json)
				l.head("KEY", "EXPIRES", "METADATA")
				after := ""
				for printed := 0; ; {
					n := f.page(printed, kv.MaxList)
					if n == 0 {
						return l.end()
					}
					page, err := s.Keys(ctx, name, f.prefix, after, n)
					if err != nil {
						return err
					}
					for _, k := range page.Keys {
						expires := "never"
						if k.Expiration != nil {
							expires = k.Expiration.Local().Format("2006-01-02 15:04:05")
						}
						l.line(k, k.Key, expires, string(k.Metadata))
						after = k.Key
					}
					printed += len(page.Keys)
					if !page.More {
						return l.end()
					}
				}
			})
		},
	})
}

func r2ListCommand(t *storeTarget) *cobra.Command {
	f := new(listFlags)
	delimiter := ""
	c := f.register(&cobra.Command{
		Use: "list BUCKET", Short: "List objects", Long: "List objects in the order of their keys' bytes.\n\n" + storesHelp, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withStore(c, args[0], func(ctx context.Context, s *operator.Stores, name string, out io.Writer) error {
				l := newLines(out, t.json)
				l.head("KEY", "BYTES", "UPLOADED", "ETAG")
				q := r2.Query{Prefix: f.prefix, Delimiter: delimiter}
				for printed := 0; ; {
					if q.Limit = f.page(printed, r2.MaxList); q.Limit == 0 {
						return l.end()
					}
					page, err := s.Objects(ctx, name, q)
					if err != nil {
						return err
					}
					for _, p := range page.Prefixes {
						l.line(map[string]string{"prefix": p}, p, "", "", "")
					}
					for _, o := range page.Objects {
						l.line(o, o.Key, fmt.Sprint(o.Size), time.UnixMilli(o.Uploaded).Format("2006-01-02 15:04:05"), o.ETag)
					}
					printed += len(page.Objects) + len(page.Prefixes)
					if q.Cursor = page.Cursor; q.Cursor == "" {
						return l.end()
					}
				}
			})
		},
	})
	c.Flags().StringVar(&delimiter, "delimiter", "", "tell keys that go on after this as one")
	return c
}

func (t *storeTarget) getCommand(store, what string) *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use: "get " + store + " KEY", Short: "Print the " + what + " of a key, as it is", Long: "Print the " + what + " of a key, byte for byte.\n\n" + storesHelp, Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withStore(c, args[0], func(ctx context.Context, s *operator.Stores, name string, out io.Writer) error {
				if file == "" {
					return s.Read(ctx, t.kind, name, args[1], out)
				}
				return writeWhole(file, func(w io.Writer) error { return s.Read(ctx, t.kind, name, args[1], w) })
			})
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "write it to this file")
	return c
}

// writeWhole makes a file that appears whole or not at all.
func writeWhole(path string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // when it has not got its name
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func kvWriteCommand(t *storeTarget) *cobra.Command {
	var x operator.Content
	c := &cobra.Command{
		Use: "put NAMESPACE KEY VALUE", Short: "Store a value", Long: "Store a value, which is text; - reads it from the input.\n\n" + storesHelp, Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			text := []byte(args[2])
			if args[2] == "-" {
				var err error
				if text, err = io.ReadAll(io.LimitReader(c.InOrStdin(), kv.MaxValue+1)); err != nil {
					return err
				}
			}
			x.Body, x.Size = bytes.NewReader(text), int64(len(text))
			return t.withStore(c, args[0], func(ctx context.Context, s *operator.Stores, name string, _ io.Writer) error {
				x.Create = x.Create || t.bound(name) != "" // before the Worker has used it
				return s.Write(ctx, t.kind, name, args[1], x)
			})
		},
	}
	c.Flags().StringVar(&x.Metadata, "metadata", "", "metadata, as JSON")
	c.Flags().BoolVar(&x.Create, "create", false, "make the namespace if there is none; one that the project names needs no word")
	c.Flags().IntVar(&x.TTL, "ttl", 0, "how many seconds it stays (60 or more; default: for ever)")
	return c
}

func r2WriteCommand(t *storeTarget) *cobra.Command {
	kind, create := "", false
	c := &cobra.Command{
		Use: "put BUCKET KEY FILE", Short: "Store a file as an object", Long: "Store a file as an object.\n\n" + storesHelp, Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[2])
			if err != nil {
				return err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				return fmt.Errorf("%s is no regular file: its length has to be known", args[2])
			}
			x := operator.Content{Body: f, Size: info.Size(), Type: kind, Create: create}
			if x.Type == "" {
				x.Type = mime.TypeByExtension(strings.ToLower(filepath.Ext(args[2])))
			}
			return t.withStore(c, args[0], func(ctx context.Context, s *operator.Stores, name string, _ io.Writer) error {
				x.Create = x.Create || t.bound(name) != "" // before the Worker has used it
				return s.Write(ctx, t.kind, name, args[1], x)
			})
		},
	}
	c.Flags().BoolVar(&create, "create", false, "make the bucket if there is none; one that the project names needs no word")
	c.Flags().StringVar(&kind, "content-type", "", "its content type (default: by the name of the file)")
	return c
}

func (t *storeTarget) deleteCommand(store string) *cobra.Command {
	return &cobra.Command{
		Use: "delete " + store + " KEY...", Short: "Delete keys", Long: "Delete keys.\n\n" + storesHelp, Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withStore(c, args[0], func(ctx context.Context, s *operator.Stores, name string, _ io.Writer) error {
				var missing []string
				for _, key := range args[1:] {
					was, err := s.Delete(ctx, t.kind, name, key)
					if err != nil {
						return err
					}
					if !was {
						missing = append(missing, key)
					}
				}
				if len(missing) > 0 {
					return fmt.Errorf("%s has no key %q", name, missing)
				}
				return nil
			})
		},
	}
}
