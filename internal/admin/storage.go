package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
)

// Storage is implemented by a Runtime whose objects have databases.
type Storage interface {
	// Stored lists the objects that have a database.
	Stored(browse.Query) (*browse.Page, error)
	// Look opens a copy of an object's database as of its last commit, which is
	// durable. The caller closes it.
	Look(context.Context, dormouse.Key) (*browse.View, error)
	// Change has the object itself write, as an event of its own. It returns
	// when that is durable, with what the object answers, or an error.
	Change(ctx context.Context, k dormouse.Key, name *string, c Change) (json.RawMessage, error)
	// Backup writes a backup as a tar stream.
	Backup(ctx context.Context, to io.Writer, which browse.Selection) error
}

// Change is what an operator wants written. The names of its fields are those of
// sdk/node/src/operator.ts.
type Change struct {
	Do    string `json:"do"` // sql, put, delete
	SQL   string `json:"sql,omitempty"`
	Limit int    `json:"limit,omitempty"` // of rows
	Key   []byte `json:"key,omitempty"`
	Value []byte `json:"value,omitempty"` // serialized
}

// ErrRefused is wrapped by errors whose cause is what was asked for.
var ErrRefused = errors.New("refused")

// Refused is an error whose text the operator may act on.
type Refused struct{ Err error }

func (r Refused) Error() string        { return r.Err.Error() }
func (r Refused) Unwrap() error        { return r.Err }
func (r Refused) Is(target error) bool { return target == ErrRefused }

const (
	// statementLimit is how long a statement may run, and writeLimit how long an
	// object may take to do what it is told.
	statementLimit = 30 * time.Second
	writeLimit     = time.Minute

	maxChange = 8 << 20 // bytes of a request
)

// storageHandlers adds the paths of databases.
func storageHandlers(mux *http.ServeMux, rt Runtime, st Storage) {
	mux.HandleFunc("GET /api/storage", func(w http.ResponseWriter, r *http.Request) { stored(w, r, st) })
	mux.HandleFunc("GET /api/namespaces", func(w http.ResponseWriter, r *http.Request) {
		WriteJSON(w, http.StatusOK, map[string]any{"namespaces": rt.Namespaces()})
	})
	mux.HandleFunc("POST /api/backup", func(w http.ResponseWriter, r *http.Request) { backUp(w, r, st) })
	on := func(pattern string, f func(w http.ResponseWriter, r *http.Request, k dormouse.Key)) {
		method, rest, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/objects/{namespace}/{id}/"+rest, func(w http.ResponseWriter, r *http.Request) {
			withKey(w, r, rt, func(k dormouse.Key) { f(w, r, k) })
		})
	}
	on("GET tables", func(w http.ResponseWriter, r *http.Request, k dormouse.Key) {
		look(w, r, st, k, func(v *browse.View) (any, error) { return v.Contents() })
	})
	on("POST sql", func(w http.ResponseWriter, r *http.Request, k dormouse.Key) { sql(w, r, st, k) })
	on("GET kv", func(w http.ResponseWriter, r *http.Request, k dormouse.Key) { pairs(w, r, st, k) })
	on("GET value", func(w http.ResponseWriter, r *http.Request, k dormouse.Key) {
		withDataKey(w, r, func(key string) {
			look(w, r, st, k, func(v *browse.View) (any, error) {
				x, err := v.Get(key)
				if x == nil && err == nil {
					err = errNoKey
				}
				return x, err
			})
		})
	})
	on("PUT value", func(w http.ResponseWriter, r *http.Request, k dormouse.Key) {
		withDataKey(w, r, func(key string) {
			text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChange))
			var value []byte
			if err == nil {
				value, err = browse.Serialize(text)
			}
			if err != nil {
				fail(w, http.StatusBadRequest, err.Error())
				return
			}
			change(w, r, st, k, Change{Do: "put", Key: []byte(key), Value: value})
		})
	})
	on("DELETE value", func(w http.ResponseWriter, r *http.Request, k dormouse.Key) {
		withDataKey(w, r, func(key string) { change(w, r, st, k, Change{Do: "delete", Key: []byte(key)}) })
	})
}

// backUp answers with a backup. One that ends without its manifest has failed.
func backUp(w http.ResponseWriter, r *http.Request, st Storage) {
	which := browse.Selection{Namespace: dormouse.Namespace(r.URL.Query().Get("namespace"))}
	if text := r.URL.Query().Get("id"); text != "" {
		id, err := which.Namespace.ParseID(text)
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		which.ID = &id
	}
	w.Header().Set("Content-Type", "application/x-tar")
	if err := st.Backup(r.Context(), w, which); err != nil {
		panic(http.ErrAbortHandler) // the server has logged why
	}
}

