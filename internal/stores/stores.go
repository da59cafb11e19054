// Package stores is what an operator may see and change of KV namespaces and R2
// buckets, as JSON over HTTP. It is served beside the admin API while a server
// runs, and asked in process when none does; docs/admin-api.md describes every
// path. It never sees a guest or a command line.
package stores

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/kv"
	"github.com/dormouse-dev/dormouse/internal/r2"
	"github.com/dormouse-dev/dormouse/internal/shelf"
)

// Keeper has the stores. Methods may be called on any goroutine.
type Keeper interface {
	// KVNames and R2Names list those that there are, in order.
	KVNames() ([]string, error)
	R2Names() ([]string, error)
	// KV and R2 open one of them. It stays the keeper's.
	KV(name string) (*kv.Store, error)
	R2(name string) (*r2.Bucket, error)
}

// Handler serves the paths below /api/kv and /api/r2.
func Handler(k Keeper) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/kv", func(w http.ResponseWriter, _ *http.Request) { names(w, "namespaces", k.KVNames) })
	mux.HandleFunc("GET /api/r2", func(w http.ResponseWriter, _ *http.Request) { names(w, "buckets", k.R2Names) })
	onKV := func(pattern string, f func(http.ResponseWriter, *http.Request, *kv.Store) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			with(w, r, "KV namespace", k.KVNames, k.KV, func(s *kv.Store) error { return f(w, r, s) })
		})
	}
	onR2 := func(pattern string, f func(http.ResponseWriter, *http.Request, *r2.Bucket) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			with(w, r, "bucket", k.R2Names, k.R2, func(b *r2.Bucket) error { return f(w, r, b) })
		})
	}
	onKV("GET /api/kv/{name}", listKV)
	onKV("GET /api/kv/{name}/value", getKV)
	onKV("PUT /api/kv/{name}/value", putKV)
	onKV("DELETE /api/kv/{name}/value", deleteKV)
	onR2("GET /api/r2/{name}", listR2)
	onR2("GET /api/r2/{name}/object", getR2)
	onR2("PUT /api/r2/{name}/object", putR2)
	onR2("DELETE /api/r2/{name}/object", deleteR2)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, refuse(http.StatusNotFound, "there is nothing at %s", r.URL.Path))
	})
	return mux
}

// wrong is an error whose cause is what was asked for.
type wrong struct {
	status int
	text   string
}

func (e *wrong) Error() string { return e.text }

func refuse(status int, format string, args ...any) error {
	return &wrong{status, fmt.Sprintf(format, args...)}
}

func names(w http.ResponseWriter, key string, list func() ([]string, error)) {
	all, err := list()
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, map[string][]string{key: append([]string{}, all...)})
}

// with opens a store for f and answers with its error. A write may make one.
func with[T any](w http.ResponseWriter, r *http.Request, kind string, list func() ([]string, error), open func(string) (T, error), f func(T) error) {
	name := r.PathValue("name")
	all, err := list()
	create := r.Method == http.MethodPut && r.URL.Query().Get("create") == "1"
	if err == nil && !slices.Contains(all, name) && !create {
		err = refuse(http.StatusNotFound, "there is no %s %q; there are: %s", kind, name, strings.Join(all, ", "))
		if len(all) == 0 {
			err = refuse(http.StatusNotFound, "there is no %s %q: there is none at all", kind, name)
		}
	}
	var x T
	if err == nil {
		x, err = open(name)
	}
	if err == nil {
		err = f(x)
	}
	if err != nil {
		fail(w, err)
	}
}

func reply(w http.ResponseWriter, v any) { admin.WriteJSON(w, http.StatusOK, v) }

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch e, ok := errors.AsType[*wrong](err); {
	case ok:
		status = e.status
	case r2.IsNone(err):
		status = http.StatusNotFound
	case kv.IsRefused(err), r2.IsRefused(err):
		status = http.StatusBadRequest
	case errors.Is(err, shelf.ErrBusy), errors.Is(err, shelf.ErrClosed):
		status = http.StatusServiceUnavailable
	}
	admin.WriteJSON(w, status, map[string]string{"error": err.Error()})
}

func keyOf(r *http.Request) (string, error) {
	if !r.URL.Query().Has("key") {
		return "", refuse(http.StatusBadRequest, "the request needs key=…")
	}
	return r.URL.Query().Get("key"), nil
}

func limitOf(r *http.Request, most int) (int, error) {
	s := r.URL.Query().Get("limit")
	if s == "" {
		return most, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, refuse(http.StatusBadRequest, "limit must be a number from 1 to %d", most)
	}
	return n, nil
}

