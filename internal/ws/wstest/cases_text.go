package wstest

import (
	"fmt"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

const invalidUTF8 = "Received text that is not valid UTF-8"

// utf8Valid: RFC 3629: the edges of every length, and what looks forbidden and
// is not.
func utf8Valid() (list []Case) {
	for _, r := range []rune{
		0x00, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF,
		0xD7FF, 0xE000, 0xFFFD, 0xFEFF, 0xFFFE, 0x1FFFE, 0x1FFFF, 0x10FFFE, 0xFDD0,
	} {
		s := "a" + string(r) + "z"
		list = append(list, echoed("UTF-8 valid", fmt.Sprintf("%U", r), text(s), textLine(s)))
	}
	for _, s := range []string{
		"Hello-µ@ßöäüàá-UTF-8!!",
		"κόσμε",
		"☃ 日本語 😀",
		strings.Repeat("\U0001F600", 5000),
	} {
		list = append(list, echoed("UTF-8 valid", "text "+show([]byte(s)), text(s), textLine(s)))
	}
	any := "\xff\xfe\xed\xa0\x80\xc0\x80"
	return append(list, echoed("UTF-8 valid", "binary need not be", binary(any), binaryLine(any)))
}

// utf8Invalid: RFC 6455, section 8.1. Each text fails whole, and already in a
// first fragment whose end never comes.
func utf8Invalid() (list []Case) {
	for _, s := range []string{
		// Continuation bytes alone.
		"\x80", "\xbf", "\x80\xbf\x80", "a\x80b",
		// First bytes alone.
		"\xc2 ", "\xdf ", "\xe0 ", "\xef ", "\xf0 ", "\xf4 ",
		"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65",
		// Cut short, with something after.
		"\xe2\x82 ", "\xf0\x9f ", "\xf0\x9f\x98 ",
		// Impossible bytes.
		"\xc0", "\xc1", "\xf5", "\xf8", "\xfe", "\xff", "\xfe\xfe\xff\xff",
		// Longer forms than needed.
		"\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf",
		// Halves of pairs.
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbf\xbf",
		"\xed\xa0\x80\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf",
		// Past the last character.
		"\xf4\x90\x80\x80", "\xf7\xbf\xbf\xbf", "\xf8\x88\x80\x80\x80",
	} {
		list = append(list,
			failed("UTF-8 invalid", fmt.Sprintf("%q", s), text(s), 1007, invalidUTF8),
			failed("UTF-8 invalid", fmt.Sprintf("%q, at once", s), frame(byte(ws.OpText), []byte(s)), 1007, invalidUTF8))
	}
	// A character that the end of the message cuts.
	for _, s := range []string{"\xc2", "\xe2\x82", "\xf0\x9f", "\xf0\x9f\x98", "abc\xf0"} {
		list = append(list,
			failed("UTF-8 invalid", fmt.Sprintf("%q at the end", s), text(s), 1007, invalidUTF8),
			failed("UTF-8 invalid", fmt.Sprintf("%q at the end of fragments", s), fragments(ws.OpText, "x", s), 1007, invalidUTF8),
			failed("UTF-8 invalid", fmt.Sprintf("%q before an empty last fragment", s), fragments(ws.OpText, s, ""), 1007, invalidUTF8))
	}
	return list
}

// utf8Split: characters cut by fragments, and texts that become invalid in one.
func utf8Split() (list []Case) {
	s := "κό☃\U0001F600!"
	for i := 1; i < len(s); i++ {
		list = append(list, echoed("UTF-8 split", fmt.Sprintf("after byte %d", i), fragments(ws.OpText, s[:i], s[i:]), textLine(s)))
	}
	list = append(list,
		echoed("UTF-8 split", "into bytes", fragments(ws.OpText, strings.Split(s, "")...), textLine(s)),
		echoed("UTF-8 split", "a ping inside a character",
			join(frame(byte(ws.OpText), []byte("\xf0\x9f")), ping("p"), frame(fin, []byte("\x98\x80"))), `pong "p"`, textLine("\U0001F600")),
	)
	for _, parts := range [][]string{
		{"\xf4", "\x90"},          // the second byte is already too much
		{"\xe0", "\x80"},          // too long a form
		{"\xed", "\xa0"},          // half of a pair
		{"\xf0\x9f", "\x98", "!"}, // no fourth byte
		{"\xc2", "\xc2"},
		{"valid", "\xff"},
		{"\xce", "", "\xce"},
	} {
		var send []byte
		for i, part := range parts {
			op := ws.OpContinuation
			if i == 0 {
				op = ws.OpText
			}
			send = append(send, frame(byte(op), []byte(part))...)
		}
		list = append(list, failed("UTF-8 split", fmt.Sprintf("%q, at once", parts), send, 1007, invalidUTF8))
	}
	return list
}

// closes: RFC 6455, section 5.5.1 and 7.
func closes() []Case {
	const g = "close"
	reason := pattern(123)
	answered := func(name string, send []byte, code uint16, reason string) Case {
		c := Case{Group: g, Name: name, Send: send, Heard: []string{closing(code, reason), "gone"}}
		c.Got = []string{closing(code, reason), "end"}
		return c
	}
	closeWith := func(payload string) []byte { return frame(fin|byte(ws.OpClose), []byte(payload)) }
	invalid := "Received a close reason that is not valid UTF-8"
	return []Case{
		answered("no body", closeWith(""), 1005, ""),
		answered("a body of one byte", closeWith("\x03"), 1005, ""),
		answered("a code", closeFrame(1000, ""), 1000, ""),
		answered("a code and a reason", closeFrame(1000, "Goodbye!"), 1000, "Goodbye!"),
		answered("a reason of 123 bytes", closeFrame(1000, reason), 1000, reason),
		failed(g, "a reason of 124 bytes", closeFrame(1000, reason+"x"), 1002, "Received a control frame of more than 125 bytes"),
		answered("a reason in Greek", closeFrame(3000, "κόσμε"), 3000, "κόσμε"),
		failed(g, "a reason that is not UTF-8", closeFrame(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), 1007, invalid),
		failed(g, "a reason that ends in a character", closeFrame(1000, "\xe2\x82"), 1007, invalid),
		failed(g, "in fragments", frame(byte(ws.OpClose), closeBody(1000, "")), 1002, "Received fragmented control frame"),
		answered("then text", join(closeFrame(1000, "x"), text("never")), 1000, "x"),
		answered("then a ping", join(closeFrame(1000, "x"), ping("never")), 1000, "x"),
		answered("twice", join(closeFrame(1000, "x"), closeFrame(1001, "y")), 1000, "x"),
		answered("then garbage", join(closeFrame(1000, "x"), []byte("\xff\xff\xff\xff\x00\x01")), 1000, "x"),
		echoed(g, "after messages", join(text("a"), text("b")), `text "a"`, `text "b"`),
	}
}

// closeCodes: any code is passed on, as in workerd, and answered with itself.
func closeCodes() (list []Case) {
	for _, code := range []uint16{
		1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
		// Not for the wire (RFC 6455, section 7.4), and passed on all the same.
		1, 999, 1004, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
	} {
		list = append(list, Case{
			Group: "close codes", Name: fmt.Sprint(code), Send: closeFrame(code, "why"),
			Heard: []string{closing(code, "why"), "gone"},
			Got:   []string{closing(code, "why"), "end"},
		})
	}
	return append(list, Case{
		// 0 is "no code" where we send it, so the answer has none.
		Group: "close codes", Name: "0", Send: closeFrame(0, "why"),
		Heard: []string{closing(0, "why"), "gone"},
		Got:   []string{closing(1005, ""), "end"},
	})
}
