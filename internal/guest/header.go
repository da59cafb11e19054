package guest

// Header is one line. In Value each character stands for the byte with its
// number, as HTTP's bytes reach JavaScript: see Latin1 and Bytes.
type Header struct{ Name, Value string }

// Latin1 spells each byte of a header's value as the character with its number.
func Latin1(value string) string {
	for i := range len(value) {
		if value[i] >= 0x80 {
			r := make([]rune, len(value))
			for j := range len(value) {
				r[j] = rune(value[j])
			}
			return string(r)
		}
	}
	return value
}

// Bytes is the way back from Latin1. What is no byte becomes a question mark.
func (h Header) Bytes() string {
	for i := range len(h.Value) {
		if h.Value[i] >= 0x80 {
			b := make([]byte, 0, len(h.Value))
			for _, r := range h.Value {
				if r > 0xff {
					r = '?'
				}
				b = append(b, byte(r))
			}
			return string(b)
		}
	}
	return h.Value
}
