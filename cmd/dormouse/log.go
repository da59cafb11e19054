package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// newLog writes for people, or with format "json" for machines.
func newLog(w io.Writer, format string, level slog.Level, color bool) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(&people{out: &shared{w: w}, level: level, color: color})
}

// people is a slog.Handler for a person in front of a terminal: time, level,
// class and object in columns, then the text, then the rest.
type people struct {
	out   *shared
	level slog.Level
	color bool
	attrs []slog.Attr
	group string
}

// shared lets one line at a time through.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *people) Enabled(_ context.Context, l slog.Level) bool { return l >= p.level }

func (p *people) WithAttrs(attrs []slog.Attr) slog.Handler {
	q := *p
	q.attrs = append(append([]slog.Attr(nil), p.attrs...), attrs...)
	return &q
}

func (p *people) WithGroup(name string) slog.Handler {
	q := *p
	q.group += name + "."
	return &q
}

var levels = map[slog.Level]struct{ word, color string }{
	slog.LevelDebug: {"debug", "\x1b[2m"},
	slog.LevelInfo:  {"", ""},
	slog.LevelWarn:  {"warn", "\x1b[33m"},
	slog.LevelError: {"error", "\x1b[31m"},
}

func (p *people) Handle(_ context.Context, r slog.Record) error {
	var who, rest []string
	take := func(a slog.Attr) bool {
		switch v := a.Value.Resolve().String(); a.Key {
		case "class", "object":
			who = append(who, v)
		case "console":
		case "guest", "version":
			if r.Level <= slog.LevelInfo {
				break
			}
			fallthrough
		default:
			if strings.ContainsAny(v, " \"\n\t") {
				v = strconv.Quote(v)
			}
			rest = append(rest, p.group+a.Key+"="+v)
		}
		return true
	}
	for _, a := range p.attrs {
		take(a)
	}
	r.Attrs(take)
	var b bytes.Buffer
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	b.WriteString(p.paint("\x1b[2m", at.Format("15:04:05.000")))
	l := levels[r.Level]
	if l.word != "" {
		b.WriteString("  " + p.paint(l.color, l.word))
	}
	if len(who) > 0 {
		b.WriteString("  " + p.paint("\x1b[36m", strings.Join(who, " ")))
	}
	fmt.Fprintf(&b, "  %s", printable(r.Message))
	if len(rest) > 0 {
		b.WriteString("  " + p.paint("\x1b[2m", strings.Join(rest, " ")))
	}
	b.WriteByte('\n')
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	_, err := p.out.w.Write(b.Bytes())
	return err
}

func (p *people) paint(color, s string) string {
	if !p.color || color == "" {
		return s
	}
	return color + s + "\x1b[0m"
}

// printable keeps author code from writing to the terminal what is no text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}
