package dormouse

import (
	"net/url"
	"strings"
)

// Where is the event in which an error happened, as the log names it. It is for
// operators, and does not cross to other objects.
type Where struct {
	Event         string // the same in no two events of one server's run
	Class, Object string // the object's name if it is known, or else its id; empty: the Worker's own code
	Version       string // of the code; empty: there is one only
}

// String is what the header Dormouse-Error holds: names are percent-encoded.
func (w *Where) String() string {
	var b strings.Builder
	for _, part := range [...]struct{ key, value string }{
		{"event", w.Event}, {"class", w.Class}, {"object", w.Object}, {"version", w.Version},
	} {
		if part.value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(part.key + "=" + url.PathEscape(part.value))
	}
	return b.String()
}
