package edge

import (
	"net/http"
	"strconv"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/observe/trace"
)

// served is the span of a client's request; the zero value is none. The names of
// attributes are OpenTelemetry's, "Semantic conventions for HTTP spans".
type served struct{ trace.Span }

// begin begins the span of a request, which belongs to what its headers say, and
// has the Worker's request belong to it.
func (f *Front) begin(r *http.Request, to *guest.Request) served {
	if f.Tracer == nil {
		return served{}
	}
	span := f.Tracer.Begin(host.ContextOf(to), r.Method, trace.Server, time.Now(),
		trace.Attribute{Key: "http.request.method", Value: r.Method},
		trace.Attribute{Key: "url.path", Value: r.URL.Path},
		trace.Attribute{Key: "client.address", Value: f.client(r).address},
	)
	if span == nil {
		return served{}
	}
	host.SetContext(to, span.Context())
	return served{span}
}

func (s served) end() {
	if s.Span != nil {
		s.End(time.Now())
	}
}

func (s served) answered(status int) {
	if s.Span != nil {
		s.Set(trace.Attribute{Key: "http.response.status_code", Value: strconv.Itoa(status)})
		if status >= 500 {
			s.Fail(http.StatusText(status))
		}
	}
}

func (s served) failed(e *dormouse.Error) {
	if s.Span != nil {
		s.Fail(e.Message)
	}
}

func (s served) left() {
	if s.Span != nil {
		s.Fail("the client left")
	}
}
