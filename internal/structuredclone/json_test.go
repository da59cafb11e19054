package structuredclone

import "testing"

func TestJSONIsRead(t *testing.T) {
	for text, want := range map[string]string{
		`null`: "null", ` true `: "true", `-1.5e2`: "-150", `"a\u00e9\ud83d\ude00"`: "'aé😀'", `[]`: "[]", `{}`: "{}",
		`[1, [2, "x"], {"b": 1, "a": [null]}]`: "[ 1, [ 2, 'x' ], { b: 1, a: [ null ] } ]",
	} {
		v, err := FromJSON([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := Inspect(v, 5); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if _, err := Encode(v); err != nil {
			t.Errorf("%s cannot be written: %v", text, err)
		}
	}
	for _, text := range []string{``, ` `, `[`, `[1,`, `{"a"`, `{"a":`, `{"a":1`, `{1:2}`, `{null:1}`, `hello`, `1 2`, `[]]`, `1e999`, `]`, `[1 2]`} {
		if v, err := FromJSON([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, v)
		}
	}
}
