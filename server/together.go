package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/dash"
	"github.com/dormouse-dev/dormouse/internal/observe/health"
	"github.com/dormouse-dev/dormouse/internal/observe/metrics"
)

// workersPath begins the paths of the admin API that are about one Worker of
// several: what follows is the API as that Worker alone would have it.
const workersPath = "/workers/"

// AdminPath is the path below which the admin API of a Worker is found where
// several are served together.
func AdminPath(worker string) string { return workersPath + url.PathEscape(worker) }

// AdminHandler serves the admin API of all neighbours: lists have what is of all
// of them, and what is asked of an object goes to the one that has it. What is of
// one Worker, its versions and its data folder, is asked with ?worker=NAME, or
// below AdminPath. of says what each offers. One alone is served as ever.
func (n *Neighbours) AdminHandler(of func(*Server) admin.Options) http.Handler {
	all := n.all()
	each := make(map[string]http.Handler, len(all))
	var names []string
	for _, s := range all {
		each[s.Name] = s.AdminHandler(of(s))
		names = append(names, s.Name)
	}
	if len(all) == 1 {
		return each[all[0].Name]
	}
	o := of(all[0])
	o.Versions = nil
	o.Routes = append(o.Routes, n.routes()...)
	ofOne := append([]string{"GET /api/versions", "POST /api/versions", "POST /api/versions/{number}/deploy", "GET /api/storage", "POST /api/backup"}, storesPatterns[:]...)
	for _, pattern := range ofOne {
		o.Routes = append(o.Routes, admin.Route{Pattern: pattern, Handler: whose(names)})
	}
	return &adminOfAll{of: n, each: each, together: admin.NewHandler(together{n}, o)}
}

type adminOfAll struct {
	of       *Neighbours
	each     map[string]http.Handler // by the Worker's name
	together http.Handler
}

// objectPaths are followed by an object: its namespace, and its id or name.
var objectPaths = []string{"/api/objects/", testPath + "run/", testPath + "fetch/", testPath + "evict/"}

// ServeHTTP finds whom a request is about. Each of the handlers looks first
// whether whoever asks may.
func (a *adminOfAll) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, workersPath); ok {
		name, _, _ := strings.Cut(rest, "/")
		if h := a.each[name]; h != nil {
			http.StripPrefix(workersPath+name, h).ServeHTTP(w, r)
			return
		}
	}
	q := r.URL.Query()
	if h := a.each[q.Get("worker")]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	namespace := q.Get("namespace")
	for _, prefix := range objectPaths {
		if rest, ok := strings.CutPrefix(r.URL.Path, prefix); ok {
			namespace, _, _ = strings.Cut(rest, "/")
		}
	}
	if namespace != "" && q.Get("worker") == "" {
		if s := a.of.owner(dormouse.Namespace(namespace)); s != nil {
			a.each[s.Name].ServeHTTP(w, r)
			return
		}
	}
	a.together.ServeHTTP(w, r)
}

// whose answers what only one Worker can.
func whose(names []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := "several Workers run here"
		if name := r.URL.Query().Get("worker"); name != "" {
			asked = fmt.Sprintf("there is no Worker %q here", name)
		}
		admin.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": asked + "; say which one is meant with ?worker=: " + strings.Join(names, ", ")})
	})
}

// routes are what is to be seen of all of them beside the API.
func (n *Neighbours) routes() []admin.Route {
	all := n.all()
	routes := []admin.Route{
		{Pattern: "GET /metrics", Handler: metrics.Handler(func(ctx context.Context) metrics.Snapshot { return counted(ctx, all) })},
		{Pattern: "GET /healthz", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.writeWorst(w, r, (*Server).alive) })},
		{Pattern: "GET /readyz", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.writeWorst(w, r, (*Server).ready) })},
		{Pattern: "GET /{$}", Handler: dash.Page()},
		{Pattern: "GET " + dash.Folder, Handler: dash.Files()},
		{Pattern: "GET /api/namespaces", Handler: http.HandlerFunc(n.serveNamespaces)},
	}
	if first := all[0]; first.tail != nil { // they log to the same
		routes = append(routes, admin.Route{Pattern: "GET /api/tail", Handler: http.HandlerFunc(first.serveTail)})
	}
	return routes
}

