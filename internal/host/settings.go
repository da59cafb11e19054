package host

// maxSettings bounds the records that are kept only for an auto-response or an
// event timeout. A constructor sets them again, as a rule, so the oldest may be
// forgotten.
const maxSettings = 1024

// settings are records that were kept for nothing but what the object has set,
// oldest at next when it is full.
type settings struct {
	ring []*resident
	next int
}

// keep remembers o and forgets the oldest when there are too many.
func (t *settings) keep(o *resident) {
	if o.settled {
		return // it has its place
	}
	o.settled = true
	if len(t.ring) < maxSettings {
		t.ring = append(t.ring, o)
		return
	}
	old := t.ring[t.next]
	t.ring[t.next] = o
	t.next = (t.next + 1) % maxSettings
	old.settled = false
	if s := old.shard; !old.needed() && s.objects[old.key] == old {
		delete(s.objects, old.key)
	}
}
