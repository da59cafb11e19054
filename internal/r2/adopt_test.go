package r2

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// adopted is an object of which the body is hello.
func adopted(key string) Adopted {
	return Adopted{
		Object: Object{
			Key: key, Version: "v1", Size: 5, ETag: "5d41402abc4b2a76b9719d911017c592", Uploaded: 1_700_000_000_123,
			Checksums: map[string]string{"sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"},
			HTTP:      json.RawMessage(`{"contentType":"text/plain","cacheExpiry":4102444800123}`),
			Custom:    json.RawMessage(`{"zeta":"1","alpha":"ü"}`),
		},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil },
	}
}

// adopt takes objects; after is what happens behind the last one.
func adopt(t *testing.T, b *Bucket, after error, list ...Adopted) error {
	t.Helper()
	return b.Adopt(t.Context(), func(take func(Adopted) error) error {
		for _, a := range list {
			if err := take(a); err != nil {
				return err
			}
		}
		return after
	})
}

// An adopted object is as it was, to its version and its time.
func TestAdopted(t *testing.T) {
	b, _ := newBucket(t)
	parts := adopted("parts")
	parts.ETag, parts.Checksums = "0f343b0931126a20f133d67c2b018a3b-2", nil
	if err := adopt(t, b, nil, adopted("one"), parts); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"one": `{"key":"one","version":"v1","size":5,"etag":"5d41402abc4b2a76b9719d911017c592","uploaded":1700000000123,` +
			`"checksums":{"md5":"5d41402abc4b2a76b9719d911017c592","sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"},` +
			`"http":{"contentType":"text/plain","cacheExpiry":4102444800123},"custom":{"zeta":"1","alpha":"ü"}}`,
		"parts": `{"key":"parts","version":"v1","size":5,"etag":"0f343b0931126a20f133d67c2b018a3b-2","uploaded":1700000000123,` +
			`"checksums":{},"http":{"contentType":"text/plain","cacheExpiry":4102444800123},"custom":{"zeta":"1","alpha":"ü"}}`,
	} {
		o, err := b.Head(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(o)
		if err != nil || string(got) != want {
			t.Errorf("%s is %s, want %s: %v", key, got, want, err)
		}
		if got := text(t, b, key, PartOf{}); got != "hello" {
			t.Errorf("the body of %s is %q", key, got)
		}
		if there, err := b.Holds(t.Context(), key); !there || err != nil {
			t.Errorf("%s is not there: %v", key, err)
		}
	}
	if there, err := b.Holds(t.Context(), "other"); there || err != nil {
		t.Errorf("other is there: %v", err)
	}
}

// Nothing of an adoption stays that fails, wherever it does, and what was there
// stays as it is.
func TestAdoptionThatFails(t *testing.T) {
	b, dir := newBucket(t)
	put(t, b, "mine", "before")
	bad := func(change func(*Adopted)) Adopted {
		a := adopted("bad")
		change(&a)
		return a
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		last  Adopted
		after error
		want  string
	}{
		"there already":        {adopted("mine"), nil, `take object "mine": it is there already`},
		"twice":                {adopted("first"), nil, "it is there already"},
		"a long key":           {bad(func(a *Adopted) { a.Key = strings.Repeat("k", MaxKey+1) }), nil, "name is not valid"},
		"too short":            {bad(func(a *Adopted) { a.Size = 6 }), nil, "not as long"},
		"too long":             {bad(func(a *Adopted) { a.Size = 4 }), nil, "exceeds"},
		"no size":              {bad(func(a *Adopted) { a.Size = -1 }), nil, "it has -1 bytes"},
		"another MD5":          {bad(func(a *Adopted) { a.ETag = strings.Repeat("0", 32) }), nil, "MD5 checksum"},
		"another SHA-1":        {bad(func(a *Adopted) { a.Checksums["sha1"] = strings.Repeat("0", 40) }), nil, "SHA-1 checksum"},
		"an unknown checksum":  {bad(func(a *Adopted) { a.Checksums["crc"] = "00" }), nil, "Metadata missing or invalid"},
		"no version":           {bad(func(a *Adopted) { a.Version = "" }), nil, "no version"},
		"an ETag of two lines": {bad(func(a *Adopted) { a.ETag = "a\r\nb" }), nil, "no ETag"},
		"a time before 1970":   {bad(func(a *Adopted) { a.Uploaded = -1 }), nil, "-1 ms after 1970"},
		"HTTP of numbers":      {bad(func(a *Adopted) { a.HTTP = json.RawMessage(`{"contentType":1}`) }), nil, "HTTP metadata"},
		"no custom metadata":   {bad(func(a *Adopted) { a.Custom = json.RawMessage(`null`) }), nil, "no object"},
		"custom numbers":       {bad(func(a *Adopted) { a.Custom = json.RawMessage(`{"a":1}`) }), nil, "custom metadata"},
		"much metadata":        {bad(func(a *Adopted) { a.Custom = json.RawMessage(`{"a":"` + strings.Repeat("x", MaxCustom) + `"}`) }), nil, "maximum allowed"},
		"no body":              {bad(func(a *Adopted) { a.Open = func() (io.ReadCloser, error) { return nil, broken } }), nil, "broken"},
		"the source breaks":    {adopted("last"), broken, "broken"},
	} {
		if err := adopt(t, b, c.after, adopted("first"), c.last); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	page, err := b.Page(t.Context(), Query{Limit: MaxList})
	if err != nil || len(page.Objects) != 1 || files(dir) != 1 || text(t, b, "mine", PartOf{}) != "before" {
		t.Errorf("there are %d objects and %d files, want the one from before: %v", len(page.Objects), files(dir), err)
	}
}
