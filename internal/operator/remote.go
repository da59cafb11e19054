package operator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
)

// Remote is a Store behind the admin API of a server.
type Remote struct {
	base   string
	token  string
	client *http.Client
}

// Dial returns the store of the server whose admin API is at an address, such as
// 127.0.0.1:8788 or https://example.com. It asks nothing yet.
func Dial(address, token string) (*Remote, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address of an admin API: give one such as 127.0.0.1:8788", address)
	}
	return &Remote{strings.TrimRight(u.String(), "/"), token, &http.Client{}}, nil
}

// Close implements Store.
func (r *Remote) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

// maxAnswer bounds what a server may answer.
const maxAnswer = 256 << 20

// errNone is what the server says of something that is not there.
var errNone = errors.New("there is none")

// ask asks the server, and reads its answer into the given value.
func (r *Remote) ask(ctx context.Context, method, path string, body, into any) error {
	var send io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		send = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		send = bytes.NewReader(text)
	}
	resp, err := r.do(ctx, method, path, send)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	var short bytes.Buffer // what is JSON in it was indented with the rest
	if json.Compact(&short, answer) != nil {
		return fmt.Errorf("%s does not answer as an admin API", r.base)
	}
	d := json.NewDecoder(&short)
	d.UseNumber() // as they were written
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s does not answer as an admin API: %w", r.base, err)
	}
	return nil
}

// do begins to ask. An answer that is no success is an error.
func (r *Remote) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, body)
	if err != nil {
		return nil, err
	}
	return r.send(req)
}

// send asks. An answer that is no success is an error.
func (r *Remote) send(req *http.Request) (*http.Response, error) {
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the admin API cannot be reached: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var said struct{ Error string }
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(text, &said) != nil || said.Error == "" {
		return nil, fmt.Errorf("%s answers %s", r.base, resp.Status)
	}
	switch {
	case resp.StatusCode == http.StatusNotFound && said.Error == browse.ErrNoData.Error():
		return nil, browse.ErrNoData
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%w: %s", errNone, said.Error)
	}
	return nil, errors.New(said.Error)
}

func (o Object) path(rest string, query url.Values) string {
	id := o.ID.String()
	if o.Name != nil { // so that the object learns its name
		id = "name:" + *o.Name
	}
	path := "/api/objects/" + url.PathEscape(string(o.Namespace)) + "/" + url.PathEscape(id) + "/" + rest
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

func withKey(key string) url.Values {
	if utf8.ValidString(key) {
		return url.Values{"key": {key}}
	}
	return url.Values{"key_base64": {base64.StdEncoding.EncodeToString([]byte(key))}}
}

// Namespaces implements Store.
func (r *Remote) Namespaces(ctx context.Context) ([]dormouse.Namespace, error) {
	var answer struct{ Namespaces []dormouse.Namespace }
	err := r.ask(ctx, http.MethodGet, "/api/namespaces", nil, &answer)
	return answer.Namespaces, err
}

// Stored implements Store.
func (r *Remote) Stored(ctx context.Context, q browse.Query) (*browse.Page, error) {
	query := url.Values{}
	if q.Namespace != "" {
		query.Set("namespace", string(q.Namespace))
	}
	if q.After != "" {
		query.Set("after", q.After)
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	page := new(browse.Page)
	return page, r.ask(ctx, http.MethodGet, "/api/storage?"+query.Encode(), nil, page)
}

type statement struct {
	SQL   string `json:"sql"`
	Write bool   `json:"write,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

func (r *Remote) sql(ctx context.Context, o Object, s statement) (*browse.Rows, error) {
	rows := new(browse.Rows)
	return rows, r.ask(ctx, http.MethodPost, o.path("sql", nil), s, rows)
}

// Query implements Store.
func (r *Remote) Query(ctx context.Context, o Object, sql string, limit int) (*browse.Rows, error) {
	return r.sql(ctx, o, statement{SQL: sql, Limit: limit})
}

// Exec implements Store.
func (r *Remote) Exec(ctx context.Context, o Object, sql string, limit int) (*browse.Rows, error) {
	return r.sql(ctx, o, statement{SQL: sql, Limit: limit, Write: true})
}

// List implements Store.
func (r *Remote) List(ctx context.Context, o Object, q browse.Range) (*browse.Values, error) {
	query := url.Values{"prefix": {q.Prefix}}
	if q.After != nil {
		query.Set("after_base64", base64.StdEncoding.EncodeToString([]byte(*q.After)))
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	list := new(browse.Values)
	return list, r.ask(ctx, http.MethodGet, o.path("kv", query), nil, list)
}

// Get implements Store.
func (r *Remote) Get(ctx context.Context, o Object, key string) (*browse.Value, error) {
	v := new(browse.Value)
	err := r.ask(ctx, http.MethodGet, o.path("value", withKey(key)), nil, v)
	if errors.Is(err, errNone) {
		return nil, nil
	}
	return v, err
}

// History implements Store.
func (r *Remote) History(ctx context.Context, o Object, limit int) (*browse.History, error) {
	h := new(browse.History)
	return h, r.ask(ctx, http.MethodGet, o.path("history", url.Values{"limit": {strconv.Itoa(limit)}}), nil, h)
}

// PutBack implements Store.
func (r *Remote) PutBack(ctx context.Context, o Object, to browse.PastPoint) (*browse.PutBack, error) {
	x := new(browse.PutBack)
	return x, r.ask(ctx, http.MethodPost, o.path("restore", nil), to, x)
}

// Put implements Store.
func (r *Remote) Put(ctx context.Context, o Object, key string, text []byte) error {
	if _, err := browse.Serialize(text); err != nil {
		return err
	}
	var answer struct{ Stored bool }
	return r.ask(ctx, http.MethodPut, o.path("value", withKey(key)), text, &answer)
}

// Backup implements Store.
func (r *Remote) Backup(ctx context.Context, to io.Writer, which browse.Selection) error {
	query := url.Values{}
	if which.Namespace != "" {
		query.Set("namespace", string(which.Namespace))
	}
	if which.ID != nil {
		query.Set("id", which.ID.String())
	}
	resp, err := r.do(ctx, http.MethodPost, "/api/backup?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(to, resp.Body)
	return err
}

// Delete implements Store.
func (r *Remote) Delete(ctx context.Context, o Object, key string) (bool, error) {
	var answer struct{ Deleted bool }
	err := r.ask(ctx, http.MethodDelete, o.path("value", withKey(key)), nil, &answer)
	return answer.Deleted, err
}
