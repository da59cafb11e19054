package edge

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// request turns a client's request into the Worker's. Who the client is, we say:
// what it says of itself in these headers goes no further, unless it is a proxy
// that is trusted.
func (f *Front) request(r *http.Request) *guest.Request {
	who := f.client(r)
	head := make([]guest.Header, 0, len(r.Header)+4)
	head = append(head, guest.Header{Name: "host", Value: guest.Latin1(r.Host)})
	for name, values := range r.Header {
		switch name {
		case "Cf-Connecting-Ip", "X-Real-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "True-Client-Ip":
			continue // ours to say, or nobody's
		case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "Cf-Ipcountry", "Cf-Visitor", "Cf-Ray", "Cdn-Loop":
			if !who.proxied {
				continue
			}
		}
		for _, v := range values {
			head = append(head, guest.Header{Name: name, Value: guest.Latin1(v)})
		}
	}
	head = append(head, guest.Header{Name: "CF-Connecting-IP", Value: who.address}, guest.Header{Name: "X-Real-IP", Value: who.address})
	if r.ContentLength > 0 && r.Header.Get("Content-Length") == "" {
		head = append(head, guest.Header{Name: "Content-Length", Value: strconv.FormatInt(r.ContentLength, 10)})
	}
	return &guest.Request{
		Method: r.Method, URL: who.scheme + "://" + cmp.Or(r.Host, "localhost") + escaped(r.URL.RequestURI()), Header: head,
		HasBody: r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody, CF: who.cf(r),
	}
}

// client is who asks.
type client struct {
	address string // of IP, or what the listener calls it
	scheme  string
	proxied bool // a trusted proxy speaks for it
}

// client says who asks and by which scheme: what a trusted proxy says of it, or
// what we see.
func (f *Front) client(r *http.Request) client {
	c := client{r.RemoteAddr, "http", false}
	if r.TLS != nil {
		c.scheme = "https"
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return c
	}
	address := peer.Addr().Unmap()
	c.address = address.String()
	if c.proxied = f.trusted(address); !c.proxied {
		return c
	}
	if p := r.Header.Get("X-Forwarded-Proto"); p == "https" || p == "http" {
		c.scheme = p
	}
	// The last address that is no trusted proxy: those before it may be invented.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap()
		if !f.trusted(address) {
			break
		}
	}
	c.address = address.String()
	return c
}

func (f *Front) trusted(a netip.Addr) bool {
	for _, p := range f.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// cf is what request.cf can say here: the protocol of the connection that we
// have, and the country if a trusted proxy knows it (Cloudflare's own does).
// Cloudflare: "Request", the property cf; what a place in its network would know
// is missing.
func (c client) cf(r *http.Request) string {
	country := ""
	if c.proxied {
		country = r.Header.Get("Cf-Ipcountry")
	}
	if r.TLS == nil && country == "" && r.Proto == "HTTP/1.1" {
		return `{"httpProtocol":"HTTP/1.1"}` // nearly always
	}
	v := struct {
		HTTPProtocol string `json:"httpProtocol"`
		TLSVersion   string `json:"tlsVersion,omitempty"`
		Country      string `json:"country,omitempty"`
	}{HTTPProtocol: r.Proto}
	if r.TLS != nil {
		v.TLSVersion = strings.Replace(tls.VersionName(r.TLS.Version), "TLS ", "TLSv", 1)
	}
	if isCountry(country) {
		v.Country = country
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// isCountry says whether a text has the form of a code of ISO 3166-1, or of those
// that Cloudflare has added (T1).
func isCountry(s string) bool {
	if len(s) != 2 {
		return false
	}
	upper := func(b byte) bool { return 'A' <= b && b <= 'Z' }
	return upper(s[0]) && (upper(s[1]) || '0' <= s[1] && s[1] <= '9')
}
