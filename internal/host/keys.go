package host

import (
	"encoding/hex"
	"strings"

	"github.com/dormouse-dev/dormouse"
)

// Filter selects objects. Empty fields select all.
type Filter struct {
	Class, State string
	Search       string // part of the name, or of the id in lower case
}

// Keys returns who is selected of the objects that the shard knows, in no order.
// It is List without the descriptions: of 100,000 objects they would hold the
// loop for a tenth of a second. On the loop.
func (s *Shard) Keys(f Filter) (keys []dormouse.Key) {
	var id [2 * len(dormouse.ID{})]byte
	search := strings.ToLower(f.Search)
	wanted := func(k dormouse.Key, name string) bool {
		if f.Search == "" || strings.Contains(name, f.Search) {
			return true
		}
		hex.Encode(id[:], k.ID[:])
		return strings.Contains(string(id[:]), search)
	}
	for k, o := range s.objects {
		if (f.Class == "" || f.Class == s.Classes[o.class].Name) && (f.State == "" || f.State == o.state()) && wanted(k, o.name) {
			keys = append(keys, k)
		}
	}
	for k, b := range s.blamed {
		if s.objects[k] == nil && s.isolated(k) > 0 && (f.Class == "" || f.Class == b.Class) && (f.State == "" || f.State == b.State) && wanted(k, b.Name) {
			keys = append(keys, k)
		}
	}
	return keys
}
