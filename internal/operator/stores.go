package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/r2"
	"github.com/dormouse-dev/dormouse/internal/stores"
)

// Stores are the KV namespaces and buckets of a data folder: those of a server
// that is asked over HTTP, or of files behind the same handler in this process.
type Stores struct {
	ask   *Remote
	close func() error
}

// Stores are those of the server.
func (r *Remote) Stores() *Stores { return &Stores{r, func() error { return nil }} }

// Stores are those of the folder.
func (f *Folder) Stores() *Stores {
	h, closed := f.folder.Stores()
	return &Stores{&Remote{base: "http://folder", client: &http.Client{Transport: inProcess{h}}}, closed}
}

// Close gives them back, before the folder or the server is closed.
func (s *Stores) Close() error { return s.close() }

// Kind is KV or R2.
type Kind string

const (
	KV Kind = "kv"
	R2 Kind = "r2"
)

// Names lists the namespaces or buckets.
func (s *Stores) Names(ctx context.Context, k Kind) ([]string, error) {
	var answer struct{ Namespaces, Buckets []string }
	err := s.ask.ask(ctx, http.MethodGet, "/api/"+string(k), nil, &answer)
	return slices.Concat(answer.Namespaces, answer.Buckets), err
}

func storePath(k Kind, name, rest string, q url.Values) string {
	return "/api/" + string(k) + "/" + url.PathEscape(name) + rest + "?" + q.Encode()
}

// thing is what the path of a single key ends in.
func (k Kind) thing() string {
	if k == KV {
		return "/value"
	}
	return "/object"
}

// Keys lists entries of a KV namespace that come after a key.
func (s *Stores) Keys(ctx context.Context, name, prefix, after string, limit int) (*stores.Keys, error) {
	page := new(stores.Keys)
	q := url.Values{"prefix": {prefix}, "after": {after}, "limit": {strconv.Itoa(limit)}}
	return page, s.ask.ask(ctx, http.MethodGet, storePath(KV, name, "", q), nil, page)
}

// Objects lists objects of a bucket.
func (s *Stores) Objects(ctx context.Context, name string, q r2.Query) (*r2.Page, error) {
	page := new(r2.Page)
	v := url.Values{"prefix": {q.Prefix}, "delimiter": {q.Delimiter}, "cursor": {q.Cursor}, "limit": {strconv.Itoa(q.Limit)}}
	return page, s.ask.ask(ctx, http.MethodGet, storePath(R2, name, "", v), nil, page)
}

// Read copies a value, or the body of an object.
func (s *Stores) Read(ctx context.Context, k Kind, name, key string, to io.Writer) error {
	resp, err := s.ask.do(ctx, http.MethodGet, storePath(k, name, k.thing(), url.Values{"key": {key}}), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(to, resp.Body)
	if want := resp.ContentLength; err == nil && want >= 0 && n != want {
		err = fmt.Errorf("only %d of %d bytes came", n, want)
	}
	return err
}

// Content is what is written.
type Content struct {
	Body io.Reader
	Size int64
	Type string // of an object: MIME; empty: none is kept
	// Of a value of KV: JSON, and seconds until it goes; empty: none, never.
	Metadata string
	TTL      int
	Create   bool // the namespace or bucket, if there is none
}

// Write stores a value or an object.
func (s *Stores) Write(ctx context.Context, k Kind, name, key string, c Content) error {
	q := url.Values{"key": {key}}
	if c.TTL > 0 {
		q.Set("ttl", strconv.Itoa(c.TTL))
	}
	if c.Create {
		q.Set("create", "1")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.ask.base+storePath(k, name, k.thing(), q), c.Body)
	if err != nil {
		return err
	}
	req.ContentLength = c.Size
	if c.Size == 0 {
		req.Body = http.NoBody
	}
	if c.Type != "" {
		req.Header.Set("Content-Type", c.Type)
	}
	if c.Metadata != "" {
		if !json.Valid([]byte(c.Metadata)) || strings.ContainsAny(c.Metadata, "\r\n") {
			return errors.New("the metadata has to be JSON, in one line")
		}
		req.Header.Set("Cf-Kv-Metadata", c.Metadata)
	}
	resp, err := s.ask.send(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Delete removes a value or an object, and says whether it was there.
func (s *Stores) Delete(ctx context.Context, k Kind, name, key string) (bool, error) {
	var answer struct{ Deleted bool }
	err := s.ask.ask(ctx, http.MethodDelete, storePath(k, name, k.thing(), url.Values{"key": {key}}), nil, &answer)
	return answer.Deleted, err
}

// inProcess asks a handler as if it were far away.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	out, in := io.Pipe()
	w := &answering{header: make(http.Header), body: in, begun: make(chan int, 1)}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	go func() {
		t.handler.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		in.Close()
		r.Body.Close()
	}()
	status := <-w.begun
	length := int64(-1)
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: out, ContentLength: length, Request: r,
	}, nil
}

// answering is the http.ResponseWriter of inProcess.
type answering struct {
	header, sent http.Header
	body         io.Writer
	begun        chan int // the status, once
}

func (w *answering) Header() http.Header { return w.header }

func (w *answering) WriteHeader(status int) {
	if w.sent == nil {
		w.sent = w.header.Clone()
		w.begun <- status
	}
}

func (w *answering) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
