package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"
)

// Handshake is what a server needs of an upgrade request. RFC 6455, section
// 4.2.1.
type Handshake struct {
	Key       string
	Protocols []string // the subprotocols offered, most wanted first
	// Deflate is what compression the request's offers lead to; nil for none.
	Deflate *DeflateParams
}

// HandshakeError is a request that asks for an upgrade in a way that cannot be
// granted: the status and text to answer with, and the header that goes with
// 426.
type HandshakeError struct {
	Status int
	Text   string
}

func (e *HandshakeError) Error() string { return e.Text }

// Version is the one version of the protocol, the value of
// Sec-WebSocket-Version in an answer with status 426.
const Version = "13"

// IsUpgrade reports whether a request, by its header, asks for a WebSocket.
func IsUpgrade(header map[string][]string) bool {
	return hasToken(header["Upgrade"], "websocket")
}

// ReadHandshake checks a request for which IsUpgrade holds. The keys of header
// are canonical, as net/http's are. An error is a *HandshakeError.
func ReadHandshake(method string, atLeastHTTP11 bool, header map[string][]string) (Handshake, error) {
	h := Handshake{
		Protocols: tokens(header["Sec-Websocket-Protocol"]),
		Deflate:   NegotiateDeflate(header["Sec-Websocket-Extensions"]),
	}
	refuse := func(status int, text string) (Handshake, error) {
		return Handshake{}, &HandshakeError{Status: status, Text: text}
	}
	if method != "GET" {
		return refuse(405, "A WebSocket is asked for with GET.")
	}
	if !atLeastHTTP11 {
		return refuse(400, "A WebSocket needs HTTP/1.1.")
	}
	if !hasToken(header["Upgrade"], "websocket") || !hasToken(header["Connection"], "upgrade") {
		return refuse(400, `A WebSocket is asked for with "Upgrade: websocket" and "Connection: Upgrade".`)
	}
	if v := header["Sec-Websocket-Version"]; len(v) != 1 || strings.TrimSpace(v[0]) != Version {
		return refuse(426, "The WebSocket version must be "+Version+".")
	}
	keys := header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return refuse(400, "A WebSocket needs one Sec-WebSocket-Key.")
	}
	h.Key = strings.TrimSpace(keys[0])
	if nonce, err := base64.StdEncoding.DecodeString(h.Key); err != nil || len(nonce) != 16 {
		return refuse(400, "Sec-WebSocket-Key must be 16 bytes in base64.")
	}
	return h, nil
}

// AcceptKey is the answer to a Sec-WebSocket-Key. RFC 6455, section 4.2.2.
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// NegotiateDeflate reads the values of Sec-WebSocket-Extensions and returns what
// to agree on for the first offer of permessage-deflate that can be met: a
// window as small as the client wants, and never a context that is taken over
// (RFC 7692, section 7.1). nil means no compression.
func NegotiateDeflate(offers []string) *DeflateParams {
	options, ok := httphead.ParseOptions([]byte(strings.Join(offers, ",")), nil)
	if !ok {
		return nil
	}
	for _, option := range options {
		var p wsflate.Parameters
		if string(option.Name) != wsflate.ExtensionName || p.Parse(option) != nil {
			continue
		}
		agreed := &DeflateParams{ServerBits: maxWindowBits, ClientBits: maxWindowBits}
		if p.ServerMaxWindowBits.Defined() {
			agreed.ServerBits = uint8(p.ServerMaxWindowBits)
		}
		return agreed
	}
	return nil
}

// String is the value of Sec-WebSocket-Extensions in the answer.
func (p *DeflateParams) String() string {
	s := wsflate.ExtensionName + "; server_no_context_takeover; client_no_context_takeover"
	if p.ServerBits < maxWindowBits {
		s += fmt.Sprintf("; server_max_window_bits=%d", p.ServerBits)
	}
	return s
}

// AppendAnswer appends the 101 answer to h. What it agrees to is up to the
// caller: deflate is h.Deflate or nil; a subprotocol, like any other header of
// the application's, is in header. What the handshake itself sets there is left
// out.
func AppendAnswer(dst []byte, h Handshake, deflate *DeflateParams, header map[string][]string) ([]byte, error) {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = append(append(dst, AcceptKey(h.Key)...), "\r\n"...)
	if deflate != nil {
		dst = append(append(append(dst, "Sec-WebSocket-Extensions: "...), deflate.String()...), "\r\n"...)
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if !isToken(name) {
			return nil, fmt.Errorf("answer to an upgrade: %q cannot be the name of a header", name)
		}
		if ownHeaders[strings.ToLower(name)] {
			continue
		}
		for _, value := range header[name] {
			if strings.ContainsAny(value, "\r\n\x00") {
				return nil, fmt.Errorf("answer to an upgrade: header %s has a line break or a NUL in its value", name)
			}
			dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
		}
	}
	return append(dst, "\r\n"...), nil
}

// ownHeaders are set by the handshake, or have no meaning in a 101 answer.
var ownHeaders = map[string]bool{
	"upgrade":                  true,
	"connection":               true,
	"sec-websocket-accept":     true,
	"sec-websocket-extensions": true,
	"content-length":           true,
	"transfer-encoding":        true,
	"trailer":                  true,
	"keep-alive":               true,
}

// tokens splits the values of a header that is a list.
func tokens(values []string) []string {
	var list []string
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
	}
	return list
}

func hasToken(values []string, token string) bool {
	return slices.ContainsFunc(tokens(values), func(t string) bool { return strings.EqualFold(t, token) })
}

// isToken is RFC 9110's token, section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7F || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
