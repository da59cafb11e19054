// Package admin is what an operator may see and do, as JSON over HTTP. It knows
// the shape of the answers and who may ask, and gets both facts and deeds from
// a Runtime. docs/admin-api.md describes every path.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// Runtime is what there is to see. Methods may be called on any goroutine.
type Runtime interface {
	Objects() []Object
	// Object describes one object; ok is false when it is neither in memory nor
	// has sockets or an alarm.
	Object(context.Context, dormouse.Key) (d Detail, ok bool)
	// Hibernate asks an object to leave memory, with force even if tasks are
	// pending, and says whether it has left.
	Hibernate(ctx context.Context, k dormouse.Key, force bool) bool
	Guests() []Guest
	// Unfinished are the latest events that a guest may have begun when it died.
	Unfinished() []Unfinished
	Classes() []Class
	Alarms() Alarms
	// Namespaces lists the namespaces whose objects there may be.
	Namespaces() []dormouse.Namespace
}

// Object is a row of the list.
type Object struct {
	Namespace dormouse.Namespace `json:"namespace"`
	ID        string             `json:"id"`
	Name      *string            `json:"name,omitempty"`
	Class     string             `json:"class"`
	State     string             `json:"state"` // active, idle, hibernated, inactive, broken
	Sockets   int                `json:"sockets"`
	Tasks     int                `json:"tasks"`
	Mailbox   int                `json:"mailbox"`
	Gate      int                `json:"output_gate_bytes"`
	Since     *time.Time         `json:"in_memory_since,omitempty"`
	Guest     uint32             `json:"guest,omitempty"`
	Place     string             `json:"place,omitempty"`   // where it runs, if that is kept apart
	Version   int                `json:"version,omitempty"` // of the code that it runs now
	// How often in a row its code ended its guest or had to be ended itself, and
	// until when it is not started because of that.
	GuestDeaths   int        `json:"guest_deaths,omitempty"`
	IsolatedUntil *time.Time `json:"isolated_until,omitempty"`
}

// Detail is one object, whole.
type Detail struct {
	Object
	SocketList  []Socket        `json:"socket_list"`
	WhyAwake    json.RawMessage `json:"why_awake,omitempty"` // what the guest reports
	MoreSockets int             `json:"more_sockets,omitempty"`
	Alarm       *Alarm          `json:"alarm,omitempty"`
}

// Socket is a hibernatable socket.
type Socket struct {
	ID              dormouse.SocketID `json:"id"`
	Remote          string            `json:"remote"`
	Tags            []string          `json:"tags"`
	AttachmentBytes int               `json:"attachment_bytes"`
	Attachment      string            `json:"attachment,omitempty"` // as JavaScript prints it, if it is short
	Buffered        int               `json:"buffered_bytes"`
	AutoResponse    *time.Time        `json:"last_auto_response,omitempty"`
	Closing         bool              `json:"closing,omitempty"`
}

// Unfinished is an event of a socket that a guest may have begun and not
// finished when it died: it is not repeated.
type Unfinished struct {
	At        time.Time          `json:"at"`
	Namespace dormouse.Namespace `json:"namespace"`
	ID        string             `json:"id"`
	Class     string             `json:"class"`
	Socket    dormouse.SocketID  `json:"socket"`
	Tags      []string           `json:"tags"`
	// Number says the how many-th message of the socket it was that the object was
	// given; 0: it is a close or an error.
	Number uint64 `json:"number"`
	Event  string `json:"event"` // message, close, error
	Bytes  int    `json:"bytes"`
	Guest  uint32 `json:"guest"`
}

// Guest is a process that runs objects.
type Guest struct {
	ID       uint32    `json:"id"`
	Worker   string    `json:"worker,omitempty"` // where several are served
	PID      int       `json:"pid"`
	State    string    `json:"state"` // starting, running, waiting, spare, retiring
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	Why      string    `json:"last_end,omitempty"`
	// Place is what it runs, if that is kept apart from everything else; Version
	// the code that it runs, if versions are kept.
	Place   string `json:"place,omitempty"`
	Version int    `json:"version,omitempty"`
}

