package admin

import "strings"

// Query selects a part of the list of objects.
type Query struct {
	Class, State  string // empty: any
	Search        string // part of the name or the id
	Offset, Limit int
}

// Selector is implemented by a Runtime that can select without describing every
// object.
type Selector interface {
	// Select returns how many there are, and those of the part.
	Select(Query) (total int, page []Object)
}

func pageOf(rt Runtime, q Query) (total int, page []Object) {
	if s, ok := rt.(Selector); ok {
		return s.Select(q)
	}
	page = []Object{}
	for _, o := range rt.Objects() {
		if q.wants(&o) {
			page = append(page, o)
		}
	}
	total = len(page)
	page = page[min(q.Offset, total):]
	return total, page[:min(q.Limit, len(page))]
}

func (q *Query) wants(o *Object) bool {
	return (q.Class == "" || q.Class == o.Class) && (q.State == "" || q.State == o.State) &&
		(q.Search == "" || strings.Contains(o.ID, strings.ToLower(q.Search)) || o.Name != nil && strings.Contains(*o.Name, q.Search))
}