// Key is an entry of a KV namespace without its value.
type Key struct {
	Key        string          `json:"key"`
	Expiration *time.Time      `json:"expiration,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

// Keys is a part of a list, in the order of the keys' bytes. The next part comes
// after its last key.
type Keys struct {
	Keys []Key `json:"keys"`
	More bool  `json:"more"`
}

func listKV(w http.ResponseWriter, r *http.Request, s *kv.Store) error {
	limit, err := limitOf(r, kv.MaxList)
	if err != nil {
		return err
	}
	list, more, err := s.List(r.Context(), r.URL.Query().Get("prefix"), r.URL.Query().Get("after"), limit)
	if err != nil {
		return err
	}
	answer := Keys{Keys: []Key{}, More: more}
	for _, e := range list {
		k := Key{Key: e.Key}
		if e.Expiration != 0 {
			at := time.Unix(e.Expiration, 0).UTC()
			k.Expiration = &at
		}
		if e.Metadata != nil {
			k.Metadata = json.RawMessage(*e.Metadata)
		}
		answer.Keys = append(answer.Keys, k)
	}
	reply(w, answer)
	return nil
}

// Headers of a value, as the binding has them.
const (
	metadataHeader   = "Cf-Kv-Metadata"
	expirationHeader = "Cf-Expiration"
)

// getKV answers with the bytes of a value: never as a page of ours.
func getKV(w http.ResponseWriter, r *http.Request, s *kv.Store) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	e, err := s.Get(r.Context(), key)
	if err != nil {
		return err
	}
	if e == nil {
		return refuse(http.StatusNotFound, "there is no key %q", key)
	}
	defer e.Close()
	if e.Expiration != 0 {
		w.Header().Set(expirationHeader, strconv.FormatInt(e.Expiration, 10))
	}
	if e.Metadata != nil {
		w.Header().Set(metadataHeader, *e.Metadata)
	}
	send(w, e.Size, e.Value())
	return nil
}

// send answers with bytes, which no browser takes for a page of this origin.
func send(w http.ResponseWriter, size int64, body io.Reader) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Security-Policy", "sandbox")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.WriteHeader(http.StatusOK)
	shelf.Copy(w, body) // an error of it is the reader's: it has gone, or finds it too short
}

func putKV(w http.ResponseWriter, r *http.Request, s *kv.Store) error {
	key, err := keyOf(r)
	if err == nil {
		err = kv.Check(key)
	}
	if err != nil {
		return err
	}
	e := kv.Entry{Key: key}
	if text := r.URL.Query().Get("ttl"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < kv.MinTTL || n > 1<<40 {
			return refuse(http.StatusBadRequest, "ttl must be a number of seconds, %d at least", kv.MinTTL)
		}
		e.Expiration = time.Now().Unix() + n
	}
	if text := r.Header.Get(metadataHeader); text != "" {
		if len(text) > kv.MaxMetadata || !json.Valid([]byte(text)) {
			return refuse(http.StatusBadRequest, "%s must be JSON of %d bytes at most", metadataHeader, kv.MaxMetadata)
		}
		e.Metadata = &text
	}
	if err := s.Put(r.Context(), e, r.Body); err != nil {
		return err
	}
	reply(w, map[string]bool{"stored": true})
	return nil
}

func deleteKV(w http.ResponseWriter, r *http.Request, s *kv.Store) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	e, err := s.Get(r.Context(), key)
	if err == nil && e != nil {
		e.Close()
		err = s.Delete(r.Context(), key)
	}
	if err == nil {
		reply(w, map[string]bool{"deleted": e != nil})
	}
	return err
}

func listR2(w http.ResponseWriter, r *http.Request, b *r2.Bucket) error {
	limit, err := limitOf(r, r2.MaxList)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	page, err := b.Page(r.Context(), r2.Query{Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), Cursor: q.Get("cursor"), Limit: limit})
	if err == nil {
		reply(w, page)
	}
	return err
}

// objectHeader has what is known of an object beside its body, as JSON.
const objectHeader = "Dormouse-Object"

func getR2(w http.ResponseWriter, r *http.Request, b *r2.Bucket) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	o, body, err := b.Read(r.Context(), key)
	if err != nil {
		return err
	}
	defer body.Close()
	w.Header().Set(objectHeader, r2.Header(o))
	w.Header().Set("ETag", strconv.Quote(o.ETag))
	send(w, o.Size, body)
	return nil
}

func putR2(w http.ResponseWriter, r *http.Request, b *r2.Bucket) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if r.ContentLength < 0 {
		return refuse(http.StatusLengthRequired, "the length of the body has to be known: Content-Length")
	}
	o, err := b.Write(r.Context(), key, r.Header.Get("Content-Type"), r.ContentLength, r.Body)
	if err == nil {
		reply(w, o)
	}
	return err
}

func deleteR2(w http.ResponseWriter, r *http.Request, b *r2.Bucket) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	_, err = b.Head(r.Context(), key)
	there := err == nil
	if there {
		err = b.Delete(r.Context(), []string{key})
	}
	if err != nil && !r2.IsNone(err) {
		return err
	}
	reply(w, map[string]bool{"deleted": there})
	return nil
}
