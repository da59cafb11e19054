package r2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/shelf"
)

// Headers that carry JSON beside a body, all of it in ASCII.
const (
	requestHeader = "Dormouse-R2-Request"
	objectHeader  = "Dormouse-R2-Object"
	errorHeader   = "Dormouse-R2-Error"
)

// problem is what the binding makes an Error of.
type problem struct {
	Code    int    `json:"code"` // of R2
	Message string `json:"message"`
	status  int
}

func (p *problem) Error() string { return p.Message }

// R2's errors, in its words.
var (
	errInternal   = &problem{10001, "We encountered an internal error. Please try again.", 500}
	errNoObject   = &problem{10007, "The specified key does not exist.", 404}
	errMetadata   = &problem{10012, "Your metadata headers exceed the maximum allowed metadata size.", 400}
	errName       = &problem{10020, "The specified object name is not valid.", 400}
	errMaxKeys    = &problem{10022, "MaxKeys params must be positive integer <= 1000.", 400}
	errArgument   = &problem{10029, "Metadata missing or invalid", 400}
	errCursor     = &problem{10029, "The cursor is not one that a list has returned.", 400}
	errTooMany    = &problem{10029, fmt.Sprintf("At most %d keys can be deleted at once.", MaxDelete), 400}
	errBodyLength = &problem{10029, "The body is not as long as it was said to be.", 400}
	errCondition  = &problem{10031, "At least one of the pre-conditions you specified did not hold.", 412}
	errRange      = &problem{10039, "The requested range is not satisfiable", 416}
	errTooLarge   = &problem{100100, "Your proposed upload exceeds the maximum allowed object size.", 400}
)

func badDigest(label, given, have string) error {
	return &problem{10037, fmt.Sprintf("The %s checksum you specified did not match what we received.\n"+
		"You provided a %s checksum with value: %s\nActual %s was: %s", label, label, given, label, have), 400}
}

func checkKey(key string) error {
	if len(key) > MaxKey {
		return errName
	}
	return nil
}

// question is what stands in the header of /head and /get.
type question struct {
	Key    string     `json:"key"`
	OnlyIf *Condition `json:"onlyIf"`
	Range  PartOf     `json:"range"`
}

// maxQuestion bounds a request's header, and maxKeys the body that names keys.
const (
	maxQuestion = 64 << 10
	maxKeys     = MaxDelete*(MaxKey*6+8) + 1024
)

// ServeHTTP answers what the binding asks. The path says what: /head, /get, /put,
// /delete or /list.
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	text := []byte(r.Header.Get(requestHeader))
	switch what := strings.TrimPrefix(r.URL.Path, "/"); {
	case len(text) > maxQuestion:
		err = errArgument
	case what == "head":
		err = b.serveHead(w, r, text)
	case what == "get":
		err = b.serveGet(w, r, text)
	case what == "put":
		err = b.servePut(w, r, text)
	case what == "list":
		err = b.serveList(w, r, text)
	case what == "delete":
		err = b.serveDelete(w, r)
	default:
		err = errArgument
	}
	if err != nil {
		complain(w, err)
	}
}

func complain(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[*problem](err)
	switch {
	case ok:
	case errors.Is(err, shelf.ErrBusy), errors.Is(err, shelf.ErrClosed):
		p = &problem{errInternal.Code, err.Error(), 503}
	default:
		p = &problem{errInternal.Code, errInternal.Message + " (" + err.Error() + ")", 500}
	}
	w.Header().Set(errorHeader, ascii(p))
	w.WriteHeader(p.status)
}

func (b *Bucket) serveHead(w http.ResponseWriter, r *http.Request, text []byte) error {
	var q question
	if json.Unmarshal(text, &q) != nil {
		return errArgument
	}
	o, err := b.Head(r.Context(), q.Key)
	if err != nil {
		return err
	}
	o.Range = &Range{0, o.Size}
	w.Header().Set(objectHeader, ascii(o))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (b *Bucket) serveGet(w http.ResponseWriter, r *http.Request, text []byte) error {
	var q question
	if json.Unmarshal(text, &q) != nil {
		return errArgument
	}
	o, body, err := b.Get(r.Context(), q.Key, q.OnlyIf, q.Range)
	if errors.Is(err, errCondition) {
		o.Range = &Range{0, o.Size}
		w.Header().Set(objectHeader, ascii(o))
	}
	if err != nil {
		return err
	}
	defer body.Close()
	w.Header().Set(objectHeader, ascii(o))
	w.Header().Set("Content-Length", strconv.FormatInt(o.Range.Length, 10))
	w.WriteHeader(http.StatusOK)
	shelf.Copy(w, body) // an error of it is the reader's: it has gone
	return nil
}

func (b *Bucket) servePut(w http.ResponseWriter, r *http.Request, text []byte) error {
	var q struct {
		Key string `json:"key"`
		putting
	}
	if json.Unmarshal(text, &q) != nil {
		return errArgument
	}
	o, err := b.Put(r.Context(), q.Key, q.putting, r.ContentLength, r.Body)
	if err != nil {
		return err
	}
	w.Header().Set(objectHeader, ascii(o))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (b *Bucket) serveList(w http.ResponseWriter, r *http.Request, text []byte) error {
	var q listing
	if json.Unmarshal(text, &q) != nil {
		return errArgument
	}
	answer, err := b.List(r.Context(), q)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

func (b *Bucket) serveDelete(w http.ResponseWriter, r *http.Request) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxKeys+1))
	if err != nil {
		return err
	}
	var keys []string
	switch {
	case len(text) > maxKeys:
		return errTooMany
	case json.Unmarshal(text, &keys) != nil:
		return errArgument
	}
	if err := b.Delete(r.Context(), keys); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ascii is JSON whose every character may stand in a header.
func ascii(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("r2: " + err.Error()) // only our own types
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// headerRange is what a Range header asks for; all of it if it asks for several
// parts, or cannot be understood.
//
// RFC 9110, section 14.2: then the header is ignored.
func headerRange(header string, size int64) *Range {
	whole := &Range{0, size}
	unit, spec, ok := strings.Cut(strings.TrimSpace(header), "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return whole
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return whole
	}
	from, fromErr := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	to, toErr := strconv.ParseInt(strings.TrimSpace(last), 10, 64)
	switch {
	case first == "" && toErr == nil && to > 0: // the last ones
		n := min(to, size)
		return &Range{size - n, n}
	case fromErr != nil || from < 0 || from >= size:
		return whole
	case strings.TrimSpace(last) == "":
		return &Range{from, size - from}
	case toErr != nil || to < from:
		return whole
	}
	return &Range{from, min(to, size-1) - from + 1}
}
