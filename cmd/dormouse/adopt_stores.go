package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/r2"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/stores"
	"github.com/dormouse-dev/dormouse/internal/workerdisk/miniflare"
)

// storeBinding is a binding of the project's to a KV namespace or a bucket: what
// it is called here, and in wrangler dev.
type storeBinding struct {
	kind              miniflare.Kind
	name, here, there string
}

// adoptedStore is a KV namespace or a bucket of wrangler dev's on its way.
type adoptedStore struct {
	miniflare.Store
	index      *miniflare.Index
	to         []string // what it is called here; none: it is left behind
	bindings   []string // names of bindings to it
	instead    string   // of one that is left behind: the store that is taken
	keys       int      // of one of to
	expired    int
	unfinished int // uploads
}

// adoptedStores are all of them that hold anything.
type adoptedStores struct {
	list    []*adoptedStore
	project bool // there is one whose bindings are known
}

// findStores opens the stores of wrangler dev's below a path, and looks whether
// all that they hold is there, whole and something that we can hold. The project
// in path, or else in dir, says what they are called here.
func findStores(ctx context.Context, path, dir string) (_ *adoptedStores, err error) {
	all := new(adoptedStores)
	tree, err := miniflare.Look(path)
	if err != nil || tree.Empty() {
		return all, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, all.close())
		}
	}()
	bound, err := all.bound(path, dir)
	if err != nil {
		return nil, err
	}
	known := make(miniflare.Names)
	for _, b := range bound {
		known[b.kind] = append(known[b.kind], b.here, b.there)
	}
	found, err := tree.Stores(known)
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		a := &adoptedStore{Store: s}
		if a.index, err = a.Open(); errors.Is(err, miniflare.ErrNothing) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all.list = append(all.list, a)
		if err := a.check(ctx); err != nil {
			return nil, err
		}
	}
	return all, all.name(bound)
}

