package r2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"zombiezen.com/go/sqlite"
)

// Adopted is an object that comes from elsewhere. It keeps its version, its ETag
// and the time at which it was uploaded.
type Adopted struct {
	Object
	Open func() (io.ReadCloser, error) // its body
}

// Bounds of what R2 makes itself, and of what a Date of JavaScript's can be.
const (
	maxMade = 256
	maxDate = 8_640_000_000_000_000
)

// Check says why there can be no such object; nil: there can. It may be longer
// than what put takes: it was uploaded in parts.
func (a *Adopted) Check() error {
	_, err := a.putting()
	switch {
	case err != nil:
		return err
	case a.Size < 0:
		return fmt.Errorf("it has %d bytes", a.Size)
	case a.Uploaded < 0 || a.Uploaded > maxDate:
		return fmt.Errorf("it was uploaded %d ms after 1970", a.Uploaded)
	}
	for _, text := range []string{a.Version, a.ETag} {
		if text == "" || len(text) > maxMade || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }) {
			return fmt.Errorf("%q is no version and no ETag", text)
		}
	}
	return nil
}

// putting is what its writer has given.
func (a *Adopted) putting() (p putting, err error) {
	var fields struct {
		Type        *string  `json:"contentType,omitempty"`
		Language    *string  `json:"contentLanguage,omitempty"`
		Disposition *string  `json:"contentDisposition,omitempty"`
		Encoding    *string  `json:"contentEncoding,omitempty"`
		Control     *string  `json:"cacheControl,omitempty"`
		Expiry      *float64 `json:"cacheExpiry,omitempty"` // ms since 1970
	}
	if err := json.Unmarshal(a.HTTP, &fields); err != nil {
		return p, fmt.Errorf("read its HTTP metadata: %w", err)
	}
	if p.HTTP, err = json.Marshal(fields); err != nil {
		return p, err
	}
	if err := json.Unmarshal(a.Custom, &p.Custom); err != nil {
		return p, fmt.Errorf("read its custom metadata: %w", err)
	}
	if p.Custom == nil {
		return p, errors.New("its custom metadata are no object")
	}
	p.Checksums = make(map[string]string)
	maps.Copy(p.Checksums, a.Checksums)
	return p, p.check(a.Key, 0)
}

// Adopt writes the objects that all gives to take, which are none of those that
// are there: all of them, as one transaction, or none. Their bodies are compared
// with their checksums. Other writes wait meanwhile.
func (b *Bucket) Adopt(ctx context.Context, all func(take func(Adopted) error) error) error {
	var made []string
	err := b.shelf.Write(ctx, func(conn *sqlite.Conn) error {
		return all(func(a Adopted) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			file, err := b.adopt(conn, a)
			if file != "" {
				made = append(made, file)
			}
			if err != nil {
				return fmt.Errorf("take object %q: %w", a.Key, err)
			}
			return nil
		})
	})
	if err != nil {
		b.shelf.Remove(made...)
	}
	return err
}

var errThere = errors.New("it is there already")

// adopt writes one object, and returns its file also when that fails later.
func (b *Bucket) adopt(conn *sqlite.Conn, a Adopted) (file string, err error) {
	if err := a.Check(); err != nil {
		return "", err
	}
	switch o, _, err := find(conn, a.Key); {
	case err != nil:
		return "", err
	case o != nil:
		return "", errThere
	}
	p, err := a.putting()
	if err != nil {
		return "", err
	}
	checksums, err := json.Marshal(p.Checksums)
	if err != nil {
		return "", err
	}
	if isMD5(a.ETag) {
		p.Checksums["md5"] = a.ETag
	}
	body, err := a.Open()
	if err != nil {
		return "", err
	}
	defer body.Close()
	if _, file, err = b.store(p, a.Size, a.Size, body); err != nil {
		return "", err
	}
	o := a.Object
	o.HTTP = p.HTTP // custom metadata stay in their order
	return file, replace(conn, &o, checksums, file)
}

// Holds says whether there is an object with this key.
func (b *Bucket) Holds(ctx context.Context, key string) (bool, error) {
	_, err := b.Head(ctx, key)
	if errors.Is(err, errNoObject) {
		return false, nil
	}
	return err == nil, err
}
