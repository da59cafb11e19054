package dormouse

import (
	"strings"
	"testing"
)

// TestAssignSaysWhatDoesNotFit, in as few characters as a line has room for.
func TestAssignSaysWhatDoesNotFit(t *testing.T) {
	for _, x := range []struct {
		to, v any
		want  string
	}{
		{new(string), int64(1), "the value 1 of type int64 does not fit into string"},
		{new(int8), int64(300), "the value 300 of type int64 does not fit into int8"},
		{new(int), 1.5, "the value 1.5 of type float64 does not fit into int"},
		{new(bool), "yes", "the value yes of type string does not fit into bool"},
		{new(int), []byte{1, 2}, "the value [1 2] of type []uint8 does not fit into int"},
		{new(int), strings.Repeat("é", 50), "the value " + strings.Repeat("é", 40) + "… of type string does not fit into int"},
		{new(int), make([]byte, 1<<20), "the value [" + strings.Repeat("0 ", 19) + "0… of type []uint8 does not fit into int"},
	} {
		if err := assign(x.to, x.v); err == nil || err.Error() != x.want {
			t.Errorf("got %v, want %q", err, x.want)
		}
	}
}
