package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// wallClock is the clock that alarms follow and that guests show. Tests of an
// author's own set it ahead of the machine's.
type wallClock struct{ ahead atomic.Int64 }

func (c *wallClock) now() time.Time {
	ahead := c.ahead.Load()
	if ahead == 0 {
		return time.Now()
	}
	return time.Now().Add(time.Duration(ahead))
}

// tell sets the clock of a guest that has one. On its loop.
func (c *wallClock) tell(g guest.Guest) {
	if set, ok := g.(interface{ Clock(time.Duration) }); ok && c.ahead.Load() != 0 {
		set.Clock(time.Duration(c.ahead.Load()))
	}
}

// maxAhead bounds how far tests set the clock: JavaScript's dates must not end.
const maxAhead = 100 * 365 * 24 * time.Hour

// setClock sets it, for the guests that run and for those that are started later,
// and begins what is due by it.
func (s *Server) setClock(ahead time.Duration) error {
	if ahead < 0 || ahead > maxAhead {
		return errors.New("the clock can be set ahead by up to 100 years, and not back")
	}
	if was := s.wall.ahead.Swap(int64(ahead)); int64(ahead) < was {
		s.wall.ahead.Store(was)
		return errors.New("the clock cannot be set back")
	}
	for _, sh := range s.shards {
		sh.loop.Call(func() {
			for g := range sh.host.Guests {
				s.wall.tell(g)
			}
			sh.alarms.ClockSet()
		})
	}
	return nil
}

// testURL is the header with which a test says what an object is to take for the
// address of its request.
const testURL = "X-Dormouse-Test-Url"

// testPath begins the paths of what is only for tests.
const testPath = "/api/test/"

// testRoutes are what a server that was started for tests offers on its admin
// address; sdk/test speaks to it.
func (s *Server) testRoutes() []admin.Route {
	run := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveTest(w, r, workerCall{s}) })
	routes := []admin.Route{
		{Pattern: "POST " + testPath + "run", Handler: run},
		{Pattern: "POST " + testPath + "run/{namespace}/{id}", Handler: s.withObject(func(w http.ResponseWriter, r *http.Request, c objectCall) {
			c.entrypoint = guest.TestEntrypoint
			s.serveTest(w, r, c)
		})},
		{Pattern: "POST " + testPath + "evict/{namespace}/{id}", Handler: s.withObject(func(w http.ResponseWriter, r *http.Request, c objectCall) {
			drop := r.URL.Query().Get("sockets") == "close"
			said(w, s.hooks().evict(r.Context(), []dormouse.Key{c.key}, drop, true))
		})},
		{Pattern: "POST " + testPath + "delete-all", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			said(w, s.hooks().deleteAll(r.Context()))
		})},
		{Pattern: "POST " + testPath + "clock", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var ask struct {
				Ahead int64 `json:"ahead_ms"`
			}
			if err := json.NewDecoder(io.LimitReader(r.Body, 1<<10)).Decode(&ask); err != nil {
				said(w, err)
				return
			}
			if ask.Ahead > int64(maxAhead/time.Millisecond) {
				ask.Ahead = int64(maxAhead/time.Millisecond) + 1 // no overflow on the way to the error
			}
			said(w, s.setClock(time.Duration(ask.Ahead)*time.Millisecond))
		})},
	}
	fetch := s.withObject(func(w http.ResponseWriter, r *http.Request, c objectCall) {
		u, err := url.Parse(r.Header.Get(testURL))
		if err != nil || u.Host == "" {
			said(w, errors.New(testURL+" does not hold an absolute URL"))
			return
		}
		r.Header.Del(testURL)
		c.url, r.Host = u.String(), u.Host
		s.serveTest(w, r, c)
	})
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		routes = append(routes, admin.Route{Pattern: m + " " + testPath + "fetch/{namespace}/{id}", Handler: fetch})
	}
	return routes
}

func (s *Server) hooks() hooks { return hooks{s, s.js} }

// said answers a request that has no answer but whether it was done.
func said(w http.ResponseWriter, err error) {
	if err != nil {
		admin.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	admin.WriteJSON(w, http.StatusOK, struct{}{})
}

// withObject finds the object that a path means, as the admin API does.
func (s *Server) withObject(f func(http.ResponseWriter, *http.Request, objectCall)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := dormouse.Namespace(r.PathValue("namespace"))
		class, _, known := s.classIn(n)
		if !known || s.inGo(n) {
			said(w, errors.New("there is no such namespace of objects written in JavaScript"))
			return
		}
		k, name, err := admin.ParseObject(n, r.PathValue("id"))
		if err != nil {
			said(w, err)
			return
		}
		f(w, r, objectCall{s: s, class: class, key: k, name: name})
	})
}

// serveTest carries a test's request as a client's is carried, but for the bounds
// on clients.
func (s *Server) serveTest(w http.ResponseWriter, r *http.Request, to testCall) {
	f := *s.theFront()
	f.Worker, f.Assets, f.Clients, f.Full, f.Details = to, nil, nil, nil, true
	f.ServeHTTP(w, r)
}

type testCall interface {
	FetchWorker(*guest.Request, host.Answer) host.Asker
}

// workerCall is a request of a test to the Worker.
type workerCall struct{ s *Server }

// FetchWorker implements edge.Worker.
func (c workerCall) FetchWorker(r *guest.Request, a host.Answer) host.Asker {
	r.Entrypoint = guest.TestEntrypoint
	return c.s.theFront().Worker.FetchWorker(r, a)
}

// objectCall is a request of a test to an object: for its class if there is no
// entrypoint.
type objectCall struct {
	s          *Server
	key        dormouse.Key
	class      int
	name       *string
	entrypoint string
	url        string // empty: the request's own
}

// FetchWorker implements edge.Worker.
func (c objectCall) FetchWorker(r *guest.Request, a host.Answer) host.Asker {
	r.Entrypoint = c.entrypoint
	if c.url != "" {
		r.URL = c.url
	}
	return c.s.route(c.key).Fetch(c.key, c.class, c.name, r, a)
}