// writeWorst answers with the problems of all.
func (n *Neighbours) writeWorst(w http.ResponseWriter, r *http.Request, look func(*Server, context.Context) health.Report) {
	sum := health.Report{Ready: true, Problems: []health.Problem{}}
	for _, s := range n.all() {
		report := look(s, r.Context())
		sum.Ready = sum.Ready && report.Ready
		for _, p := range report.Problems {
			p.Text = s.Name + ": " + p.Text
			sum.Problems = append(sum.Problems, p)
		}
	}
	writeHealth(w, sum)
}

func (n *Neighbours) serveNamespaces(w http.ResponseWriter, r *http.Request) {
	admin.WriteJSON(w, http.StatusOK, map[string]any{"namespaces": together{n}.Namespaces()})
}

// together is all servers as the admin API sees them.
type together struct{ n *Neighbours }

// gather adds up what each has.
func gather[T any](n *Neighbours, of func(runtime, string) []T) []T {
	list := []T{}
	for _, s := range n.all() {
		list = append(list, of(runtime{s}, s.Name)...)
	}
	return list
}

func (t together) Namespaces() []dormouse.Namespace {
	return gather(t.n, func(r runtime, _ string) []dormouse.Namespace { return r.Namespaces() })
}

func (t together) Objects() []admin.Object {
	list := gather(t.n, func(r runtime, worker string) []admin.Object {
		list := r.Objects()
		for i := range list {
			list[i].Class = ofWorker(worker, list[i].Class)
		}
		return list
	})
	slices.SortFunc(list, func(a, b admin.Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Object and Hibernate are asked of whoever has the object: a namespace that
// nobody has leads here.
func (t together) Object(ctx context.Context, k dormouse.Key) (d admin.Detail, ok bool) {
	if s := t.n.owner(k.Namespace); s != nil {
		return runtime{s}.Object(ctx, k)
	}
	return d, false
}

func (t together) Hibernate(ctx context.Context, k dormouse.Key, force bool) bool {
	s := t.n.owner(k.Namespace)
	return s != nil && runtime{s}.Hibernate(ctx, k, force)
}

func (t together) Guests() []admin.Guest {
	return gather(t.n, func(r runtime, worker string) []admin.Guest {
		list := r.Guests()
		for i := range list {
			list[i].Worker = worker
		}
		return list
	})
}

func (t together) Unfinished() []admin.Unfinished {
	list := gather(t.n, func(r runtime, worker string) []admin.Unfinished {
		list := r.Unfinished()
		for i := range list {
			list[i].Class = ofWorker(worker, list[i].Class)
		}
		return list
	})
	slices.SortStableFunc(list, func(a, b admin.Unfinished) int { return a.At.Compare(b.At) })
	return list
}

func (t together) Classes() []admin.Class {
	return gather(t.n, func(r runtime, worker string) []admin.Class {
		list := r.Classes()
		for i := range list {
			list[i].Name = ofWorker(worker, list[i].Name)
		}
		return list
	})
}

func (t together) Alarms() (sum admin.Alarms) {
	for _, s := range t.n.all() {
		sum.Add(runtime{s}.Alarms())
	}
	return sum
}

// ofWorker is the name of a class where those of several Workers stand together.
func ofWorker(worker, class string) string { return worker + "/" + class }

// Inspect implements admin.Inspector: the numbers of guests are those of all.
func (t together) Inspect(ctx context.Context, guest uint32, on bool) (string, error) {
	for _, s := range t.n.all() {
		if url, err := (runtime{s}).Inspect(ctx, guest, on); !errors.Is(err, admin.ErrNoGuest) {
			return url, err
		}
	}
	return "", admin.ErrNoGuest
}
