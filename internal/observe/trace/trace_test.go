package trace

import (
	"strings"
	"testing"
)

const valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParse(t *testing.T) {
	for header, want := range map[string]string{
		valid:              valid,
		" " + valid + "\t": valid,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00":       "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03":       valid, // of the flags only the first is known
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":       valid,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later": valid,
		"":        "",
		"garbage": "",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01later":  "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later": "",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":       "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":       "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01":       "",
		strings.ToUpper(valid):                    "",
		strings.Replace(valid, "f067", "f06x", 1): "",
		valid[:54]: "",
	} {
		c, ok := Parse(header, "")
		got := ""
		if ok {
			got = c.Parent()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}

func TestStateIsPassedOn(t *testing.T) {
	for state, want := range map[string]string{"a=1,b=2": "a=1,b=2", "": "", "a\nb": "", strings.Repeat("x", MaxState+1): ""} {
		c, ok := Parse(valid, state)
		if !ok || c.State != want {
			t.Errorf("%.20q: got %q, %v", state, c.State, ok)
		}
		if again, ok := ParseText(c.Text()); !ok || again != c {
			t.Errorf("%+v became %+v", c, again)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(valid, "a=1")
	f.Fuzz(func(t *testing.T, parent, state string) {
		c, ok := Parse(parent, state)
		if !ok {
			return
		}
		if again, ok := ParseText(c.Text()); !ok || again != c {
			t.Errorf("%q, %q: %+v became %+v", parent, state, c, again)
		}
	})
}