// Class is what the objects of a class have cost since the server began, and
// what hibernation has saved.
type Class struct {
	Name          string  `json:"name"`
	InMemory      int     `json:"in_memory"`
	Hibernated    int     `json:"hibernated"`
	Wakes         uint64  `json:"wakes"`
	Constructions uint64  `json:"constructions"` // that succeeded
	Constructor   float64 `json:"constructor_seconds"`
	Longest       float64 `json:"constructor_max_seconds"`
	Memory        float64 `json:"memory_object_seconds"`
	Saved         float64 `json:"hibernated_object_seconds"`
}

// Options say who may ask, and for what.
type Options struct {
	Versions Versions // nil: none are kept
	// Token, if not empty, has to come as "Authorization: Bearer …", or as the
	// password of "Basic …", as browsers send it. An address that is not loopback
	// must have one: see CheckListen.
	Token string
	// Upgrade has a new process take over; nil: that is not offered.
	Upgrade Upgrader
	// Routes are served beside the API, behind the same guard.
	Routes []Route
}

// Route is something else that is served on the admin address. Pattern is one
// of http.ServeMux, with a method.
type Route struct {
	Pattern string
	Handler http.Handler
}

// CheckListen refuses an address that others can reach when there is no token.
func CheckListen(address string, o Options) error {
	if o.Token != "" {
		return nil
	}
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if h == "localhost" {
		return nil
	}
	if a, err := netip.ParseAddr(h); err == nil && a.IsLoopback() {
		return nil
	}
	return errors.New("the admin address " + address + " can be reached from elsewhere; give it a token with --admin-token-file, or an address such as 127.0.0.1:8788")
}

// NewHandler serves the admin API.
func NewHandler(rt Runtime, o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/objects", func(w http.ResponseWriter, r *http.Request) { list(w, r, rt) })
	mux.HandleFunc("GET /api/objects/{namespace}/{id}", func(w http.ResponseWriter, r *http.Request) {
		withKey(w, r, rt, func(k dormouse.Key) {
			d, ok := rt.Object(r.Context(), k)
			if !ok {
				fail(w, http.StatusNotFound, "object "+k.String()+" is not in memory and has neither sockets nor an alarm")
				return
			}
			for i := range d.SocketList {
				if s := &d.SocketList[i]; s.Tags == nil {
					s.Tags = []string{} // a list also when it is empty
				}
			}
			WriteJSON(w, http.StatusOK, d)
		})
	})
	mux.HandleFunc("POST /api/objects/{namespace}/{id}/hibernate", func(w http.ResponseWriter, r *http.Request) {
		withKey(w, r, rt, func(k dormouse.Key) { hibernate(w, r, rt, k) })
	})
	mux.HandleFunc("GET /api/classes", func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"classes": rt.Classes()})
	})
	mux.HandleFunc("GET /api/alarms", func(w http.ResponseWriter, r *http.Request) { WriteJSON(w, http.StatusOK, rt.Alarms()) })
	mux.HandleFunc("GET /api/unfinished", func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"unfinished": rt.Unfinished()})
	})
	mux.HandleFunc("GET /api/guests", func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"guests": rt.Guests()})
	})
	if i, ok := rt.(Inspector); ok {
		inspectHandler(mux, i)
	}
	if t, ok := rt.(Timeline); ok {
		timelineHandler(mux, rt, t)
	}
	mux.HandleFunc("POST /api/upgrade", func(w http.ResponseWriter, r *http.Request) { upgrade(w, r, o.Upgrade) })
	for _, route := range o.Routes {
		mux.Handle(route.Pattern, route.Handler)
	}
	if st, ok := rt.(Storage); ok {
		storageHandlers(mux, rt, st)
	}
	if p, ok := rt.(Past); ok {
		pastHandlers(mux, rt, p)
	}
	if o.Versions != nil {
		handleVersions(mux, o.Versions)
	}
	return guard(orNothing(mux), o)
}

// orNothing answers for paths that are not there as for all others: in JSON.
func orNothing(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			other := *r
			other.Method = method
			if _, pattern := mux.Handler(&other); pattern != "" {
				w.Header().Set("Allow", method)
				fail(w, http.StatusMethodNotAllowed, "this path takes "+method)
				return
			}
		}
		fail(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
	})
}

