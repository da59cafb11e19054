package settings

import (
	"net/netip"
	"slices"
	"testing"
)

func TestPrivateIsWhatItSays(t *testing.T) {
	r, err := Resolve(Inputs{Dir: t.TempDir(), Flags: map[string]string{"egress.deny": "private, 203.0.113.0/24", "egress.allow": "10.0.3.7"}})
	if err != nil {
		t.Fatal(err)
	}
	denied := func(text string) bool {
		a := netip.MustParseAddr(text)
		return slices.ContainsFunc(r.Settings.Egress.Deny, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for text, want := range map[string]bool{
		"127.0.0.1": true, "169.254.169.254": true, "10.0.3.7": true, "172.31.255.255": true, "172.32.0.0": false, "192.168.1.1": true, "100.64.0.1": true,
		"0.0.0.0": true, "203.0.113.9": true, "192.0.2.1": false, "::1": true, "::": true, "fd12::1": true, "fe80::1": true, "2001:db8::1": false,
	} {
		if got := denied(text); got != want {
			t.Errorf("%s: denied %v, want %v", text, got, want)
		}
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.3.7/32")}; !slices.Equal(r.Settings.Egress.Allow, want) {
		t.Errorf("allowed: %v", r.Settings.Egress.Allow)
	}
	if _, err := Resolve(Inputs{Dir: t.TempDir(), Flags: map[string]string{"trusted_proxies": "private"}}); err == nil {
		t.Error("a word for networks is taken where addresses are meant")
	}
}
