package ws

import (
	"bufio"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// upgrade is a good request's header; change it for a bad one.
func upgrade() http.Header {
	return http.Header{
		"Host":                     {"example.com"},
		"Upgrade":                  {"websocket"},
		"Connection":               {"keep-alive, Upgrade"},
		"Sec-Websocket-Key":        {"dGhlIHNhbXBsZSBub25jZQ=="},
		"Sec-Websocket-Version":    {"13"},
		"Sec-Websocket-Protocol":   {"chat, superchat", "v2"},
		"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits"},
	}
}

func TestReadHandshake(t *testing.T) {
	h, err := ReadHandshake("GET", true, upgrade())
	if err != nil {
		t.Fatal(err)
	}
	if want := "dGhlIHNhbXBsZSBub25jZQ=="; h.Key != want {
		t.Errorf("key: got %q, want %q", h.Key, want)
	}
	if want := []string{"chat", "superchat", "v2"}; !slices.Equal(h.Protocols, want) {
		t.Errorf("protocols: got %q, want %q", h.Protocols, want)
	}
	if h.Deflate == nil || *h.Deflate != (DeflateParams{ServerBits: 15, ClientBits: 15}) {
		t.Errorf("compression: got %v", h.Deflate)
	}
}

func TestReadHandshakeRefuses(t *testing.T) {
	set := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	del := func(name string) func(http.Header) { return func(h http.Header) { h.Del(name) } }
	for name, test := range map[string]struct {
		method string
		old    bool
		change func(http.Header)
		status int
	}{
		"POST":             {method: "POST", status: 405},
		"HTTP/1.0":         {old: true, status: 400},
		"no Upgrade":       {change: del("Upgrade"), status: 400},
		"other Upgrade":    {change: set("Upgrade", "h2c"), status: 400},
		"no Connection":    {change: del("Connection"), status: 400},
		"other Connection": {change: set("Connection", "keep-alive"), status: 400},
		"no version":       {change: del("Sec-WebSocket-Version"), status: 426},
		"version 8":        {change: set("Sec-WebSocket-Version", "8"), status: 426},
		"no key":           {change: del("Sec-WebSocket-Key"), status: 400},
		"short key":        {change: set("Sec-WebSocket-Key", "c2hvcnQ="), status: 400},
		"key not base64":   {change: set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ!!"), status: 400},
		"two keys":         {change: func(h http.Header) { h.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") }, status: 400},
	} {
		header := upgrade()
		if test.change != nil {
			test.change(header)
		}
		if test.method == "" {
			test.method = "GET"
		}
		_, err := ReadHandshake(test.method, !test.old, header)
		if e, ok := errors.AsType[*HandshakeError](err); !ok || e.Status != test.status || e.Text == "" {
			t.Errorf("%s: got %v, want a refusal with status %d", name, err, test.status)
		}
	}
}

func TestAcceptKey(t *testing.T) {
	// The example of RFC 6455, section 1.3.
	if got, want := AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNegotiateDeflate(t *testing.T) {
	const plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for offer, want := range map[string]string{
		"":                   "",
		"permessage-deflate": plain,
		"permessage-deflate; client_max_window_bits":                                 plain, // Chromium
		"permessage-deflate; client_max_window_bits=10":                              plain,
		"permessage-deflate; server_no_context_takeover":                             plain,
		"permessage-deflate; client_no_context_takeover; server_no_context_takeover": plain,
		"permessage-deflate; server_max_window_bits=8":                               plain + "; server_max_window_bits=8",
		"permessage-deflate; server_max_window_bits=15":                              plain,
		`permessage-deflate; server_max_window_bits="12"`:                            plain + "; server_max_window_bits=12",
		// An offer that cannot be met leaves the next one.
		"permessage-deflate; server_max_window_bits=7":                                "",
		"permessage-deflate; server_max_window_bits=16":                               "",
		"permessage-deflate; server_max_window_bits":                                  "",
		"permessage-deflate; client_max_window_bits=16":                               "",
		"permessage-deflate; unknown":                                                 "",
		"permessage-deflate; server_no_context_takeover=1":                            "",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover":  "",
		"permessage-deflate; unknown=1, permessage-deflate; server_max_window_bits=9": plain + "; server_max_window_bits=9",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":           plain + "; server_max_window_bits=10",
		"permessage-bzip2, x-webkit-deflate-frame, permessage-deflate":                plain,
		"permessage-bzip2":       "",
		"permessage-deflate;;;=": "",
		"\x00\xff":               "",
	} {
		got := ""
		if p := NegotiateDeflate([]string{offer}); p != nil {
			got = p.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", offer, got, want)
		}
	}
	// Offers in several header lines.
	if p := NegotiateDeflate([]string{"permessage-bzip2", "permessage-deflate; server_max_window_bits=11"}); p == nil || p.ServerBits != 11 {
		t.Errorf("in two lines: got %v", p)
	}
}

func TestAppendAnswer(t *testing.T) {
	h, err := ReadHandshake("GET", true, upgrade())
	if err != nil {
		t.Fatal(err)
	}
	b, err := AppendAnswer(nil, h, h.Deflate, map[string][]string{
		"sec-websocket-protocol": {"superchat"}, "Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"5"},
		"Upgrade": {"h2c"}, "connection": {"close"}, "Sec-WebSocket-Accept": {"wrong"}, "sec-websocket-extensions": {"wrong"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(b))), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Upgrade":                  {"websocket"},
		"Connection":               {"Upgrade"},
		"Sec-Websocket-Accept":     {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		"Sec-Websocket-Extensions": {"permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		"Sec-Websocket-Protocol":   {"superchat"},
		"Set-Cookie":               {"a=1", "b=2"},
	}
	if r.StatusCode != 101 || len(r.Header) != len(want) {
		t.Errorf("got %d %v, want 101 %v", r.StatusCode, r.Header, want)
	}
	for name, values := range want {
		if !slices.Equal(r.Header[name], values) {
			t.Errorf("%s: got %q, want %q", name, r.Header[name], values)
		}
	}
	if !strings.HasSuffix(string(b), "\r\n\r\n") {
		t.Error("the answer does not end with an empty line")
	}
}

func TestAppendAnswerRefuses(t *testing.T) {
	for _, header := range []map[string][]string{
		{"X-A": {"line\r\nX-B: smuggled"}},
		{"X-A": {"nul\x00"}},
		{"X A": {"space"}},
		{"X:A": {"colon"}},
		{"": {"none"}},
		{"X-\u00e9": {"not ASCII"}},
	} {
		if b, err := AppendAnswer(nil, Handshake{}, nil, header); err == nil {
			t.Errorf("%q: got %q, want an error", header, b)
		}
	}
}

func TestIsUpgrade(t *testing.T) {
	for value, want := range map[string]bool{"websocket": true, "WebSocket": true, "h2c, websocket": true, "h2c": false, "websockets": false, "": false} {
		if got := IsUpgrade(http.Header{"Upgrade": {value}}); got != want {
			t.Errorf("%q: got %t, want %t", value, got, want)
		}
	}
	if IsUpgrade(http.Header{}) {
		t.Error("no header at all asks for an upgrade")
	}
}