// bound lists the bindings of the first folder that has a project.
func (all *adoptedStores) bound(dirs ...string) (list []storeBinding, err error) {
	i := slices.IndexFunc(dirs, project.Here)
	if i < 0 {
		return nil, nil
	}
	secret := func(string) (string, bool) { return "", true } // none is needed here
	c, err := project.Load(project.Options{Dir: dirs[i], LookupEnv: secret, AllowMissing: true, Now: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("the project says what KV namespaces and buckets are called: %w", err)
	}
	all.project = true
	for _, k := range c.KV {
		list = append(list, storeBinding{miniflare.KV, k.Binding, k.ID, k.Preview})
	}
	for _, b := range c.R2 {
		list = append(list, storeBinding{miniflare.R2, b.Binding, b.Bucket, b.Preview})
	}
	return list, nil
}

// place is what a store is called here.
type place struct {
	kind miniflare.Kind
	name string
}

// name says what each store is called here. One that has the name of another's
// place is left behind: wrangler dev did not show it to this project.
func (all *adoptedStores) name(bound []storeBinding) error {
	taken := make(map[place]*adoptedStore)
	for _, a := range all.list {
		if err := a.bind(bound, taken); err != nil {
			return err
		}
	}
	for _, a := range all.list {
		switch other := taken[place{a.Kind, a.Name}]; {
		case len(a.to) > 0:
		case other != nil && a.keys > 0:
			a.instead = other.Name
		default:
			a.to = []string{a.Name}
		}
		for _, to := range a.to {
			if a.keys > 0 && storage.CheckNamespace(dormouse.Namespace(to)) != nil {
				return fmt.Errorf("%s %q: no folder here can have its name: bind it in the wrangler file, with another", a.Kind, to)
			}
		}
	}
	return nil
}

// bind finds the bindings to a store that holds anything, and takes their places.
func (a *adoptedStore) bind(bound []storeBinding, taken map[place]*adoptedStore) error {
	for _, b := range bound {
		if a.keys == 0 || b.kind != a.Kind || b.there != a.Name {
			continue
		}
		a.bindings = append(a.bindings, b.name)
		switch other := taken[place{a.Kind, b.here}]; other {
		case nil:
			a.to = append(a.to, b.here)
			taken[place{a.Kind, b.here}] = a
		case a: // by another binding
		default:
			return fmt.Errorf("wrangler dev has two %ss, %s and %s, and here they would be one, %s: give them ids of their own in the wrangler file", a.Kind, other.Name, a.Name, b.here)
		}
	}
	return nil
}

// check looks at all that a store holds.
func (a *adoptedStore) check(ctx context.Context) (err error) {
	count := func(key string, err error) error {
		if err != nil {
			return fmt.Errorf("%s %s: key %q: %w", a.Kind, a.Name, key, err)
		}
		a.keys++
		return nil
	}
	if a.Kind == miniflare.KV {
		return a.values(ctx, func(v kv.Adopted) error { return count(v.Key, v.Check()) })
	}
	if a.unfinished, err = a.index.Unfinished(); err != nil {
		return err
	}
	return a.index.Objects(ctx, func(o miniflare.Object) error {
		of := objectOf(o)
		err := of.Check()
		if err == nil {
			err = o.Check()
		}
		return count(o.Key, err)
	})
}

// values calls visit with what has not expired.
func (a *adoptedStore) values(ctx context.Context, visit func(kv.Adopted) error) error {
	now := time.Now()
	a.expired = 0
	return a.index.Values(ctx, func(v miniflare.Value) error {
		if !v.Expires.IsZero() && !v.Expires.After(now) {
			a.expired++
			return nil
		}
		of := kv.Adopted{Key: v.Key, Metadata: v.Metadata, Size: v.Body.Size, Open: v.Body.Open}
		if !v.Expires.IsZero() {
			of.Expiration = v.Expires.Unix()
		}
		return visit(of)
	})
}

func objectOf(o miniflare.Object) r2.Adopted {
	return r2.Adopted{
		Object: r2.Object{
			Key: o.Key, Version: o.Version, Size: o.Body.Size, ETag: o.ETag, Uploaded: o.Uploaded.UnixMilli(),
			Checksums: o.Checksums, HTTP: o.HTTP, Custom: o.Custom,
		},
		Open: o.Body.Open,
	}
}

// none says that nothing was found.
func (all *adoptedStores) none() bool { return len(all.list) == 0 }

// refuseThere returns an error if a key is there already.
func (all *adoptedStores) refuseThere(ctx context.Context, keep stores.Keeper) error {
	kvs, err := keep.KVNames()
	if err != nil {
		return err
	}
	buckets, err := keep.R2Names()
	if err != nil {
		return err
	}
	for _, a := range all.list {
		for _, to := range a.to {
			have := kvs
			if a.Kind == miniflare.R2 {
				have = buckets
			}
			if !slices.Contains(have, to) {
				continue
			}
			if err := a.refuseThere(ctx, keep, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *adoptedStore) refuseThere(ctx context.Context, keep stores.Keeper, to string) error {
	refuse := func(key string, there bool, err error) error {
		if err == nil && there {
			err = fmt.Errorf("%s %s has the key %q already; nothing was taken", a.Kind, to, key)
		}
		return err
	}
	if a.Kind == miniflare.KV {
		s, err := keep.KV(to)
		if err != nil {
			return err
		}
		return a.values(ctx, func(v kv.Adopted) error {
			there, err := s.Holds(ctx, v.Key)
			return refuse(v.Key, there, err)
		})
	}
	b, err := keep.R2(to)
	if err != nil {
		return err
	}
	return a.index.Objects(ctx, func(o miniflare.Object) error {
		there, err := b.Holds(ctx, o.Key)
		return refuse(o.Key, there, err)
	})
}

// take copies what the stores hold: of each all or, after an error, nothing.
func (all *adoptedStores) take(ctx context.Context, keep stores.Keeper) error {
	var done []string
	for _, a := range all.list {
		for _, to := range a.to {
			err := a.take(ctx, keep, to)
			if err == nil {
				done = append(done, fmt.Sprintf("%s %s", a.Kind, to))
				continue
			}
			if len(done) > 0 {
				return fmt.Errorf("%s %s: %w; already taken: %s; delete their keys before you try again", a.Kind, to, err, strings.Join(done, ", "))
			}
			return fmt.Errorf("%s %s: %w", a.Kind, to, err)
		}
	}
	return nil
}

func (a *adoptedStore) take(ctx context.Context, keep stores.Keeper, to string) error {
	if a.keys == 0 {
		return nil
	}
	a.keys = 0
	if a.Kind == miniflare.KV {
		s, err := keep.KV(to)
		if err != nil {
			return err
		}
		return s.Adopt(ctx, func(take func(kv.Adopted) error) error {
			return a.values(ctx, func(v kv.Adopted) error { a.keys++; return take(v) })
		})
	}
	b, err := keep.R2(to)
	if err != nil {
		return err
	}
	return b.Adopt(ctx, func(take func(r2.Adopted) error) error {
		return a.index.Objects(ctx, func(o miniflare.Object) error { a.keys++; return take(objectOf(o)) })
	})
}

// tell says what was taken.
func (all *adoptedStores) tell(out io.Writer) {
	for _, a := range all.list {
		if a.instead != "" {
			fmt.Fprintf(out, "%s %s was left behind: wrangler dev had %s in its place\n", a.Kind, a.Name, a.instead)
			continue
		}
		if a.keys+a.expired+a.unfinished == 0 {
			continue
		}
		fmt.Fprintf(out, "%s %s: %s", a.Kind, a.called(), counted(a.keys, "key"))
		if a.expired > 0 {
			fmt.Fprintf(out, "; %d had expired", a.expired)
		}
		if a.unfinished > 0 {
			fmt.Fprintf(out, "; %s left behind", counted(a.unfinished, "unfinished upload"))
		}
		if all.project && len(a.bindings) == 0 && a.keys > 0 {
			fmt.Fprint(out, "; no binding of the project has it")
		}
		fmt.Fprintln(out)
	}
}

// called is a store's name there, and here if that is another, and its bindings.
func (a *adoptedStore) called() string {
	text := a.Name
	if !slices.Equal(a.to, []string{a.Name}) {
		text += ", here " + strings.Join(a.to, " and ")
	}
	if len(a.bindings) > 0 {
		text += " (" + strings.Join(a.bindings, ", ") + ")"
	}
	return text
}

// counted is a number of things, as a person says it.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// close ends the reading of all.
func (all *adoptedStores) close() error {
	var err error
	for _, a := range all.list {
		err = errors.Join(err, a.index.Close())
	}
	return err
}
