package server

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// Select implements admin.Selector: the loops say who there is, which is put in
// order here, and describe only those that are shown.
func (r runtime) Select(q admin.Query) (total int, page []admin.Object) {
	var keys []dormouse.Key
	for _, sh := range r.s.shards {
		sh.loop.Call(func() {
			keys = append(keys, sh.host.Keys(host.Filter{Class: q.Class, State: q.State, Search: q.Search})...)
		})
	}
	slices.SortFunc(keys, func(a, b dormouse.Key) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), bytes.Compare(a.ID[:], b.ID[:]))
	})
	total = len(keys)
	keys = keys[min(q.Offset, total):]
	keys = keys[:min(q.Limit, len(keys))]
	found := make([]*admin.Object, len(keys))
	for _, sh := range r.s.shards {
		sh.loop.Call(func() {
			for i, k := range keys {
				if r.s.of(k) != sh {
					continue
				}
				if info, ok := sh.host.Look(k); ok {
					o := row(info)
					found[i] = &o
				}
			}
		})
	}
	page = []admin.Object{}
	for _, o := range found {
		if o != nil { // otherwise it has left meanwhile
			page = append(page, *o)
		}
	}
	return total, page
}
