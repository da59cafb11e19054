package edge

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestNobodySaysWhoHeIs: of what a client says of itself nothing reaches the
// Worker; a trusted proxy is believed.
func TestNobodySaysWhoHeIs(t *testing.T) {
	f := &Front{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	said := map[string]string{
		"Cf-Connecting-Ip": "6.6.6.6", "X-Real-Ip": "6.6.6.6", "True-Client-Ip": "6.6.6.6", "Cf-Ipcountry": "DE",
		"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "other", "Forwarded": "for=6.6.6.6",
	}
	for _, c := range []struct {
		remote, url, cf string
		want            map[string]string
	}{
		{"1.2.3.4:5", "http://a/b", `{"httpProtocol":"HTTP/1.1"}`, map[string]string{"Cf-Connecting-Ip": "1.2.3.4", "X-Real-Ip": "1.2.3.4"}},
		{"10.0.0.1:5", "https://a/b", `{"httpProtocol":"HTTP/1.1","country":"DE"}`, map[string]string{
			"Cf-Connecting-Ip": "6.6.6.6", "X-Real-Ip": "6.6.6.6", "Cf-Ipcountry": "DE",
			"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "other", "Forwarded": "for=6.6.6.6",
		}},
	} {
		r := httptest.NewRequest("GET", "http://a/b", nil)
		r.RemoteAddr = c.remote
		for name, value := range said {
			r.Header.Set(name, value)
		}
		got := f.request(r)
		if got.URL != c.url || got.CF != c.cf {
			t.Errorf("%s: got %s with cf %s, want %s with %s", c.remote, got.URL, got.CF, c.url, c.cf)
		}
		heard := map[string]string{}
		for _, h := range got.Header {
			heard[http.CanonicalHeaderKey(h.Name)] += h.Value
		}
		for name := range said {
			if heard[name] != c.want[name] {
				t.Errorf("%s: %s is %q, want %q", c.remote, name, heard[name], c.want[name])
			}
		}
	}
}

func TestCFOfTLS(t *testing.T) {
	r := httptest.NewRequest("GET", "https://a/", nil)
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13}
	if got, want := (&Front{}).request(r).CF, `{"httpProtocol":"HTTP/1.1","tlsVersion":"TLSv1.3"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.Header.Set("Cf-Ipcountry", `"}`)
	f := &Front{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}
	if got, want := f.request(r).CF, `{"httpProtocol":"HTTP/1.1","tlsVersion":"TLSv1.3"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
