package kv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/shelf"
)

// Headers of a value.
const (
	metadataHeader   = "Cf-Kv-Metadata"
	expirationHeader = "Cf-Expiration"
)

// refusal is an answer that is no value: the binding makes an Error of it.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// ServeHTTP answers what the binding asks: GET, PUT and DELETE of a key, which is
// the path, GET of "/" for a list, and POST of "/" for several keys at once.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	key, bad := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"))
	q := r.URL.Query()
	switch {
	case bad != nil:
		err = refuse(400, "Could not URL-decode key name")
	case r.Method == http.MethodPost && key == "":
		err = s.serveBulk(w, r)
	case r.Method == http.MethodGet && key == "":
		err = s.serveList(w, r, q)
	default:
		if err = checkKey(key); err != nil {
			break
		}
		switch r.Method {
		case http.MethodGet:
			err = s.serveGet(w, r, key, q)
		case http.MethodPut:
			err = s.servePut(r, key, q)
		case http.MethodDelete:
			err = s.Delete(r.Context(), key)
		default:
			err = refuse(405, "Method Not Allowed")
		}
	}
	if err == nil {
		return
	}
	no, ok := errors.AsType[*refusal](err)
	switch {
	case ok:
	case errors.Is(err, shelf.ErrBusy), errors.Is(err, shelf.ErrClosed):
		no = &refusal{503, err.Error()}
	default:
		no = &refusal{500, "Internal Server Error: " + err.Error()}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(no.status)
	io.WriteString(w, no.text)
}

func checkKey(key string) error {
	switch {
	case key == "":
		return refuse(400, "Key names must not be empty")
	case key == ".", key == "..":
		return refuse(400, "Illegal key name %q. Please use a different name.", key)
	}
	return checkLength(key)
}

func checkLength(key string) error {
	if len(key) > MaxKey {
		return refuse(414, "UTF-8 encoded length of %d exceeds key length limit of %d.", len(key), MaxKey)
	}
	return nil
}

func checkCacheTTL(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if text != "" && (err != nil || n < MinCacheTTL) {
		return refuse(400, "Invalid cache_ttl of %s. Cache TTL must be at least %d.", text, MinCacheTTL)
	}
	return nil
}

func (s *Store) serveGet(w http.ResponseWriter, r *http.Request, key string, q url.Values) error {
	if err := checkCacheTTL(q.Get("cache_ttl")); err != nil {
		return err
	}
	e, err := s.Get(r.Context(), key)
	if err != nil {
		return err
	}
	if e == nil {
		return refuse(404, "Not Found")
	}
	defer e.Close()
	if e.Expiration != 0 {
		w.Header().Set(expirationHeader, strconv.FormatInt(e.Expiration, 10))
	}
	if e.Metadata != nil {
		w.Header().Set(metadataHeader, *e.Metadata)
	}
	w.Header().Set("Content-Length", strconv.FormatInt(e.Size, 10))
	w.WriteHeader(http.StatusOK)
	shelf.Copy(w, e.Value()) // an error of it is the reader's: it has gone
	return nil
}

func (s *Store) servePut(r *http.Request, key string, q url.Values) error {
	e := Entry{Key: key}
	var err error
	if e.Expiration, err = s.expiration(q); err != nil {
		return err
	}
	if list := r.Header.Values(metadataHeader); len(list) > 0 {
		text := list[0]
		if len(text) > MaxMetadata {
			return refuse(413, "Metadata length of %d exceeds limit of %d.", len(text), MaxMetadata)
		}
		if !json.Valid([]byte(text)) {
			return refuse(400, "Metadata is not JSON")
		}
		e.Metadata = &text
	}
	if r.ContentLength > MaxValue {
		return refuse(413, "Value length of %d exceeds limit of %d.", r.ContentLength, MaxValue)
	}
	err = s.Put(r.Context(), e, r.Body)
	if errors.Is(err, errTooLong) {
		return refuse(413, "Value length exceeds limit of %d.", MaxValue)
	}
	return err
}

// expiration reads when an entry goes.
func (s *Store) expiration(q url.Values) (int64, error) {
	now := s.now().Unix()
	if q.Has("expiration_ttl") {
		text := q.Get("expiration_ttl")
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil, n <= 0:
			return 0, refuse(400, "Invalid expiration_ttl of %s. Please specify integer greater than 0.", text)
		case n < MinTTL:
			return 0, refuse(400, "Invalid expiration_ttl of %s. Expiration TTL must be at least %d.", text, MinTTL)
		}
		return min(now+n, 1<<53), nil
	}
	if q.Has("expiration") {
		text := q.Get("expiration")
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil, n <= now:
			return 0, refuse(400, "Invalid expiration of %s. Please specify integer greater than the current number of seconds since the UNIX epoch.", text)
		case n < now+MinTTL:
			return 0, refuse(400, "Invalid expiration of %s. Expiration times must be at least %d seconds in the future.", text, MinTTL)
		}
		return min(n, 1<<53), nil
	}
	return 0, nil
}

