// Package tail lets people read along: what is logged goes on to where it
// always went, and to whoever listens. It knows lines, filters and bounds, and
// never sees an object or a connection.
package tail

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse/internal/observe"
)

const (
	// MaxListeners bounds who listens at a time.
	MaxListeners = 64
	// waiting is how many lines wait for one listener; past it the newest are
	// lost, and counted.
	waiting = 1024
	// recent is how many lines are kept for those who come later.
	recent = 1000
	// kept is the level from which on they are.
	kept = slog.LevelInfo
	// maxText bounds the text of a line that is kept or waits.
	maxText = 8 << 10
)

// Line is one line of the log. Its keys are those of the log in JSON.
type Line struct {
	Time   time.Time      `json:"time"`
	Level  string         `json:"level"`
	Text   string         `json:"msg"`
	Class  string         `json:"class,omitempty"`
	Object string         `json:"object,omitempty"` // the name if it is known, or else the id
	ID     string         `json:"id,omitempty"`
	More   map[string]any `json:"more,omitempty"` // event, socket, guest, version, reason and others

	level slog.Level
}

// Filter says which lines somebody wants. Empty fields want all.
type Filter struct {
	Class  string
	Object string // name or id
	Level  slog.Level
}

func (f *Filter) wants(l *Line) bool {
	return l.level >= f.Level && f.WantsObject(l.Class, l.ID, l.Object)
}

// WantsObject says whether lines of an object are wanted.
func (f *Filter) WantsObject(class, id, name string) bool {
	return (f.Class == "" || f.Class == class) && (f.Object == "" || f.Object == id || f.Object == name)
}

// Hub is a slog.Handler that passes on to another one and to Listeners. Use New.
type Hub struct {
	next  slog.Handler
	attrs []slog.Attr
	group string
	*shared
}

// shared is what all handlers made of one hub have in common.
type shared struct {
	listening atomic.Pointer[[]*Listener] // replaced, never changed

	mu   sync.Mutex // guards the following, and the replacing of listening
	ring []Line     // oldest at at when it is full
	at   int
}

// New makes a hub in front of next.
func New(next slog.Handler) *Hub {
	h := &Hub{next: next, shared: new(shared)}
	h.listening.Store(new([]*Listener))
	return h
}

// Enabled implements slog.Handler: what the log would not have is wanted while
// somebody listens for it, or for those who come later.
func (h *Hub) Enabled(ctx context.Context, l slog.Level) bool {
	if l >= kept || h.next.Enabled(ctx, l) {
		return true
	}
	for _, x := range *h.listening.Load() {
		if l >= x.filter.Level {
			return true
		}
	}
	return false
}

// Followed says whether somebody listens. Of no hub nobody does.
func (h *Hub) Followed() bool { return h != nil && len(*h.listening.Load()) > 0 }

// Tracing says whether somebody listens to all that some object does.
func (h *Hub) Tracing() bool {
	for _, x := range *h.listening.Load() {
		if x.filter.Level <= slog.LevelDebug {
			return true
		}
	}
	return false
}

// Traces says whether somebody listens to everything that an object does.
func (h *Hub) Traces(class, id, name string) bool {
	for _, x := range *h.listening.Load() {
		if x.filter.Level <= slog.LevelDebug && x.filter.WantsObject(class, id, name) {
			return true
		}
	}
	return false
}

// WithAttrs implements slog.Handler.
func (h *Hub) WithAttrs(attrs []slog.Attr) slog.Handler {
	g := *h
	g.next = h.next.WithAttrs(attrs)
	g.attrs = append(slices.Clone(h.attrs), attrs...)
	return &g
}

// WithGroup implements slog.Handler.
func (h *Hub) WithGroup(name string) slog.Handler {
	g := *h
	g.next = h.next.WithGroup(name)
	g.group += name + "."
	return &g
}

// Handle implements slog.Handler.
func (h *Hub) Handle(ctx context.Context, r slog.Record) error {
	l := h.line(r)
	h.mu.Lock()
	if r.Level >= kept {
		h.keepLocked(l)
	}
	for _, x := range *h.listening.Load() {
		if x.filter.wants(&l) {
			x.offer(l)
		}
	}
	h.mu.Unlock()
	if h.next.Enabled(ctx, r.Level) {
		return h.next.Handle(ctx, r)
	}
	return nil
}

func (s *shared) keepLocked(l Line) {
	if len(s.ring) < recent {
		s.ring = append(s.ring, l)
		return
	}
	s.ring[s.at] = l
	s.at = (s.at + 1) % recent
}

// line is a record with its attributes in their places.
func (h *Hub) line(r slog.Record) Line {
	l := Line{Time: r.Time, Level: strings.ToLower(r.Level.String()), Text: clip(r.Message), level: r.Level}
	if l.Time.IsZero() {
		l.Time = time.Now()
	}
	take := func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case observe.Object:
			l.Object, l.ID = v.String(), v.ID
			return true
		case slog.LogValuer:
			a.Value = a.Value.Resolve()
		}
		switch a.Key {
		case "class":
			l.Class = a.Value.String()
			return true
		case "object":
			l.Object = a.Value.String()
			return true
		}
		if l.More == nil {
			l.More = make(map[string]any)
		}
		l.More[h.group+a.Key] = plain(a.Value)
		return true
	}
	for _, a := range h.attrs {
		take(a)
	}
	r.Attrs(take)
	return l
}

// plain is a value as JSON and people can have it.
func plain(v slog.Value) any {
	switch v.Kind() {
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64:
		return v.Any()
	}
	return clip(v.String())
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + fmt.Sprintf("… (%d bytes)", len(s))
}

// Listener gets the lines that its filter wants. Close it.
type Listener struct {
	filter Filter
	of     *shared
	lines  chan Line
	lost   atomic.Int64
}

// Listen begins to listen, with up to so many lines of the past. It fails when
// too many listen already.
func (h *Hub) Listen(f Filter, past int) (*Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := *h.listening.Load()
	if len(before) >= MaxListeners {
		return nil, fmt.Errorf("%d listen already; end one of them", len(before))
	}
	x := &Listener{filter: f, of: h.shared, lines: make(chan Line, waiting)}
	var old []Line
	for i := range h.ring {
		if l := h.ring[(h.at+i)%len(h.ring)]; f.wants(&l) {
			old = append(old, l)
		}
	}
	for _, l := range old[len(old)-min(len(old), past, waiting):] {
		x.lines <- l
	}
	after := append(slices.Clone(before), x)
	h.listening.Store(&after)
	return x, nil
}

// offer never waits. shared.mu is held, so that lines keep their order.
func (x *Listener) offer(l Line) {
	select {
	case x.lines <- l:
	default:
		x.lost.Add(1)
	}
}

// Lines are what there is to read.
func (x *Listener) Lines() <-chan Line { return x.lines }

// Lost is how many lines were dropped since it was last asked.
func (x *Listener) Lost() int { return int(x.lost.Swap(0)) }

// Close ends it.
func (x *Listener) Close() {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	after := slices.DeleteFunc(slices.Clone(*x.of.listening.Load()), func(y *Listener) bool { return x == y })
	x.of.listening.Store(&after)
}
