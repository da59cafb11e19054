// Package r2 keeps R2 buckets: objects under keys, each with a body in a file of
// its own, checksums and metadata. It answers what the binding asks over HTTP,
// and never sees JavaScript or a guest. Bodies pass through it in pieces.
package r2

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/dormouse-dev/dormouse/internal/shelf"
)

// Limits, as on Cloudflare.
const (
	MaxKey      = 1024 // bytes
	MaxCustom   = 8192 // of custom metadata
	MaxObject   = 5<<30 - 5<<20
	MaxList     = 1000 // objects in one answer
	maxIncluded = 100  // of them with metadata
	MaxDelete   = 1000 // keys at once
	maxHTTP     = 8 << 10
)

const schema = `
CREATE TABLE IF NOT EXISTS objects (
	key TEXT PRIMARY KEY,
	file TEXT NOT NULL,
	version TEXT NOT NULL,
	size INTEGER NOT NULL,
	etag TEXT NOT NULL,         -- the MD5 of the body, in hex; what came from elsewhere may have another
	uploaded INTEGER NOT NULL,  -- ms since 1970
	checksums TEXT NOT NULL,    -- JSON: those that the writer has given
	http TEXT NOT NULL,         -- JSON
	custom TEXT NOT NULL        -- JSON
) WITHOUT ROWID;
`

// Shelf says how a bucket lies in a folder.
func Shelf(folder string, relaxed bool) shelf.Config {
	return shelf.Config{Folder: folder, Relaxed: relaxed, Schema: schema, Names: "SELECT file FROM objects"}
}

// Bucket is one bucket.
type Bucket struct {
	shelf *shelf.Shelf
	now   func() time.Time
}

// New makes a bucket of an open shelf.
func New(s *shelf.Shelf) *Bucket { return &Bucket{s, time.Now} }

// Object is what is known of an object beside its body.
type Object struct {
	Key       string            `json:"key"`
	Version   string            `json:"version"`
	Size      int64             `json:"size"`
	ETag      string            `json:"etag"`
	Uploaded  int64             `json:"uploaded"` // ms since 1970
	Checksums map[string]string `json:"checksums"`
	HTTP      json.RawMessage   `json:"http,omitempty"`
	Custom    json.RawMessage   `json:"custom,omitempty"`
	Range     *Range            `json:"range,omitempty"`
}

// Range is a part of a body.
type Range struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

const columns = `key, version, size, etag, uploaded, checksums, http, custom, file`

func read(st *sqlite.Stmt) (o *Object, file string) {
	o = &Object{
		Key: st.ColumnText(0), Version: st.ColumnText(1), Size: st.ColumnInt64(2), ETag: st.ColumnText(3),
		Uploaded: st.ColumnInt64(4), HTTP: json.RawMessage(st.ColumnText(6)), Custom: json.RawMessage(st.ColumnText(7)),
	}
	json.Unmarshal([]byte(st.ColumnText(5)), &o.Checksums)
	if o.Checksums == nil {
		o.Checksums = make(map[string]string)
	}
	if isMD5(o.ETag) {
		o.Checksums["md5"] = o.ETag
	}
	return o, st.ColumnText(8)
}

// isMD5 says whether an ETag is that of an object that was written in one piece.
func isMD5(etag string) bool {
	b, err := hex.DecodeString(etag)
	return err == nil && len(b) == md5.Size
}

// find returns nil when there is no such object.
func find(conn *sqlite.Conn, key string) (o *Object, file string, err error) {
	err = sqlitex.Execute(conn, `SELECT `+columns+` FROM objects WHERE key = ?`, &sqlitex.ExecOptions{
		Args:       []any{key},
		ResultFunc: func(st *sqlite.Stmt) error { o, file = read(st); return nil },
	})
	return o, file, err
}

// Head returns an object without its body.
func (b *Bucket) Head(ctx context.Context, key string) (o *Object, err error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	err = b.shelf.Read(ctx, func(conn *sqlite.Conn) error {
		o, _, err = find(conn, key)
		return err
	})
	if err == nil && o == nil {
		err = errNoObject
	}
	return o, err
}