func (s *Store) serveList(w http.ResponseWriter, r *http.Request, q url.Values) error {
	limit, after := MaxList, ""
	if q.Has("key_count_limit") {
		text := q.Get("key_count_limit")
		n, err := strconv.Atoi(text)
		switch {
		case err != nil, n < 1:
			return refuse(400, "Invalid key_count_limit of %s. Please specify an integer greater than 0.", text)
		case n > MaxList:
			return refuse(400, "Invalid key_count_limit of %s. Please specify an integer less than %d.", text, MaxList)
		}
		limit = n
	}
	prefix := q.Get("prefix")
	if err := checkLength(prefix); err != nil {
		return err
	}
	if cursor := q.Get("cursor"); cursor != "" {
		var ok bool
		if after, ok = keyOf(cursor); !ok {
			return refuse(400, "Invalid cursor. Use the one that a list has returned.")
		}
	}
	list, more, err := s.List(r.Context(), prefix, after, limit)
	if err != nil {
		return err
	}
	type name struct {
		Name       string  `json:"name"`
		Expiration int64   `json:"expiration,omitempty"`
		Metadata   *string `json:"metadata,omitempty"` // JSON within JSON
	}
	answer := struct {
		Keys     []name `json:"keys"`
		Complete bool   `json:"list_complete"`
		Cursor   string `json:"cursor,omitempty"`
	}{Keys: []name{}, Complete: !more}
	for _, e := range list {
		answer.Keys = append(answer.Keys, name{e.Key, e.Expiration, e.Metadata})
	}
	if more {
		answer.Cursor = cursorOf(list[len(list)-1].Key)
	}
	w.Header().Set("Content-Type", "application/json")
	return encode(w, answer)
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// bulk is a question for several keys.
type bulk struct {
	Keys         []string `json:"keys"`
	Type         string   `json:"type"`
	WithMetadata bool     `json:"withMetadata"`
	CacheTTL     *float64 `json:"cacheTtl"`
}

// maxQuestion bounds a question for several keys, in bytes: JSON may need six for
// one.
const maxQuestion = MaxBulk*(MaxKey*6+8) + 1024

func (s *Store) serveBulk(w http.ResponseWriter, r *http.Request) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxQuestion+1))
	if err != nil {
		return err
	}
	var q bulk
	switch {
	case len(text) > maxQuestion:
		return refuse(413, "The keys are too long")
	case json.Unmarshal(text, &q) != nil:
		return refuse(400, "The question for several keys is not JSON")
	case q.Type != "" && q.Type != "text" && q.Type != "json":
		return refuse(400, `"%s" is not a valid type. Use "json" or "text"`, q.Type)
	case len(q.Keys) > MaxBulk:
		return refuse(400, "You can request a maximum of %d keys", MaxBulk)
	case len(q.Keys) < 1:
		return refuse(400, "You must request a minimum of 1 key")
	}
	if q.CacheTTL != nil {
		if err := checkCacheTTL(strconv.FormatFloat(*q.CacheTTL, 'f', -1, 64)); err != nil {
			return err
		}
	}
	answer := make(map[string]json.RawMessage, len(q.Keys))
	total := 0
	for _, key := range q.Keys {
		if err := checkKey(key); err != nil {
			return err
		}
		value, size, err := s.bulkValue(r, key, q)
		if err != nil {
			return err
		}
		if total += size; total > MaxValue {
			return refuse(413, "Total size of request exceeds the limit of %dMB", MaxValue>>20)
		}
		answer[key] = value
	}
	w.Header().Set("Content-Type", "application/json")
	return encode(w, answer)
}

// bulkValue is one value as it stands in the answer, and its size.
func (s *Store) bulkValue(r *http.Request, key string, q bulk) (json.RawMessage, int, error) {
	e, err := s.Get(r.Context(), key)
	if err != nil || e == nil {
		return json.RawMessage("null"), 0, err
	}
	defer e.Close()
	text, err := io.ReadAll(e.Value())
	if err != nil {
		return nil, 0, err
	}
	value := json.RawMessage(text)
	if q.Type != "json" {
		if value, err = json.Marshal(strings.ToValidUTF8(string(text), "�")); err != nil {
			return nil, 0, err
		}
	} else if !json.Valid(text) {
		return nil, 0, refuse(400, "At least one of the requested keys corresponds to a non-json value")
	}
	if !q.WithMetadata || string(value) == "null" {
		return value, len(text), nil
	}
	metadata := json.RawMessage("null")
	if e.Metadata != nil {
		metadata = json.RawMessage(*e.Metadata)
	}
	value, err = json.Marshal(struct {
		Value    json.RawMessage `json:"value"`
		Metadata json.RawMessage `json:"metadata"`
	}{value, metadata})
	return value, len(text), err
}
