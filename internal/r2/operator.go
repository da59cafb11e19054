package r2

import (
	"context"
	"encoding/json"
	"errors"
	"io"
)

// What an operator does: the same as the binding, in Go's words.

// Query asks for a list.
type Query struct {
	Prefix, Delimiter, Cursor string
	Limit                     int // 1 to MaxList
}

// Page is a part of a list, in the order of the keys' bytes.
type Page struct {
	Objects  []*Object `json:"objects"`
	Prefixes []string  `json:"prefixes"`         // of groups of keys, with a delimiter
	Cursor   string    `json:"cursor,omitempty"` // of the next part; empty: there is none
}

// Page lists objects, without their metadata.
func (b *Bucket) Page(ctx context.Context, q Query) (*Page, error) {
	limit := float64(q.Limit)
	l, err := b.List(ctx, listing{Limit: &limit, Prefix: q.Prefix, Cursor: q.Cursor, Delimiter: q.Delimiter})
	if err != nil {
		return nil, err
	}
	return &Page{Objects: l.Objects, Prefixes: l.Prefixes, Cursor: l.Cursor}, nil
}

// Read returns an object and its body, which the caller closes.
func (b *Bucket) Read(ctx context.Context, key string) (*Object, io.ReadCloser, error) {
	return b.Get(ctx, key, nil, PartOf{})
}

// Header is what is known of an object, as JSON that a header can hold.
func Header(o *Object) string { return ascii(o) }

// Write writes an object of this size.
func (b *Bucket) Write(ctx context.Context, key, contentType string, size int64, body io.Reader) (*Object, error) {
	p := putting{}
	if contentType != "" {
		p.HTTP, _ = json.Marshal(map[string]string{"contentType": contentType})
	}
	return b.Put(ctx, key, p, size, body)
}

// IsNone says whether an error is that there is no such object, and IsRefused
// whether its cause is what was asked for.
func IsNone(err error) bool { return errors.Is(err, errNoObject) }

func IsRefused(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.status < 500
}
