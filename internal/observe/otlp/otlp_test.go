package otlp

import (
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// TestSpansReachTheCollector, with their parents, times and failures; what its
// sender does not record is not recorded.
func TestSpansReachTheCollector(t *testing.T) {
	got := make(chan *collector.ExportTraceServiceRequest, 4)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if body, err = gzip.NewReader(body); err != nil {
				t.Error(err)
				return
			}
		}
		b, err := io.ReadAll(body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
			return
		}
		m := new(collector.ExportTraceServiceRequest)
		if err := proto.Unmarshal(b, m); err != nil {
			t.Error(err)
			return
		}
		got <- m
	}))
	defer s.Close()
	tr, err := New(t.Context(), Options{Endpoint: s.URL, OneIn: 1, Service: "chat", Version: "1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 0)
	parent, _ := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=x")
	silent := parent
	silent.Sampled = false
	if span := tr.Begin(silent, "not recorded", trace.Server, at); span != nil {
		t.Error("a trace that its sender does not record is recorded")
	}
	outer := tr.Begin(parent, "GET", trace.Server, at, trace.Attribute{Key: "url.path", Value: "/"})
	c := outer.Context()
	if c.Trace != parent.Trace || c.Span == parent.Span || !c.Sampled || c.State != "vendor=x" {
		t.Errorf("within %+v: %+v", parent, c)
	}
	inner := tr.Begin(c, "Room message", trace.Internal, at)
	inner.Fail("boom")
	inner.End(at.Add(time.Second))
	outer.End(at.Add(2 * time.Second))
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := <-got
	spans := m.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 2 {
		t.Fatalf("%d spans: %v", len(spans), m)
	}
	in, out := spans[0], spans[1]
	if in.Name != "Room message" || string(in.ParentSpanId) != string(c.Span[:]) || in.Status.Message != "boom" || in.EndTimeUnixNano-in.StartTimeUnixNano != 1e9 {
		t.Errorf("got %v", in)
	}
	if out.Name != "GET" || string(out.TraceId) != string(parent.Trace[:]) || string(out.ParentSpanId) != string(parent.Span[:]) || out.Attributes[0].Value.GetStringValue() != "/" {
		t.Errorf("got %v", out)
	}
}

// TestOneIn records some traces, and all of each.
func TestOneIn(t *testing.T) {
	tr, err := New(t.Context(), Options{Endpoint: "http://127.0.0.1:9", OneIn: 4, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	recorded := 0
	for range 1000 {
		if span := tr.Begin(trace.Context{}, "x", trace.Internal, time.Now()); span != nil {
			recorded++
			if tr.Begin(span.Context(), "y", trace.Internal, time.Now()) == nil {
				t.Fatal("a part of a trace is missing")
			}
		}
	}
	if recorded < 150 || recorded > 350 {
		t.Errorf("%d of 1000 traces are recorded, want one in four", recorded)
	}
}
