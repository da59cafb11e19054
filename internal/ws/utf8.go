package ws

import "unicode/utf8"

// utf8Checker checks text that arrives in pieces. It refuses a text at the
// first byte that no valid text could have there. The zero value is at the
// beginning of a text.
type utf8Checker struct {
	begun [utf8.UTFMax]byte // of a character whose end is still to come
	n     uint8
}

// write reports whether the text can still become valid after p.
func (c *utf8Checker) write(p []byte) bool {
	for c.n > 0 && len(p) > 0 {
		c.begun[c.n] = p[0]
		c.n++
		p = p[1:]
		if utf8.FullRune(c.begun[:c.n]) {
			// Full means whole, or wrong already.
			if r, size := utf8.DecodeRune(c.begun[:c.n]); r == utf8.RuneError && size == 1 {
				return false
			}
			c.n = 0
		}
	}
	whole := len(p) - tail(p)
	if !utf8.Valid(p[:whole]) {
		return false
	}
	c.n += uint8(copy(c.begun[c.n:], p[whole:]))
	return true
}

// complete reports whether the text may end here.
func (c *utf8Checker) complete() bool { return c.n == 0 }

// tail is the length of a character at the end of p that lacks bytes.
func tail(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if b := p[len(p)-i:]; utf8.RuneStart(b[0]) {
			if utf8.FullRune(b) {
				return 0
			}
			return i
		}
	}
	return 0
}