// guard lets nobody in but who may ask: no page of a browser, whatever name it
// has got for our address, and with a token only who knows it.
func guard(next http.Handler, o Options) http.Handler {
	want := sha256.Sum256([]byte(o.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
			fail(w, http.StatusForbidden, "pages of other origins may not use the admin API")
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			fail(w, http.StatusForbidden, "pages of other origins may not use the admin API")
			return
		}
		if o.Token == "" && !loopback(r.Host) {
			fail(w, http.StatusForbidden, "ask for 127.0.0.1, [::1] or localhost: other names are refused without an admin token")
			return
		}
		if o.Token != "" {
			token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if _, password, basic := r.BasicAuth(); basic { // what a browser asks a person for
				token, bearer = password, true
			}
			have := sha256.Sum256([]byte(token))
			if subtle.ConstantTimeCompare(have[:], want[:]) != 1 || !bearer {
				w.Header().Add("WWW-Authenticate", "Bearer")
				w.Header().Add("WWW-Authenticate", `Basic realm="Dormouse: any name, and the admin token as password", charset="UTF-8"`)
				fail(w, http.StatusUnauthorized, "this admin address needs its token: Authorization: Bearer …")
				return
			}
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// loopback says whether a Host header names this machine: a name that an
// attacker made point here does not.
func loopback(hostport string) bool {
	h := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		h = name
	}
	h = strings.Trim(h, "[]")
	if strings.EqualFold(h, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.IsLoopback()
}

// list answers with objects, filtered by class and state, after the id given.
func list(w http.ResponseWriter, r *http.Request, rt Runtime) {
	q := r.URL.Query()
	limit := 1000
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 100_000 {
			fail(w, http.StatusBadRequest, "limit must be a number from 1 to 100000")
			return
		}
		limit = n
	}
	offset := 0
	if s := q.Get("offset"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			fail(w, http.StatusBadRequest, "offset must be a number of objects to pass over")
			return
		}
		offset = n
	}
	query := Query{Class: q.Get("class"), State: q.Get("state"), Search: q.Get("search"), Offset: offset, Limit: limit}
	total, page := pageOf(rt, query)
	WriteJSON(w, http.StatusOK, map[string]any{"total": total, "objects": page})
}

// withKey reads namespace and id from the path.
func withKey(w http.ResponseWriter, r *http.Request, rt Runtime, f func(dormouse.Key)) {
	for _, n := range rt.Namespaces() {
		if string(n) != r.PathValue("namespace") {
			continue
		}
		k, _, err := ParseObject(n, r.PathValue("id"))
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		f(k)
		return
	}
	fail(w, http.StatusNotFound, "there is no namespace "+strconv.Quote(r.PathValue("namespace")))
}

// ParseObject reads how a path names an object of a namespace: by its id, or by
// "name:" and its name, which is returned too then.
func ParseObject(n dormouse.Namespace, text string) (k dormouse.Key, name *string, err error) {
	k.Namespace = n
	if text, ok := strings.CutPrefix(text, "name:"); ok {
		k.ID = n.IDFromName(text)
		return k, &text, nil
	}
	k.ID, err = n.ParseID(text)
	return k, nil, err
}

func hibernate(w http.ResponseWriter, r *http.Request, rt Runtime, k dormouse.Key) {
	gone := rt.Hibernate(r.Context(), k, r.URL.Query().Get("force") == "1")
	d, ok := rt.Object(r.Context(), k)
	state := "inactive"
	if ok {
		state = d.State
	}
	if !gone {
		WriteJSON(w, http.StatusConflict, map[string]any{
			"error": "the object stays in memory: an event is in progress or a task is pending",
			"state": state, "why_awake": d.WhyAwake,
		})
		return
	}
	WriteJSON(w, http.StatusOK, map[string]any{"state": state})
}

// WriteJSON answers with v, as all of the API does.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

func fail(w http.ResponseWriter, status int, message string) {
	WriteJSON(w, status, map[string]string{"error": message})
}
