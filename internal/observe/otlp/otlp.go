// Package otlp sends traces to a collector by OpenTelemetry's own library, over
// HTTP. It knows that library, and never sees an object.
package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otrace "go.opentelemetry.io/otel/trace"

	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// Options say where spans go.
type Options struct {
	Endpoint string // URL of the collector, such as http://127.0.0.1:4318
	// OneIn records one of so many traces that begin here; those that come from
	// outside are recorded if their sender does.
	OneIn            int
	Service, Version string
	Log              *slog.Logger
}

// Tracer is a trace.Tracer. Spans wait in a queue of 2,048 and leave in batches;
// past it they are dropped, and nobody waits.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   otrace.Tracer
}

// New makes a Tracer. It does not fail when the collector cannot be reached: that
// is logged, and tried again. What the library's environment variables say
// (OTEL_EXPORTER_OTLP_HEADERS and others) holds too.
func New(ctx context.Context, o Options) (*Tracer, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(tracesURL(o.Endpoint)))
	if err != nil {
		return nil, fmt.Errorf("trace.endpoint %s: %w", o.Endpoint, err)
	}
	// The library has one place for errors in a process; what it says there is that
	// spans were lost.
	var mu sync.Mutex
	var said time.Time
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(said) > sayEvery {
			said = now
			o.Log.Warn("traces are lost", "reason", err, "endpoint", o.Endpoint)
		}
	}))
	return newTracer(sdk.NewBatchSpanProcessor(exporter), o), nil
}

// sayEvery is how often it is logged that spans were lost. The library says so of
// each batch.
const sayEvery = 30 * time.Second

func newTracer(p sdk.SpanProcessor, o Options) *Tracer {
	provider := sdk.NewTracerProvider(
		sdk.WithSpanProcessor(p),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(1/float64(max(o.OneIn, 1))))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", o.Service), attribute.String("service.version", o.Version),
			attribute.String("telemetry.sdk.language", "go"), attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.version", otel.Version()),
		)),
	)
	return &Tracer{provider, provider.Tracer("dormouse")}
}

// Close sends what waits.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Begin implements trace.Tracer.
func (t *Tracer) Begin(parent trace.Context, name string, k trace.Kind, at time.Time, attributes ...trace.Attribute) trace.Span {
	ctx := context.Background()
	if !parent.IsZero() {
		ctx = otrace.ContextWithRemoteSpanContext(ctx, outward(parent))
	}
	kind := otrace.SpanKindInternal
	if k == trace.Server {
		kind = otrace.SpanKindServer
	}
	_, s := t.tracer.Start(ctx, name, otrace.WithTimestamp(at), otrace.WithSpanKind(kind))
	if !s.IsRecording() {
		return nil
	}
	for _, a := range attributes {
		s.SetAttributes(attribute.String(a.Key, a.Value))
	}
	return span{s}
}

type span struct{ otrace.Span }

func (s span) Context() trace.Context {
	c := s.SpanContext()
	return trace.Context{Trace: c.TraceID(), Span: c.SpanID(), Sampled: c.IsSampled(), State: c.TraceState().String()}
}

func (s span) Set(a trace.Attribute) { s.SetAttributes(attribute.String(a.Key, a.Value)) }
func (s span) Fail(why string)       { s.SetStatus(codes.Error, why) }
func (s span) End(at time.Time)      { s.Span.End(otrace.WithTimestamp(at)) }

// outward is a context as the library has it. A tracestate that it cannot read is
// left out.
func outward(c trace.Context) otrace.SpanContext {
	flags := otrace.TraceFlags(0).WithSampled(c.Sampled)
	state, _ := otrace.ParseTraceState(c.State) // empty after an error
	return otrace.NewSpanContext(otrace.SpanContextConfig{TraceID: c.Trace, SpanID: c.Span, TraceFlags: flags, TraceState: state, Remote: true})
}

// tracesURL is where traces go: below an endpoint without a path at /v1/traces,
// as the specification has it for the endpoint of everything.
func tracesURL(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err == nil && (u.Path == "" || u.Path == "/") {
		u.Path = "/v1/traces"
		return u.String()
	}
	return endpoint
}
