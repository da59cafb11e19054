package ws

// Pool is what the endpoints of one loop lend and give back: decoders for
// messages that are partly received, outboxes for bytes that wait, the memory
// of a round's output, an inflater and a deflater. All of it belongs to the
// loop; none of it to a connection at rest. The zero value is ready.
type Pool struct {
	// Paused stops the delivery of everything received, on all endpoints; see
	// Endpoint.Receive.
	Paused bool

	arena    arena
	decoders []*Decoder
	outboxes []*Outbox
	terms    []*terms
	memory   pieces // for the messages of RunSinks
	deflate
}

// Bounds on what a pool keeps for later.
const (
	maxKeptDecoders = 64
	maxKeptBody     = 128 << 10 // of a decoder
	maxKeptHeld     = 64 << 10  // of a decoder
	maxKeptOutboxes = 8 << 10
	maxKeptSegments = 64 // of an outbox
	maxKeptTerms    = 16
	maxKeptScratch  = 256 << 10
)

// terms are the Options of an endpoint but for what it uses up at once. Equal
// ones are shared.
type terms struct {
	pool        *Pool
	deflate     DeflateParams // zero without compression
	maxMessage  int
	maxOutbound int
}

func (p *Pool) termsOf(o Options) *terms {
	t := terms{pool: p, maxMessage: o.MaxMessage, maxOutbound: o.MaxOutbound}
	if t.maxMessage <= 0 {
		t.maxMessage = DefaultMaxMessage
	}
	if t.maxOutbound <= 0 {
		t.maxOutbound = DefaultMaxOutbound
	}
	if o.Deflate != nil {
		t.deflate = *o.Deflate
	}
	for _, known := range p.terms {
		if *known == t {
			return known
		}
	}
	if len(p.terms) == maxKeptTerms {
		p.terms = p.terms[:0] // more than anyone configures; start again
	}
	p.terms = append(p.terms, &t)
	return &t
}

// Decoder lends a decoder. Give it back with Release.
func (p *Pool) Decoder(t Terms) *Decoder {
	n := len(p.decoders)
	if n == 0 {
		return &Decoder{pool: p, terms: t}
	}
	d := p.decoders[n-1]
	p.decoders[n-1] = nil
	p.decoders = p.decoders[:n-1]
	d.terms = t
	return d
}

// Release takes a decoder back, in whatever state.
func (p *Pool) Release(d *Decoder) {
	if len(p.decoders) == maxKeptDecoders || cap(d.body) > maxKeptBody || cap(d.held) > maxKeptHeld {
		return
	}
	if !d.Idle() {
		*d = Decoder{pool: p, body: d.body, held: d.held}
	}
	d.body, d.held = d.body[:0], d.held[:0]
	p.decoders = append(p.decoders, d)
}

func (p *Pool) outbox() *Outbox {
	n := len(p.outboxes)
	if n == 0 {
		return &Outbox{}
	}
	o := p.outboxes[n-1]
	p.outboxes[n-1] = nil
	p.outboxes = p.outboxes[:n-1]
	return o
}

// releaseOutbox takes an outbox back, with whatever it still holds.
func (p *Pool) releaseOutbox(o *Outbox) {
	if len(p.outboxes) == maxKeptOutboxes || cap(o.segments) > maxKeptSegments {
		return
	}
	clear(o.segments)
	*o = Outbox{segments: o.segments[:0]}
	p.outboxes = append(p.outboxes, o)
}

// Full reports whether the round has so much to send that it should not wait for
// its end: a broadcast of broadcasts, say.
func (p *Pool) Full() bool { return p.arena.at >= maxBlocks }

// EndRound frees the memory of the round's output. What was not sent before,
// with Endpoint.Sent, is overwritten.
func (p *Pool) EndRound() { p.arena.reset() }

// arena is the memory of what one round sends: blocks that are filled in order
// and free again together, at the round's end.
type arena struct {
	blocks [][]byte // what is used of each
	at     int      // the block being filled
}

const (
	arenaBlock     = 64 << 10
	maxBlocks      = 256 // of a round, as far as Full is heeded
	maxKeptBlocks  = 32
	maxArenaAppend = 16 << 10 // larger pieces have memory of their own
)

// place is a position in an arena.
type place struct{ block, offset int }

// alloc returns n bytes, at most maxArenaAppend, and where they begin. Bytes
// allocated one after the other in one block are adjacent.
func (a *arena) alloc(n int) (b []byte, begin place) {
	if len(a.blocks) == 0 {
		a.blocks = append(a.blocks, make([]byte, 0, arenaBlock))
	}
	if used := len(a.blocks[a.at]); used+n > arenaBlock {
		a.at++
		if a.at == len(a.blocks) {
			a.blocks = append(a.blocks, make([]byte, 0, arenaBlock))
		}
	}
	used := len(a.blocks[a.at])
	a.blocks[a.at] = a.blocks[a.at][:used+n]
	return a.blocks[a.at][used:], place{a.at, used}
}

func (a *arena) reset() {
	if len(a.blocks) > maxKeptBlocks {
		clear(a.blocks[maxKeptBlocks:])
		a.blocks = a.blocks[:maxKeptBlocks]
	}
	for i := range a.blocks[:min(a.at+1, len(a.blocks))] {
		a.blocks[i] = a.blocks[i][:0]
	}
	a.at = 0
}
