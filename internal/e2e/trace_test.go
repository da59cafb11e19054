package e2e

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// spans are what a collector has got.
type spans struct {
	*httptest.Server
	mu   sync.Mutex // guards the following
	list []*otlp.Span
}

func collect(t *testing.T) *spans {
	s := new(spans)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(body)
		}
		b, err := io.ReadAll(body)
		m := new(collector.ExportTraceServiceRequest)
		if err == nil {
			err = proto.Unmarshal(b, m)
		}
		if err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, of := range m.ResourceSpans {
			for _, in := range of.ScopeSpans {
				s.list = append(s.list, in.Spans...)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// find returns the spans of that name, oldest first.
func (s *spans) find(name string) (found []*otlp.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.list {
		if span.Name == name {
			found = append(found, span)
		}
	}
	return found
}

// TestTraceGoesThroughHibernation: a client's trace goes from the handshake to all
// that is said over its socket, also when the object has slept in between, and on
// to other objects and to outside servers.
func TestTraceGoesThroughHibernation(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50") // of the library, in ms
	got := collect(t)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("traceparent")+" "+r.Header.Get("tracestate"))
	}))
	t.Cleanup(outside.Close)
	d := StartDormouse(t, Options{
		Dir:  filepath.Join(root(t), "internal/e2e/testdata/traced"),
		More: []string{"--trace-endpoint", got.URL, "--guests", "2"},
	})
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP{"Traceparent": {"00-" + id + "-" + span + "-01"}, "Tracestate": {"vendor=x"}}}
	conn, buffered, _, err := dialer.Dial(t.Context(), "ws"+strings.TrimPrefix(d.URL, "http")+"/here")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &peer{t: t, name: "/here", conn: conn, rw: conn}
	if buffered != nil {
		p.rw = struct {
			io.Reader
			io.Writer
		}{buffered, conn}
	}
	reached := func(message string) trace.Context {
		t.Helper()
		p.say(message)
		parent, state, _ := strings.Cut(p.hear(), " ")
		c, ok := trace.Parse(parent, state)
		if !ok || hex.EncodeToString(c.Trace[:]) != id || !c.Sampled || c.State != "vendor=x" {
			t.Fatalf("%s: outside sees %q, %q", message, parent, state)
		}
		return c
	}
	first := reached("outside " + outside.URL)
	d.Hibernate("/here")
	second := reached("outside " + outside.URL)
	far := reached("call /elsewhere " + outside.URL)
	if first.Span == second.Span || second.Span == far.Span {
		t.Error("events share a span")
	}

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err = Until(ctx, "all spans have come", func() (bool, error) {
		return len(got.find("Stop message")) == 3 && len(got.find("Stop wake")) == 3 && len(got.find("Stop request")) == 2 && len(got.find("GET")) > 0, nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, got.list)
	}
	var handshake, server *otlp.Span
	for _, s := range got.find("GET") {
		if hex.EncodeToString(s.ParentSpanId) == span {
			server = s
		}
	}
	if server == nil {
		t.Fatalf("no span of the handshake: %v", got.find("GET"))
	}
	for _, s := range got.find("Stop request") {
		if string(s.ParentSpanId) == string(server.SpanId) {
			handshake = s
		}
	}
	if handshake == nil {
		t.Fatalf("no span of the object's part in the handshake: %v", got.find("Stop request"))
	}
	messages := got.find("Stop message")
	for i, c := range []trace.Context{first, second} {
		if s := messages[i]; string(s.SpanId) != string(c.Span[:]) || string(s.ParentSpanId) != string(handshake.SpanId) {
			t.Errorf("message %d: %v, and outside saw %s", i, s, c.Parent())
		}
	}
	woke := func(s *otlp.Span) bool {
		for _, a := range s.Attributes {
			if a.Key == "dormouse.woke" {
				return a.Value.GetStringValue() == "true"
			}
		}
		return false
	}
	if woke(messages[0]) || !woke(messages[1]) || woke(messages[2]) {
		t.Errorf("who woke the object: %v %v %v", woke(messages[0]), woke(messages[1]), woke(messages[2]))
	}
}

// TestNobodyTraces: without an endpoint a trace is passed on by nobody but the
// author.
func TestNobodyTraces(t *testing.T) {
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "saw:"+r.Header.Get("traceparent"))
	}))
	t.Cleanup(outside.Close)
	d := StartDormouse(t, Options{Dir: filepath.Join(root(t), "internal/e2e/testdata/traced")})
	p := dial(t, d, "here")
	p.say("outside " + outside.URL)
	if got := p.hear(); got != "saw:" {
		t.Error(got)
	}
}
