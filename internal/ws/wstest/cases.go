package wstest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/internal/ws"
)

// Cases returns the table: the ground that the well-known conformance suites of
// RFC 6455 and RFC 7692 cover.
func Cases() []Case {
	return slices.Concat(
		framing(),
		pings(),
		reserved(),
		opcodes(),
		fragmentation(),
		utf8Valid(), utf8Invalid(), utf8Split(),
		closes(), closeCodes(),
		masking(),
		limits(),
		compression(), compressionErrors(), compressionSizes(),
	)
}

// echoed is a case in which the server accepts all that is sent and the client
// then closes. got is what it answers before; what of that is an echo, its owner
// has heard.
func echoed(group, name string, send []byte, got ...string) Case {
	c := Case{Group: group, Name: name, Send: join(send, closeFrame(1000, "bye"))}
	c.Heard = append(heard(got), closing(1000, "bye"), "gone")
	c.Got = append(slices.Clone(got), closing(1000, "bye"), "end")
	return c
}

// failed is a case in which the server ends the connection over what is sent.
// got is what it answers before.
func failed(group, name string, send []byte, code uint16, reason string, got ...string) Case {
	c := Case{Group: group, Name: name, Send: send}
	c.Heard = append(heard(got), fmt.Sprintf("gone %d %s", code, reason))
	c.Got = append(slices.Clone(got), closing(code, reason[:min(len(reason), 123)]), "end")
	return c
}

// heard is the part of a client's transcript that is echoes.
func heard(got []string) []string {
	var list []string
	for _, s := range got {
		if s = strings.TrimPrefix(s, "compressed "); !strings.HasPrefix(s, "pong") {
			list = append(list, s)
		}
	}
	return list
}

func with(o ws.Options, cases ...Case) []Case {
	for i := range cases {
		cases[i].Options = o
	}
	return cases
}

// pattern is n bytes of text that no shorter period describes.
func pattern(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = ' ' + byte(x>>24)%95
	}
	return string(b)
}

func textLine(s string) string   { return message(ws.OpText, []byte(s)) }
func binaryLine(s string) string { return message(ws.OpBinary, []byte(s)) }

// framing: RFC 6455, section 5.2: all forms of a length.
func framing() (list []Case) {
	for _, n := range []int{0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65535, 65536, 65537, 1 << 20} {
		p := pattern(n)
		list = append(list,
			echoed("framing", fmt.Sprintf("text of %d bytes", n), text(p), textLine(p)),
			echoed("framing", fmt.Sprintf("binary of %d bytes", n), binary(p), binaryLine(p)))
	}
	big := pattern(16 << 20)
	list = append(list,
		echoed("framing", "16 MiB in one frame", binary(big), binaryLine(big)),
		echoed("framing", "several messages at once", join(text("a"), binary("b"), text(""), text("c")),
			`text "a"`, `binary "b"`, `text ""`, `text "c"`),
		// Not the shortest form, which RFC 6455 asks for: accepted, as by browsers.
		echoed("framing", "length 5 in two bytes", longer(126, "hello"), `text "hello"`),
		echoed("framing", "length 5 in eight bytes", longer(127, "hello"), `text "hello"`),
	)
	return list
}

// longer is a text message whose length takes more bytes than it needs.
func longer(form byte, s string) []byte {
	f := text(s)
	length := []byte{0, byte(len(s))}
	if form == 127 {
		length = append(make([]byte, 6), length...)
	}
	return join([]byte{f[0], 0x80 | form}, length, f[2:])
}