// Get returns an object and its body, which is closed by the caller. If a
// condition does not hold, the error is errCondition and the object is there
// without a body.
func (b *Bucket) Get(ctx context.Context, key string, onlyIf *Condition, part PartOf) (o *Object, body io.ReadCloser, err error) {
	if err := checkKey(key); err != nil {
		return nil, nil, err
	}
	var f *shelf.File
	err = b.shelf.Read(ctx, func(conn *sqlite.Conn) error {
		var file string
		if o, file, err = find(conn, key); err != nil {
			return err
		}
		switch {
		case o == nil:
			return errNoObject
		case !onlyIf.holds(o):
			return errCondition
		}
		if o.Range, err = part.of(o.Size); err != nil {
			return err
		}
		f, err = b.shelf.OpenFile(file)
		return err
	})
	if err != nil {
		return o, nil, err
	}
	return o, struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, o.Range.Offset, o.Range.Length), f}, nil
}

// putting is the head of a new object, as its writer gives it.
type putting struct {
	HTTP      json.RawMessage   `json:"http"`
	Custom    map[string]string `json:"custom"`
	Checksums map[string]string `json:"checksums"` // in hex
	OnlyIf    *Condition        `json:"onlyIf"`
}

// algorithm is a checksum by its name, and as messages call it.
type algorithm struct {
	name, label string
	make        func() hash.Hash
}

// hashes are the checksums that a writer may give.
var hashes = []algorithm{
	{"md5", "MD5", md5.New}, {"sha1", "SHA-1", sha1.New}, {"sha256", "SHA-256", sha256.New},
	{"sha384", "SHA-384", sha512.New384}, {"sha512", "SHA-512", sha512.New},
}

// Put writes an object. A body that breaks off changes nothing.
func (b *Bucket) Put(ctx context.Context, key string, p putting, size int64, body io.Reader) (*Object, error) {
	if err := p.check(key, size); err != nil {
		return nil, err
	}
	o, file, err := b.store(p, size, MaxObject, body)
	if err != nil {
		return nil, err
	}
	o.Key, o.Uploaded = key, b.now().UnixMilli()
	checksums, err := json.Marshal(o.Checksums)
	if err != nil {
		return nil, err
	}
	var gone []string
	err = b.shelf.Write(ctx, func(conn *sqlite.Conn) error {
		before, old, err := find(conn, key)
		if err != nil {
			return err
		}
		if !p.OnlyIf.holds(before) {
			return errCondition
		}
		if before != nil {
			gone = append(gone, old)
		}
		return replace(conn, o, checksums, file)
	})
	if err != nil {
		b.shelf.Remove(file)
		return nil, err
	}
	b.shelf.Remove(gone...)
	o.Checksums["md5"] = o.ETag
	return o, nil
}

