package brief

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRun holds what was added, in order, also when it is cut.
func TestRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var run Run
		var want []string
		size := 0
		for range rapid.IntRange(0, 40).Draw(t, "messages") {
			payload := bytes.Repeat([]byte("p"), rapid.IntRange(0, Max).Draw(t, "length"))
			text := rapid.Bool().Draw(t, "text")
			run.Add(text, payload)
			want = append(want, say(text, payload))
			size += len(payload)
		}
		if run.N != len(want) || run.Size() != size {
			t.Fatalf("%d messages of %d bytes, want %d of %d", run.N, run.Size(), len(want), size)
		}
		var got []string
		for rest := run; rest.N > 0; {
			most := rapid.IntRange(Header+Max, 1000).Draw(t, "bytes")
			var first Run
			if first, rest = rest.Cut(most); first.N == 0 || len(first.Frames) > most {
				t.Fatalf("cut %d messages of %d bytes, want at most %d bytes", first.N, len(first.Frames), most)
			}
			n := 0
			for text, payload := range first.All() {
				got = append(got, say(text, payload))
				n++
			}
			if n != first.N {
				t.Fatalf("%d messages in a run of %d", n, first.N)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func say(text bool, payload []byte) string {
	if text {
		return "text " + string(payload)
	}
	return "binary " + string(payload)
}

// TestAppendToPayload does not write into the message behind it.
func TestAppendToPayload(t *testing.T) {
	var run Run
	run.Add(true, []byte("one"))
	run.Add(true, []byte("two"))
	_, one, rest := Split(run.Frames)
	_ = append(one, strings.Repeat("!", 10)...)
	if _, two, _ := Split(rest); string(two) != "two" {
		t.Errorf("the second message is %q", two)
	}
}
