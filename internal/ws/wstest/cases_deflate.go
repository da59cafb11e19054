package wstest

import (
	"compress/flate"
	"fmt"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

var window15 = ws.Options{Deflate: &ws.DeflateParams{ServerBits: 15, ClientBits: 15}}

// compressed is a whole message with the compression bit.
func compressed(op ws.Opcode, payload string) []byte {
	return frame(fin|rsv1|byte(op), []byte(payload))
}

// compression: RFC 7692, section 7.2. Answers under 1,024 bytes are not
// compressed.
func compression() []Case {
	const g = "compression"
	prose := strings.Repeat("It was the best of times, it was the worst of times. ", 100)
	noise := pattern(4096)
	whole := deflated(prose, 6)
	cut := func(at ...int) (b []byte) {
		begin := 0
		for i, end := range append(at, len(whole)) {
			first := byte(ws.OpContinuation)
			if i == 0 {
				first = rsv1 | byte(ws.OpText)
			}
			if i == len(at) {
				first |= fin
			}
			b = append(b, frame(first, whole[begin:end])...)
			begin = end
		}
		return b
	}
	return with(window15,
		// The examples of RFC 7692, section 7.2.3; that with a context taken
		// over cannot be, because we never agree to it.
		echoed(g, "example: one block", compressed(ws.OpText, "\xf2\x48\xcd\xc9\xc9\x07\x00"), `text "Hello"`),
		echoed(g, "example: fragments", join(frame(rsv1|byte(ws.OpText), []byte("\xf2\x48\xcd")), frame(fin, []byte("\xc9\xc9\x07\x00"))), `text "Hello"`),
		echoed(g, "example: no compression", compressed(ws.OpText, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), `text "Hello"`),
		echoed(g, "example: last block", compressed(ws.OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), `text "Hello"`),
		echoed(g, "example: two blocks", compressed(ws.OpText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), `text "Hello"`),
		echoed(g, "empty", compressed(ws.OpText, "\x00"), `text ""`),
		echoed(g, "empty, of zlib", compressed(ws.OpText, "\x02\x00"), `text ""`),
		echoed(g, "no bytes at all", compressed(ws.OpText, ""), `text ""`),
		echoed(g, "two last blocks", compressed(ws.OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), `text "HelloHello"`),
		echoed(g, "last block without a byte after", compressed(ws.OpText, "\xf3\x48\xcd\xc9\xc9\x07\x00"), `text "Hello"`),
		echoed(g, "message that is not compressed", text(prose), "compressed "+textLine(prose)),
		echoed(g, "both kinds in turn", join(text("a"), compressed(ws.OpBinary, "\xf2\x48\xcd\xc9\xc9\x07\x00"), text("b")),
			`text "a"`, `binary "Hello"`, `text "b"`),
		echoed(g, "same message twice", join(compressed(ws.OpText, string(whole)), compressed(ws.OpText, string(whole))),
			"compressed "+textLine(prose), "compressed "+textLine(prose)),
		echoed(g, "in two", cut(10), "compressed "+textLine(prose)),
		echoed(g, "in five", cut(1, 2, 3, len(whole)-1), "compressed "+textLine(prose)),
		echoed(g, "first fragment empty", cut(0, 5), "compressed "+textLine(prose)),
		echoed(g, "last fragment empty", cut(5, len(whole)), "compressed "+textLine(prose)),
		echoed(g, "ping between", join(frame(rsv1|byte(ws.OpText), whole[:4]), ping("p"), frame(fin, whole[4:])),
			`pong "p"`, "compressed "+textLine(prose)),
		echoed(g, "what compression makes longer", compressed(ws.OpBinary, string(deflated(noisy(noise), 0))), binaryLine(noisy(noise))),
	)
}

// noisy turns a pattern of text into bytes that do not compress.
func noisy(s string) string {
	b := []byte(s)
	x := uint32(12345)
	for i := range b {
		x = x*1103515245 + 12345
		b[i] ^= byte(x >> 16)
		b[i] += byte(x >> 24)
	}
	return string(b)
}

// compressionErrors: RFC 7692, section 6 and 7.2.2, and the limit, which holds
// for what comes out.
func compressionErrors() []Case {
	const g = "compression errors"
	const bad = "Received a compression bit on a control or continuation frame"
	const corrupt = "Received compressed data that cannot be inflated"
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	list := with(window15,
		failed(g, "bit on a continuation", join(frame(rsv1|byte(ws.OpText), []byte(hello[:3])), frame(fin|rsv1, []byte(hello[3:]))), 1002, bad),
		failed(g, "bit on a later frame only", join(frame(byte(ws.OpText), nil), frame(fin|rsv1, []byte(hello))), 1002, bad),
		failed(g, "bit on a ping", compressed(ws.OpPing, ""), 1002, bad),
		failed(g, "bit on a pong", compressed(ws.OpPong, ""), 1002, bad),
		failed(g, "bit on a close", compressed(ws.OpClose, ""), 1002, bad),
		failed(g, "RSV2 beside it", frame(fin|rsv1|rsv2|byte(ws.OpText), []byte(hello)), 1002, "Received frame had RSV bits 2 or 3 set"),
		failed(g, "RSV3 alone", frame(fin|rsv3|byte(ws.OpText), []byte(hello)), 1002, "Received frame had RSV bits 2 or 3 set"),
		failed(g, "a kind of block that does not exist", compressed(ws.OpText, "\x06\x00"), 1007, corrupt),
		failed(g, "cut short", compressed(ws.OpText, hello[:4]), 1007, corrupt),
		failed(g, "a stored block of the wrong length", compressed(ws.OpText, "\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00"), 1007, corrupt),
		failed(g, "a distance before the beginning", compressed(ws.OpText, "\xf2\x00\x11\x00\x00"), 1007, corrupt),
		failed(g, "bytes at random", compressed(ws.OpBinary, noisy(pattern(100))), 1007, corrupt),
		failed(g, "text that is not UTF-8", compressed(ws.OpText, string(deflated("\xff\xfe", 6))), 1007, invalidUTF8),
		failed(g, "text that ends in a character", compressed(ws.OpText, string(deflated("\xe2\x82", 6))), 1007, invalidUTF8),
		failed(g, "streams without end", compressed(ws.OpBinary, strings.Repeat("\x03\x00", 4000)), 1007, corrupt),
	)
	limited := window15
	limited.MaxMessage = 5000
	at := strings.Repeat("x", 5000)
	return append(list, with(limited,
		echoed(g, "inflated to the limit", compressed(ws.OpText, string(deflated(at, 9))), "compressed "+textLine(at)),
		failed(g, "inflated one byte over", compressed(ws.OpText, string(deflated(at+"x", 9))), 1009, "Message is too large when inflated: more than 5000 bytes"),
		failed(g, "a bomb", compressed(ws.OpBinary, string(deflated(strings.Repeat("\x00", 4<<20), 9))), 1009, "Message is too large when inflated: more than 5000 bytes"),
		failed(g, "too large as it comes", compressed(ws.OpBinary, noisy(pattern(5001))), 1009, "Message is too large: 5001 > 5000"),
	)...)
}

// compressionSizes: every window that can be agreed on, with messages on both
// sides of its size.
func compressionSizes() (list []Case) {
	for bits := uint8(8); bits <= 15; bits++ {
		o := ws.Options{Deflate: &ws.DeflateParams{ServerBits: bits, ClientBits: 15}}
		for _, n := range []int{16, 1023, 1024, 4096, 32768, 131072} {
			s := strings.Repeat(pattern(60)+"\u00e9", n/62+1)[:n/2*2]
			if !strings.HasSuffix(s, "\u00e9") {
				s = strings.TrimSuffix(s, "\xc3") // not within the last character
			}
			note := ""
			if len(s) >= 1024 {
				note = "compressed "
			}
			send := compressed(ws.OpText, string(deflated(s, flate.DefaultCompression)))
			list = append(list, with(o, echoed("compression sizes", fmt.Sprintf("%d bytes, window of %d bits", len(s), bits), send, note+textLine(s)))...)
		}
	}
	return list
}