// pings: RFC 6455, section 5.5.2 and 5.5.3.
func pings() []Case {
	long := pattern(125)
	tooLong := "Received a control frame of more than 125 bytes"
	var ten []byte
	var answers []string
	for i := range 10 {
		ten = append(ten, ping(fmt.Sprint(i))...)
		answers = append(answers, fmt.Sprintf("pong %q", fmt.Sprint(i)))
	}
	return []Case{
		echoed("pings", "empty", ping(""), `pong ""`),
		echoed("pings", "with text", ping("Hello, world!"), `pong "Hello, world!"`),
		echoed("pings", "with bytes that are not text", ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), "pong "+show([]byte("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))),
		echoed("pings", "of 125 bytes", ping(long), "pong "+show([]byte(long))),
		failed("pings", "of 126 bytes", ping(long+"x"), 1002, tooLong),
		failed("pings", "of 65536 bytes", ping(pattern(65536)), 1002, tooLong),
		failed("pings", "pong of 126 bytes", pong(long+"x"), 1002, tooLong),
		echoed("pings", "unasked pong", pong("")),
		echoed("pings", "unasked pong with payload", pong("unsolicited")),
		echoed("pings", "unasked pong, then ping", join(pong("unasked"), ping("asked")), `pong "asked"`),
		echoed("pings", "ten", ten, answers...),
		echoed("pings", "between messages", join(text("a"), ping("p"), text("b")), `text "a"`, `pong "p"`, `text "b"`),
		failed("pings", "length in two bytes", join([]byte{0x89, 0xFE, 0, 5}, make([]byte, 9)), 1002, tooLong),
		failed("pings", "in fragments", frame(byte(ws.OpPing), []byte("half")), 1002, "Received fragmented control frame"),
		failed("pings", "pong in fragments", frame(byte(ws.OpPong), []byte("half")), 1002, "Received fragmented control frame"),
	}
}

// reserved: RFC 6455, section 5.2, RSV1 to RSV3.
func reserved() (list []Case) {
	for bits := byte(1); bits < 8; bits++ {
		for _, op := range []ws.Opcode{ws.OpText, ws.OpBinary, ws.OpPing, ws.OpPong, ws.OpClose} {
			reason := "Received frame had RSV bits 2 or 3 set"
			if bits == 4 {
				reason = "Received a WebSocket frame whose compression bit was set, but the compression extension was not negotiated for this connection."
			}
			send := join(text("before"), frame(fin|bits<<4|byte(op), nil))
			list = append(list, failed("reserved bits", fmt.Sprintf("%03b on opcode %d", bits, op), send, 1002, reason, `text "before"`))
		}
	}
	return list
}

// opcodes: RFC 6455, section 5.2: 3 to 7 and 11 to 15 are reserved.
func opcodes() (list []Case) {
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		reason := fmt.Sprintf("Unknown opcode %d", op)
		list = append(list,
			failed("opcodes", fmt.Sprintf("%d", op), frame(fin|op, nil), 1002, reason),
			failed("opcodes", fmt.Sprintf("%d with payload, after a message", op),
				join(text("Hello"), frame(fin|op, []byte("payload")), ping("never")), 1002, reason, `text "Hello"`))
	}
	return list
}

// fragmentation: RFC 6455, section 5.4.
func fragmentation() []Case {
	const g = "fragmentation"
	const unexpected, missing = "Unexpected continuation frame", "Missing continuation frame"
	cont := func(s string) []byte { return frame(byte(ws.OpContinuation), []byte(s)) }
	last := func(s string) []byte { return frame(fin|byte(ws.OpContinuation), []byte(s)) }
	begin := func(s string) []byte { return frame(byte(ws.OpText), []byte(s)) }
	single := strings.Split(pattern(300), "")
	mib := strings.Split(strings.Repeat(pattern(65535)+"|", 256), "|")[:256]
	return []Case{
		echoed(g, "text in two", fragments(ws.OpText, "frag", "ments"), `text "fragments"`),
		echoed(g, "binary in two", fragments(ws.OpBinary, "frag", "ments"), `binary "fragments"`),
		echoed(g, "in five", fragments(ws.OpText, "a", "b", "c", "d", "e"), `text "abcde"`),
		echoed(g, "in 300 of a byte", fragments(ws.OpText, single...), textLine(strings.Join(single, ""))),
		echoed(g, "all empty", fragments(ws.OpText, "", "", ""), `text ""`),
		echoed(g, "first empty", fragments(ws.OpText, "", "b"), `text "b"`),
		echoed(g, "middle empty", fragments(ws.OpText, "a", "", "b"), `text "ab"`),
		echoed(g, "last empty", fragments(ws.OpText, "a", ""), `text "a"`),
		echoed(g, "16 MiB in 256 parts", fragments(ws.OpBinary, mib...), binaryLine(strings.Join(mib, ""))),
		echoed(g, "two messages", join(fragments(ws.OpText, "a", "b"), fragments(ws.OpBinary, "c", "d")), `text "ab"`, `binary "cd"`),
		echoed(g, "ping between", join(begin("a"), ping("p"), last("b")), `pong "p"`, `text "ab"`),
		echoed(g, "pings between all", join(begin("a"), ping("1"), cont("b"), ping("2"), cont("c"), ping("3"), last("d")),
			`pong "1"`, `pong "2"`, `pong "3"`, `text "abcd"`),
		echoed(g, "pong between", join(begin("a"), pong("p"), last("b")), `text "ab"`),
		failed(g, "continuation of nothing", last("x"), 1002, unexpected),
		failed(g, "continuation of nothing, not the last", cont("x"), 1002, unexpected),
		failed(g, "continuation after a whole message", join(text("a"), last("x")), 1002, unexpected, `text "a"`),
		failed(g, "continuation after a fragmented message", join(fragments(ws.OpText, "a", "b"), cont("x")), 1002, unexpected, `text "ab"`),
		failed(g, "text within a message", join(begin("a"), text("b")), 1002, missing),
		failed(g, "binary within a message", join(begin("a"), binary("b")), 1002, missing),
		failed(g, "beginning within a message", join(begin("a"), begin("b")), 1002, missing),
		failed(g, "text within, after a ping", join(begin("a"), ping("p"), text("b")), 1002, missing, `pong "p"`),
		failed(g, "reserved opcode within a message", join(begin("a"), frame(fin|3, nil)), 1002, missing),
		failed(g, "reserved control opcode within a message", join(begin("a"), frame(fin|11, nil)), 1002, "Unknown opcode 11"),
		failed(g, "ping in fragments within a message", join(begin("a"), frame(byte(ws.OpPing), nil)), 1002, "Received fragmented control frame"),
		{
			Group: g, Name: "close within a message",
			Send:  join(begin("a"), closeFrame(1000, "enough"), last("b")),
			Heard: []string{closing(1000, "enough"), "gone"},
			Got:   []string{closing(1000, "enough"), "end"},
		},
	}
}

// masking: RFC 6455, section 5.1 and 5.3.
func masking() (list []Case) {
	p := pattern(1000)
	for _, mask := range [][4]byte{{}, {0xFF, 0xFF, 0xFF, 0xFF}, {1, 2, 3, 4}, {0x80, 0, 0, 0}} {
		list = append(list, echoed("masking", fmt.Sprintf("mask %x", mask),
			masked(fin|byte(ws.OpText), []byte(p), mask), textLine(p)))
	}
	unmasked := "Received an unmasked frame from a client"
	for _, op := range []ws.Opcode{ws.OpText, ws.OpBinary, ws.OpPing, ws.OpPong, ws.OpClose} {
		list = append(list, failed("masking", fmt.Sprintf("none on opcode %d", op),
			join(text("before"), ws.AppendFrame(nil, op, nil)), 1002, unmasked, `text "before"`))
	}
	return append(list,
		failed("masking", "none on a continuation", join(frame(byte(ws.OpText), nil), []byte{fin, 0}), 1002, unmasked))
}

// limits: the limit on a message, here 1,000 bytes.
func limits() []Case {
	const g = "limits"
	at, half := pattern(1000), pattern(500)
	header := func(length ...byte) []byte { return append([]byte{fin | byte(ws.OpBinary), 0xFF}, length...) }
	return with(ws.Options{MaxMessage: 1000},
		echoed(g, "text at the limit", text(at), textLine(at)),
		echoed(g, "fragments at the limit", fragments(ws.OpText, half, half), textLine(half+half)),
		echoed(g, "twice the limit in two messages", join(binary(at), binary(at)), binaryLine(at), binaryLine(at)),
		failed(g, "one byte over", text(at+"x"), 1009, "Message is too large: 1001 > 1000"),
		failed(g, "fragments, one byte over", fragments(ws.OpText, half, half, "x"), 1009, "Message is too large: 1 > 0"),
		failed(g, "continuation over", fragments(ws.OpBinary, half, half+"x"), 1009, "Message is too large: 501 > 500"),
		// Refused by its header: the payload never comes.
		failed(g, "64 KiB announced", header(0, 0, 0, 0, 0, 1, 0, 0, 9, 9, 9, 9), 1009, "Message is too large: 65536 > 1000"),
		failed(g, "2^63-1 announced", header(0x7F, 255, 255, 255, 255, 255, 255, 255, 9, 9, 9, 9), 1009, "Message is too large: 9223372036854775807 > 1000"),
		failed(g, "2^64-1 announced", header(255, 255, 255, 255, 255, 255, 255, 255, 9, 9, 9, 9), 1009, "Message is too large: 18446744073709551615 > 1000"),
		failed(g, "over, after a message", join(text("a"), text(at+"x")), 1009, "Message is too large: 1001 > 1000", `text "a"`),
	)
}
