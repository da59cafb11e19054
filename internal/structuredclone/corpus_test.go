package structuredclone_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// recorded is what workerd has stored, by the kind of value: the same file that
// the JavaScript side is held to.
func recorded(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("../../sdk/node/test/storage/recorded/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored map[string]string
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatal(err)
	}
	values := make(map[string][]byte)
	for kind, digits := range stored {
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		values[kind] = b
	}
	return values
}

func TestReadsAndWritesTheBytesOfWorkerd(t *testing.T) {
	values := recorded(t)
	if len(values) < 80 {
		t.Fatalf("%d kinds of value are recorded, want at least 80", len(values))
	}
	for kind, want := range values {
		t.Run(kind, func(t *testing.T) {
			v, err := structuredclone.Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := structuredclone.Encode(v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
}

func TestBytesThatAreCutOrChangedAreRefused(t *testing.T) {
	for kind, b := range recorded(t) {
		for n := range b {
			structuredclone.Decode(b[:n]) // no panic, whatever it says
			changed := append([]byte(nil), b...)
			changed[n] ^= 0x55
			structuredclone.Decode(changed)
		}
		if _, err := structuredclone.Decode(b[:len(b)-1]); err == nil {
			t.Errorf("%s is read without its last byte", kind)
		}
	}
}

func TestValuesOfTheFirstYearsHaveNoHeader(t *testing.T) {
	v, err := structuredclone.Decode([]byte(`o"` + "\x01a" + `"` + "\x01x{\x01"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := v.(*structuredclone.Object).Get("a"); got != "x" {
		t.Errorf("got %v, want x", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range recorded(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := structuredclone.Decode(b)
		if err != nil {
			return
		}
		again, err := structuredclone.Encode(v)
		if err != nil {
			t.Fatalf("%x was read and cannot be written: %v", b, err)
		}
		w, err := structuredclone.Decode(again)
		if err != nil {
			t.Fatalf("%x became %x, which cannot be read: %v", b, again, err)
		}
		if third, err := structuredclone.Encode(w); err != nil || string(third) != string(again) {
			t.Fatalf("%x became %x and then %x, %v", b, again, third, err)
		}
		var any any
		structuredclone.Assign(v, &any) // no panic and an end
	})
}