// stored answers with objects that have databases.
func stored(w http.ResponseWriter, r *http.Request, st Storage) {
	q := r.URL.Query()
	limit, ok := limitOf(w, r, 1000, browse.MaxPage)
	if !ok {
		return
	}
	page, err := st.Stored(browse.Query{Namespace: dormouse.Namespace(q.Get("namespace")), After: q.Get("after"), Limit: limit})
	answer(w, page, err)
}

// sql runs a statement: on a copy, or with "write" in the object itself.
func sql(w http.ResponseWriter, r *http.Request, st Storage, k dormouse.Key) {
	var q struct {
		SQL   string `json:"sql"`
		Write bool   `json:"write"`
		Limit int    `json:"limit"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		fail(w, http.StatusBadRequest, `the request needs {"sql": "…"}, and may have "write" and "limit": `+err.Error())
		return
	}
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	if q.Write {
		change(w, r, st, k, Change{Do: "sql", SQL: q.SQL, Limit: q.Limit})
		return
	}
	look(w, r, st, k, func(v *browse.View) (any, error) {
		ctx, cancel := context.WithTimeout(r.Context(), statementLimit)
		defer cancel()
		rows, err := v.Query(ctx, q.SQL, q.Limit)
		if err != nil {
			err = Refused{err}
		}
		return rows, err
	})
}

// pairs answers with keys and values.
func pairs(w http.ResponseWriter, r *http.Request, st Storage, k dormouse.Key) {
	q := r.URL.Query()
	limit, ok := limitOf(w, r, 1000, 10_000)
	if !ok {
		return
	}
	list := browse.Range{Prefix: q.Get("prefix"), Limit: limit}
	if q.Has("after") || q.Has("after_base64") {
		after := q.Get("after")
		if q.Has("after_base64") {
			b, err := base64.StdEncoding.DecodeString(q.Get("after_base64"))
			if err != nil {
				fail(w, http.StatusBadRequest, "after_base64: "+err.Error())
				return
			}
			after = string(b)
		}
		list.After = &after
	}
	look(w, r, st, k, func(v *browse.View) (any, error) { return v.List(list) })
}

var errNoKey = errors.New("there is no such key")

func withDataKey(w http.ResponseWriter, r *http.Request, f func(string)) {
	q := r.URL.Query()
	switch {
	case q.Has("key_base64"):
		b, err := base64.StdEncoding.DecodeString(q.Get("key_base64"))
		if err != nil {
			fail(w, http.StatusBadRequest, "key_base64: "+err.Error())
			return
		}
		f(string(b))
	case q.Has("key"):
		f(q.Get("key"))
	default:
		fail(w, http.StatusBadRequest, "the request needs key=…, or key_base64=… for one that is not text")
	}
}

func limitOf(w http.ResponseWriter, r *http.Request, usual, most int) (int, bool) {
	s := r.URL.Query().Get("limit")
	if s == "" {
		return usual, true
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		fail(w, http.StatusBadRequest, fmt.Sprintf("limit must be a number from 1 to %d", most))
		return 0, false
	}
	return n, true
}

func look(w http.ResponseWriter, r *http.Request, st Storage, k dormouse.Key, f func(*browse.View) (any, error)) {
	v, err := st.Look(r.Context(), k)
	if err != nil {
		answer(w, nil, err)
		return
	}
	x, err := f(v)
	if e := v.Close(); err == nil {
		err = e
	}
	answer(w, x, err)
}

func change(w http.ResponseWriter, r *http.Request, st Storage, k dormouse.Key, c Change) {
	ctx, cancel := context.WithTimeout(r.Context(), writeLimit)
	defer cancel()
	var name *string
	if s, ok := strings.CutPrefix(r.PathValue("id"), "name:"); ok {
		name = &s
	}
	x, err := st.Change(ctx, k, name, c)
	answer(w, x, err)
}

func answer(w http.ResponseWriter, x any, err error) {
	switch {
	case err == nil:
		WriteJSON(w, http.StatusOK, x)
	case errors.Is(err, browse.ErrNoData), errors.Is(err, errNoKey):
		fail(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ErrRefused):
		fail(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, "that took too long")
	default:
		fail(w, http.StatusInternalServerError, err.Error())
	}
}
