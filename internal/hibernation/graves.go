package hibernation

import "github.com/dormouse-dev/dormouse"

// maxGraves bounds what is remembered of pairs of which one end went before the
// other was taken. That lasts as long as an answer is on its way, so the oldest
// may be forgotten.
const maxGraves = 4096

// graves are ends that went before their peer was taken.
type graves struct {
	ids  map[dormouse.SocketID]struct{}
	ring []dormouse.SocketID // the same, oldest at next when full
	next int
}

func (g *graves) has(id dormouse.SocketID) bool {
	_, ok := g.ids[id]
	return ok
}

func (g *graves) add(id dormouse.SocketID) {
	if g.has(id) {
		return
	}
	if g.ids == nil {
		g.ids = make(map[dormouse.SocketID]struct{})
	}
	if len(g.ring) < maxGraves {
		g.ring = append(g.ring, id)
	} else {
		delete(g.ids, g.ring[g.next])
		g.ring[g.next] = id
		g.next = (g.next + 1) % maxGraves
	}
	g.ids[id] = struct{}{}
}
