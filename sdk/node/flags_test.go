package node

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestFlagsFollowTheOptions(t *testing.T) {
	o := Options{Bundle: "/b", SDK: "/s", Data: "/d"}
	restricted := Flags(o)
	if !slices.Contains(restricted, "--permission") || !slices.Contains(restricted, "--allow-fs-write=/d") {
		t.Errorf("got %q, want the permission model with the data folder", restricted)
	}
	if slices.Contains(restricted, "--allow-fs-write=/b") {
		t.Errorf("the bundle may be written: %q", restricted)
	}
	o.Unrestricted, o.HeapMB, o.Inspect = true, 128, "127.0.0.1:0"
	open := Flags(o)
	for _, f := range open {
		if strings.HasPrefix(f, "--permission") || strings.HasPrefix(f, "--allow-") {
			t.Errorf("got %q, want no permission model", open)
			break
		}
	}
	if !slices.Contains(open, "--max-old-space-size=128") || !slices.Contains(open, "--inspect=127.0.0.1:0") {
		t.Errorf("got %q, want the heap and the inspector's address", open)
	}
}

// The guest's own tests run it with the flags that it has in earnest.
func TestGuestTestsUseTheSameFlags(t *testing.T) {
	text, err := os.ReadFile("test/support/host.ts")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Flags(Options{Bundle: "/b", SDK: "/s", Data: "/d"}) {
		name, _, _ := strings.Cut(f, "=/")
		if !strings.Contains(string(text), name) {
			t.Errorf("test/support/host.ts does not have %s", name)
		}
	}
}
