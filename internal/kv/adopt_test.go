package kv

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func adopted(key, value string) Adopted {
	return Adopted{Key: key, Size: int64(len(value)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(value)), nil }}
}

// adopt takes entries; after is what happens behind the last one.
func (w *world) adopt(after error, list ...Adopted) error {
	return w.Adopt(w.t.Context(), func(take func(Adopted) error) error {
		for _, a := range list {
			if err := take(a); err != nil {
				return err
			}
		}
		return after
	})
}

func TestAdopted(t *testing.T) {
	w := newWorld(t)
	if code, text := w.ask("PUT", "/expired?expiration_ttl=60", strings.NewReader(strings.Repeat("x", maxInline+1))); code != http.StatusOK {
		t.Fatal(code, text)
	}
	w.at = w.at.Add(61e9)
	metadata := `{"ü":1}`
	goes := adopted("goes", "")
	goes.Metadata, goes.Expiration = &metadata, w.at.Unix()+100
	long := strings.Repeat("y", maxInline+1)
	if err := w.adopt(nil, adopted("short", "a"), adopted("long", long), goes, adopted("expired", "anew")); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"short": "a", "long": long, "goes": "", "expired": "anew"} {
		if code, text := w.ask("GET", "/"+key, nil); code != http.StatusOK || text != want {
			t.Errorf("%s is %d, %.20q, want %.20q", key, code, text, want)
		}
		if there, err := w.Holds(t.Context(), key); !there || err != nil {
			t.Errorf("%s is not there: %v", key, err)
		}
	}
	if n := w.files(); n != 1 {
		t.Errorf("there are %d files, want that of the long value", n)
	}
	e, err := w.Get(t.Context(), "goes")
	if err != nil || e == nil || *e.Metadata != metadata || e.Expiration != goes.Expiration {
		t.Errorf("goes is %+v, %v", e, err)
	}
	w.at = w.at.Add(101e9)
	if there, err := w.Holds(t.Context(), "goes"); there || err != nil {
		t.Errorf("goes is there after its time: %v", err)
	}
}

// Nothing of an adoption stays that fails, wherever it does, and what was there
// stays as it is.
func TestAdoptionThatFails(t *testing.T) {
	w := newWorld(t)
	if err := w.adopt(nil, adopted("mine", "before")); err != nil {
		t.Fatal(err)
	}
	long := adopted("long", strings.Repeat("y", maxInline+1))
	bad := func(change func(*Adopted)) Adopted {
		a := adopted("bad", "x")
		change(&a)
		return a
	}
	text := func(s string) *string { return &s }
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		last  Adopted
		after error
		want  string
	}{
		"there already":     {adopted("mine", "after"), nil, `take key "mine": it is there already`},
		"twice":             {long, nil, "it is there already"},
		"no key":            {bad(func(a *Adopted) { a.Key = "" }), nil, "must not be empty"},
		"a long key":        {bad(func(a *Adopted) { a.Key = strings.Repeat("k", MaxKey+1) }), nil, "exceeds key length limit"},
		"no JSON":           {bad(func(a *Adopted) { a.Metadata = text("{") }), nil, "not JSON"},
		"long metadata":     {bad(func(a *Adopted) { a.Metadata = text(`"` + strings.Repeat("m", MaxMetadata) + `"`) }), nil, "1024 is the most"},
		"a long value":      {bad(func(a *Adopted) { a.Size = MaxValue + 1 }), nil, "is the most"},
		"before 1970":       {bad(func(a *Adopted) { a.Expiration = -1 }), nil, "before 1970"},
		"no value":          {bad(func(a *Adopted) { a.Open = func() (io.ReadCloser, error) { return nil, broken } }), nil, "broken"},
		"the source breaks": {adopted("last", ""), broken, "broken"},
	} {
		if err := w.adopt(c.after, long, c.last); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	list, _, err := w.List(t.Context(), "", "", MaxList)
	if err != nil || len(list) != 1 || w.files() != 0 {
		t.Errorf("there are %d entries and %d files, want one and none: %v", len(list), w.files(), err)
	}
	if _, got := w.ask("GET", "/mine", nil); got != "before" {
		t.Errorf("what was there is %q", got)
	}
}
