package miniflare

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Body is a value. It lies in one file, or in several one after the other.
type Body struct {
	Size  int64
	root  *os.Root
	files []string
}

// body finds a value that lies in one file.
func (x *Index) body(blob string) (Body, error) {
	if err := checkBlob(blob); err != nil {
		return Body{}, err
	}
	b := Body{root: x.root, files: []string{blob}}
	if x.root == nil {
		return b, x.missing(blob)
	}
	info, err := x.root.Stat(blob)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, x.missing(blob)
	case err != nil:
		return b, err
	case !info.Mode().IsRegular():
		return b, fmt.Errorf("%s is no file", blob)
	}
	b.Size = info.Size()
	return b, nil
}

// missing: wrangler dev itself finds no such key then.
func (x *Index) missing(blob string) error {
	command := "wrangler kv key delete --local"
	if x.store.Kind == R2 {
		command = "wrangler r2 object delete --local"
	}
	return fmt.Errorf("its value is not there (%s in %s): delete the key with `%s`", blob, x.store.blobs, command)
}

// assembled finds an object that was uploaded in parts.
func (x *Index) assembled(key string) (all Body, err error) {
	all.root = x.root
	rows, err := x.db.Select("SELECT CAST(substr(blob_id, 1, 1000) AS TEXT), size FROM _mf_multipart_parts WHERE object_key = ? ORDER BY part_number LIMIT ?", key, int64(maxParts+1))
	switch {
	case err != nil:
		return all, err
	case len(rows) > maxParts:
		return all, fmt.Errorf("it has more than %d parts", maxParts)
	}
	for _, row := range rows {
		blob, _ := row[0].(string)
		part, err := x.body(blob)
		if err != nil {
			return all, err
		}
		if row[1] != part.Size {
			return all, fmt.Errorf("a part of it has %d bytes, and should have %v", part.Size, row[1])
		}
		all.Size += part.Size
		all.files = append(all.files, blob)
	}
	return all, nil
}

// Open begins to read it. One file is open at a time.
func (b Body) Open() (io.ReadCloser, error) { return &reader{body: b}, nil }

type reader struct {
	body Body
	now  *os.File // nil: the next one is to be opened
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.now == nil {
			if len(r.body.files) == 0 {
				return 0, io.EOF
			}
			f, err := r.body.root.Open(r.body.files[0])
			if err != nil {
				return 0, err
			}
			r.now, r.body.files = f, r.body.files[1:]
		}
		n, err := r.now.Read(p)
		if err == io.EOF {
			err = r.Close()
			if n == 0 && err == nil {
				continue
			}
		}
		return n, err
	}
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.now == nil {
		return nil
	}
	err := r.now.Close()
	r.now = nil
	return err
}

// Check reads an object's body and compares it with its ETag, if that is its MD5.
func (o *Object) Check() error {
	want, err := hex.DecodeString(o.ETag)
	if err != nil || len(want) != md5.Size {
		return nil // of an object that was uploaded in parts
	}
	body, err := o.Body.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	sum := md5.New()
	if _, err := io.Copy(sum, body); err != nil {
		return err
	}
	if have := hex.EncodeToString(sum.Sum(nil)); have != hex.EncodeToString(want) {
		return fmt.Errorf("its MD5 is %s, and should be %s: it is damaged; delete it with `wrangler r2 object delete --local`", have, o.ETag)
	}
	return nil
}
