package alarm

import "slices"

// Spoilers break the index in ways in which it cannot break by itself.
var Spoilers = map[string]func(*Index){
	"an entry is not in the queue": func(x *Index) { x.due = x.due[:len(x.due)-1] },
	"two have changed places": func(x *Index) {
		x.due[0], x.due[len(x.due)-1] = x.due[len(x.due)-1], x.due[0]
	},
	"a time has changed in place": func(x *Index) { x.due[400].at, x.due[400].stored = 0, 0 },
	"a run has vanished":          func(x *Index) { x.running-- },
	"an entry is there twice":     func(x *Index) { x.due = append(x.due, slices.Clone(x.due)[3]) },
}
