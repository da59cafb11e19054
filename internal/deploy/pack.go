package deploy

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// A package travels as a tar archive: manifest.json first, then the files that
// it lists, in the order of their names, and nothing else.

// WriteTo writes the archive.
func (p *Package) WriteTo(w io.Writer) (int64, error) {
	counted := &counter{w: w}
	t := tar.NewWriter(counted)
	text, err := json.MarshalIndent(p.Manifest, "", " ")
	if err == nil && len(text) > maxManifest {
		err = fmt.Errorf("%s has %d bytes; the limit is %d", manifestName, len(text), maxManifest)
	}
	if err == nil {
		err = p.add(t, manifestName, text)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Manifest.Files)) {
		if err != nil {
			break
		}
		var content []byte
		if content, err = p.read(name); err == nil {
			err = p.add(t, name, content)
		}
	}
	if err == nil {
		err = t.Close()
	}
	return counted.n, err
}

// read returns the content of a file, if it is still the one that was listed.
func (p *Package) read(name string) ([]byte, error) {
	folder, rest, _ := strings.Cut(name, "/")
	if folder == codeDir {
		return p.code[rest], nil
	}
	content, err := p.assets.ReadFile(rest)
	if err == nil && fileOf(content) != p.Manifest.Files[name] {
		err = fmt.Errorf("%s has changed while it was packed; try again", rest)
	}
	return content, err
}

func (p *Package) add(t *tar.Writer, name string, content []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600, ModTime: p.Manifest.Made, Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(content)
	return err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// ErrPackage is in the errors of packages that cannot be read.
var ErrPackage = errors.New("the package is damaged")

// errTooLarge is returned for a package past the limit.
type errTooLarge struct{ limit int64 }

func (e errTooLarge) Error() string {
	return fmt.Sprintf("the package has more than %d MiB (limits.deploy_bytes)", e.limit>>20)
}

// TooLarge says whether an error is that of a package past its limit.
func TooLarge(err error) bool {
	var e errTooLarge
	return errors.As(err, &e)
}

// bounded fails when more is read than may be.
type bounded struct {
	r     io.Reader
	left  int64
	limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// One more byte is too many, the end is not.
		n, err := b.r.Read(make([]byte, 1))
		if n > 0 {
			return 0, errTooLarge{b.limit}
		}
		return 0, err
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// unpack reads an archive: the manifest, and then each file with put, which is to
// read it to its end.
func unpack(r io.Reader, limit int64, take func(*Manifest, []byte) error, put func(name string, r io.Reader) error) error {
	in := &bounded{r: r, left: limit, limit: limit}
	t := tar.NewReader(in)
	damaged := func(err error) error {
		if TooLarge(err) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrPackage, err)
	}
	h, err := t.Next()
	if err != nil {
		return damaged(err)
	}
	if h.Name != manifestName || h.Size > maxManifest {
		return damaged(fmt.Errorf("it begins with %q of %d bytes", h.Name, h.Size))
	}
	text, err := io.ReadAll(t)
	if err != nil {
		return damaged(err)
	}
	m, err := readManifest(text)
	if err != nil {
		return damaged(err)
	}
	if err := take(m, text); err != nil {
		return err
	}
	seen := 0
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return damaged(err)
		}
		want, ok := m.Files[h.Name]
		if !ok || h.Typeflag != tar.TypeReg || h.Size != want.Size {
			return damaged(fmt.Errorf("%q is not in its list", h.Name))
		}
		sum := sha256.New()
		if err := put(h.Name, io.TeeReader(t, sum)); err != nil {
			if TooLarge(err) {
				return err
			}
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
			return damaged(fmt.Errorf("%s is not what its sum says", h.Name))
		}
		seen++
	}
	if seen != len(m.Files) {
		return damaged(fmt.Errorf("%d of its %d files are missing", len(m.Files)-seen, len(m.Files)))
	}
	_, err = io.Copy(io.Discard, in) // what pads an archive
	return err
}

// parents lists the folders of a name, outermost first.
func parents(name string) []string {
	var list []string
	for d := path.Dir(name); d != "."; d = path.Dir(d) {
		list = append([]string{d}, list...)
	}
	return list
}

// Bytes is the whole archive.
func (p *Package) Bytes() ([]byte, error) {
	var b bytes.Buffer
	_, err := p.WriteTo(&b)
	return b.Bytes(), err
}
