package server

import "context"

// Control reaches into a server: package dormousetest hands it to tests. It is
// good once the server has been started.
type Control struct{ s *Server }

// Hibernate has an object leave memory, and returns false if it has something to
// do. With force, tasks do not count.
func (c *Control) Hibernate(o *Stub, force bool) bool {
	return runtime{c.s}.Hibernate(context.Background(), o.key(), force)
}

// Why says what keeps an object in memory, as the admin API does.
func (c *Control) Why(o *Stub) string {
	d, _ := runtime{c.s}.Object(context.Background(), o.key())
	return string(d.WhyAwake)
}

// Crash ends an object written in Go as the death of its process would.
func (c *Control) Crash(o *Stub) {
	k := o.key()
	sh := c.s.of(k)
	if g, ok := sh.slot.(*goSlot); ok {
		sh.loop.Call(func() { g.guest.Crash(k) })
	}
}

// Constructions returns how often objects of a class have been constructed.
func (c *Control) Constructions(class string) int {
	for _, k := range (runtime{c.s}).Classes() {
		if k.Name == class {
			return int(k.Constructions)
		}
	}
	return 0
}
