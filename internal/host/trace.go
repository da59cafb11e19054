package host

import (
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// Bounds of what is remembered for traces. Past them events have no spans, or
// begin traces of their own.
const (
	maxTracedSockets = 100_000 // of a shard
	maxSpans         = 1024    // of one activation, that have not ended
)

// tracing is what a shard keeps for its Tracer. A shard without one has none.
type tracing struct {
	trace.Tracer
	// sockets has the span in which each socket was opened: what it says belongs to
	// that trace, however often its object has slept since.
	sockets map[dormouse.Key]map[dormouse.SocketID]trace.Context
	n       int // of them
}

// spans are those of an activation that have not ended, oldest first.
type spans struct {
	list []spanned
	wake trace.Span // until its constructor has run; nil: it has
}

type spanned struct {
	trace.Span
	event uint32
}

// InTrace notes the context of the session that the guest opens next.
func (s *Shard) InTrace(g guest.Guest, context string) {
	if l := s.lives[g]; l != nil && s.tracing != nil {
		l.traced = context
	}
}

// takeTraced gives the context to the session that is opened. Pairs with InTrace.
func (l *life) takeTraced() string {
	context := l.traced
	l.traced = ""
	return context
}

// span begins the span of the event that the object is given now, and which has
// been counted; nil: it is not recorded.
func (o *resident) span(k observe.Kind, parent trace.Context) trace.Span {
	s, l := o.shard, o.live
	now := s.Loop.Now()
	if l.spans == nil {
		l.spans = new(spans)
	}
	if len(l.spans.list) >= maxSpans {
		return nil
	}
	class := s.Classes[o.class].Name
	span := s.tracing.Begin(parent, class+" "+k.String(), trace.Internal, now,
		trace.Attribute{Key: "dormouse.class", Value: class},
		trace.Attribute{Key: "dormouse.object", Value: o.ref().String()},
		trace.Attribute{Key: "dormouse.event", Value: o.eventName()},
	)
	if span == nil {
		return nil
	}
	if v, ok := o.guest.(interface{ Version() string }); ok && v.Version() != "" {
		span.Set(trace.Attribute{Key: "dormouse.version", Value: v.Version()})
	}
	if o.m.Delivered() == 1 && !l.started {
		span.Set(trace.Attribute{Key: "dormouse.woke", Value: "true"})
		l.spans.wake = s.tracing.Begin(span.Context(), class+" wake", trace.Internal, l.since)
	}
	l.spans.list = append(l.spans.list, spanned{span, o.m.Delivered()})
	return span
}

// traced begins the span of an event and tells the guest of its context, right
// before the event. parent may be zero.
func (o *resident) traced(k observe.Kind, parent trace.Context) trace.Span {
	if o.shard.tracing == nil {
		return nil
	}
	span := o.span(k, parent)
	if g, ok := o.guest.(guest.Tracing); ok {
		if span != nil {
			parent = span.Context()
		}
		if !parent.IsZero() {
			g.Trace(parent.Text())
		}
	}
	return span
}

// tracedSocket is traced for what a socket says.
func (o *resident) tracedSocket(k observe.Kind, id dormouse.SocketID) {
	if t := o.shard.tracing; t != nil {
		o.traced(k, t.sockets[o.key][id])
	}
}

// tracedRequest begins the span of a request, whose headers say what it belongs
// to from now on.
func (o *resident) tracedRequest(r *guest.Request) trace.Span {
	if o.shard.tracing == nil {
		return nil
	}
	span := o.span(observe.Request, ContextOf(r))
	if span != nil {
		SetContext(r, span.Context())
	}
	return span
}

// ContextOf reads what a request belongs to.
func ContextOf(r *guest.Request) trace.Context {
	var parent, state string
	for i := range r.Header {
		switch h := &r.Header[i]; {
		case len(h.Name) == len("traceparent") && strings.EqualFold(h.Name, "traceparent"):
			parent = h.Value
		case len(h.Name) == len("tracestate") && strings.EqualFold(h.Name, "tracestate"):
			state = h.Value
		}
	}
	c, _ := trace.Parse(parent, state)
	return c
}

// SetContext has a request belong to c.
func SetContext(r *guest.Request, c trace.Context) {
	kept := make([]guest.Header, 0, len(r.Header)+2)
	for _, h := range r.Header {
		if !strings.EqualFold(h.Name, "traceparent") && !strings.EqualFold(h.Name, "tracestate") {
			kept = append(kept, h)
		}
	}
	kept = append(kept, guest.Header{Name: "traceparent", Value: c.Parent()})
	if c.State != "" {
		kept = append(kept, guest.Header{Name: "tracestate", Value: c.State})
	}
	r.Header = kept
}

// opened remembers in which span a socket was opened.
func (t *tracing) opened(k dormouse.Key, id dormouse.SocketID, c trace.Context) {
	if t.n >= maxTracedSockets {
		return
	}
	if t.sockets[k] == nil {
		if t.sockets == nil {
			t.sockets = make(map[dormouse.Key]map[dormouse.SocketID]trace.Context)
		}
		t.sockets[k] = make(map[dormouse.SocketID]trace.Context)
	}
	if _, known := t.sockets[k][id]; !known {
		t.n++
	}
	t.sockets[k][id] = c
}

// closed forgets a socket.
func (t *tracing) closed(k dormouse.Key, id dormouse.SocketID) {
	of := t.sockets[k]
	if _, known := of[id]; !known {
		return
	}
	delete(of, id)
	t.n--
	if len(of) == 0 {
		delete(t.sockets, k)
	}
}

// emptied forgets the sockets of an object that has none any more.
func (t *tracing) emptied(k dormouse.Key) {
	t.n -= len(t.sockets[k])
	delete(t.sockets, k)
}

// constructed ends the span of the wake.
func (p *spans) constructed(now time.Time) {
	if p != nil && p.wake != nil {
		p.wake.End(now)
		p.wake = nil
	}
}

// finished ends the spans of the events up to this number: which have finished
// is known only by how many have.
func (p *spans) finished(total uint32, now time.Time) {
	for len(p.list) > 0 && int32(total-p.list[0].event) >= 0 {
		p.list[0].End(now)
		p.list[0] = spanned{}
		p.list = p.list[1:]
	}
	if len(p.list) == 0 {
		p.list = nil
	}
}

// left ends what the activation has not finished.
func (p *spans) left(why string, now time.Time) {
	if p == nil {
		return
	}
	if p.wake != nil {
		p.wake.Fail(why)
		p.constructed(now)
	}
	for _, s := range p.list {
		s.Fail(why)
		s.End(now)
	}
	p.list = nil
}
