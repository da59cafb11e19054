package structuredclone_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	. "github.com/dormouse-dev/dormouse/internal/structuredclone"
)

func TestInspectAsNode(t *testing.T) {
	node, err := runtimes.FindNode()
	if err != nil {
		t.Skip(err)
	}
	out, err := exec.Command(node, "--disable-warning=ExperimentalWarning", "testdata/inspect.ts").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 4<<20)
	n := 0
	for lines.Scan() {
		var pair [2]string
		if err := json.Unmarshal(lines.Bytes(), &pair); err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		v, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", pair[1], err)
			continue
		}
		n++
		if got := Inspect(v, 3); got != pair[1] {
			t.Errorf("got\n%s\nwant\n%s", got, pair[1])
		}
	}
	if n < 100 {
		t.Errorf("compared %d values", n)
	}
}

func TestInspectIsSafe(t *testing.T) {
	e := &Error{Name: "\x1b[31mE", Message: "m\x07", Stack: "\x1b]0;title\x07\n    at x"}
	for _, v := range []Value{e, "\x1b", &RegExp{Source: "\x1b"}, &Object{Props: []Property{{Key: "\x1b\xff", Value: "\xc3"}}}} {
		if got := Inspect(v, 2); strings.ContainsAny(got, "\x1b\x07") || !strings.HasPrefix(strings.ToValidUTF8(got, "?"), got) {
			t.Errorf("%q would reach a terminal", got)
		}
	}
	var deep Value = "end"
	for range 900 {
		deep = &Array{Length: 1, Elements: []Value{deep}}
	}
	Inspect(deep, 1000)
}