// replace writes the row of an object.
func replace(conn *sqlite.Conn, o *Object, checksums []byte, file string) error {
	return sqlitex.Execute(conn, `INSERT OR REPLACE INTO objects (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, &sqlitex.ExecOptions{
		Args: []any{o.Key, o.Version, o.Size, o.ETag, o.Uploaded, string(checksums), string(o.HTTP), string(o.Custom), file},
	})
}

// check refuses what cannot be written, before any of the body is read.
func (p *putting) check(key string, size int64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if size > MaxObject {
		return errTooLarge
	}
	length := 0
	for k, v := range p.Custom {
		length += serialized(k) + serialized(v)
	}
	if length > MaxCustom || len(p.HTTP) > maxHTTP {
		return errMetadata
	}
	for name, sum := range p.Checksums {
		known := slices.ContainsFunc(hashes, func(h algorithm) bool { return h.name == name })
		if _, err := hex.DecodeString(sum); !known || err != nil {
			return errArgument
		}
	}
	return nil
}

// serialized is the size of a text as R2 counts it.
func serialized(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r >= 256 {
			return 2 * n
		}
	}
	return n
}

// store writes a body of at most so many bytes to a file and compares its
// checksums.
func (b *Bucket) store(p putting, size, most int64, body io.Reader) (o *Object, file string, err error) {
	d, err := b.shelf.Create()
	if err != nil {
		return nil, "", err
	}
	kept := false
	defer func() {
		if !kept {
			d.Drop()
		}
	}()
	sums := make(map[string]hash.Hash)
	to := []io.Writer{d}
	for _, h := range hashes {
		if _, wanted := p.Checksums[h.name]; wanted || h.name == "md5" {
			sums[h.name] = h.make()
			to = append(to, sums[h.name])
		}
	}
	n, err := shelf.Copy(io.MultiWriter(to...), io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return nil, "", err
	case n > most:
		return nil, "", errTooLarge
	case n != size:
		return nil, "", errBodyLength
	}
	o = &Object{Version: random(), Size: n, ETag: hex.EncodeToString(sums["md5"].Sum(nil)), Checksums: make(map[string]string)}
	for _, h := range hashes {
		given, wanted := p.Checksums[h.name]
		if !wanted {
			continue
		}
		have := sums[h.name].Sum(nil)
		if want, _ := hex.DecodeString(given); !bytes.Equal(want, have) {
			return nil, "", badDigest(h.label, given, hex.EncodeToString(have))
		}
		o.Checksums[h.name] = hex.EncodeToString(have)
	}
	if o.HTTP = p.HTTP; len(o.HTTP) == 0 {
		o.HTTP = json.RawMessage("{}")
	}
	if o.Custom, err = json.Marshal(p.Custom); err != nil {
		return nil, "", err
	}
	if p.Custom == nil {
		o.Custom = json.RawMessage("{}")
	}
	kept = true
	file, err = d.Keep()
	return o, file, err
}

func random() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Delete removes objects; those that are not there are none of its business. All
// of them go, or none.
func (b *Bucket) Delete(ctx context.Context, keys []string) error {
	if len(keys) > MaxDelete {
		return errTooMany
	}
	for _, k := range keys {
		if err := checkKey(k); err != nil {
			return err
		}
	}
	var gone []string
	err := b.shelf.Write(ctx, func(conn *sqlite.Conn) error {
		for _, k := range keys {
			err := sqlitex.Execute(conn, `DELETE FROM objects WHERE key = ? RETURNING file`, &sqlitex.ExecOptions{
				Args:       []any{k},
				ResultFunc: func(st *sqlite.Stmt) error { gone = append(gone, st.ColumnText(0)); return nil },
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		b.shelf.Remove(gone...)
	}
	return err
}

// PartOf says which part of a body is wanted; the zero value means all of it.
type PartOf struct {
	Offset *float64 `json:"offset"`
	Length *float64 `json:"length"`
	Suffix *float64 `json:"suffix"`
	Header string   `json:"header"` // of HTTP; then the others are not looked at
}

// of is the range of a body of this size.
func (p PartOf) of(size int64) (*Range, error) {
	if p.Header != "" {
		return headerRange(p.Header, size), nil
	}
	whole := &Range{0, size}
	if p.Offset == nil && p.Length == nil && p.Suffix == nil {
		return whole, nil
	}
	if p.Suffix != nil {
		n := bounded(*p.Suffix)
		if n <= 0 {
			return nil, errRange
		}
		n = min(n, size)
		return &Range{size - n, n}, nil
	}
	offset, length := int64(0), int64(0)
	if p.Offset != nil {
		offset = bounded(*p.Offset)
	}
	if length = size - offset; p.Length != nil {
		length = bounded(*p.Length)
	}
	if offset < 0 || offset > size || length <= 0 {
		return nil, errRange
	}
	return &Range{offset, min(length, size-offset)}, nil
}

// bounded makes a whole number of one of JavaScript's.
func bounded(n float64) int64 {
	switch {
	case n != n:
		return 0
	case n > 1<<53:
		return 1 << 53
	case n < -1<<53:
		return -1 << 53
	}
	return int64(n)
}

// Condition is what must hold of the object that is there, or is not.
type Condition struct {
	Matches  []Tag    `json:"etagMatches"`
	Differs  []Tag    `json:"etagDoesNotMatch"`
	Before   *float64 `json:"uploadedBefore"` // ms since 1970
	After    *float64 `json:"uploadedAfter"`
	Granular bool     `json:"secondsGranularity"`
}

// Tag is an ETag in a condition.
type Tag struct {
	Type  string `json:"type"` // strong, weak or wildcard
	Value string `json:"value"`
}

func includes(list []Tag, etag string, weakly bool) bool {
	return slices.ContainsFunc(list, func(t Tag) bool {
		return t.Type == "wildcard" || t.Value == etag && (t.Type == "strong" || weakly)
	})
}

// holds says whether the condition holds of an object; nil: there is none.
//
// RFC 9110, section 13.2.2: a condition on the time does not count beside one on
// the ETag that holds.
func (c *Condition) holds(o *Object) bool {
	if c == nil {
		return true
	}
	if o == nil {
		return c.Matches == nil && c.After == nil
	}
	time := func(ms float64) float64 {
		if c.Granular {
			return float64(int64(ms) / 1000 * 1000)
		}
		return ms
	}
	uploaded := time(float64(o.Uploaded))
	match := c.Matches == nil || includes(c.Matches, o.ETag, false)
	differs := c.Differs == nil || !includes(c.Differs, o.ETag, true)
	after := c.After == nil || time(*c.After) < uploaded || c.Differs != nil && differs
	before := c.Before == nil || uploaded < time(*c.Before) || c.Matches != nil && match
	return match && differs && after && before
}
