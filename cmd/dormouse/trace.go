package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/dormouse-dev/dormouse/internal/observe/otlp"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// tracer writes traces, if somebody wants them.
type tracer struct{ t *otlp.Tracer }

func (t *tracer) open(ctx context.Context, s *settings.Settings, service string, log *slog.Logger) (err error) {
	if s.Trace.Endpoint == "" {
		return nil
	}
	t.t, err = otlp.New(ctx, otlp.Options{Endpoint: s.Trace.Endpoint, OneIn: s.Trace.OneIn, Service: service, Version: version, Log: log})
	return err
}

// get is nil, and not a Tracer that is nil, if nobody wants traces.
func (t *tracer) get() trace.Tracer {
	if t.t == nil {
		return nil
	}
	return t.t
}

// closeLimit is how long the last spans may take to leave.
const closeLimit = 3 * time.Second

func (t *tracer) close() {
	if t.t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	t.t.Close(ctx) // what is lost by now was said to be
}
