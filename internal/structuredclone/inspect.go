package structuredclone

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Inspect returns a value as JavaScript prints it: as `util.inspect` of Node
// does with its default options, but for the depth, at which [Object] stands for
// what is nested deeper. The text is valid UTF-8 and has no control characters
// but line breaks.
func Inspect(v Value, depth int) string {
	p := printer{depth: depth, circular: make(map[any]int)}
	return p.value(v, 0, true)
}

// Node's defaults; lib/internal/util/inspect.js has the rules that follow.
const (
	breakLength     = 80
	compactLevels   = 3
	maxArrayLength  = 100
	maxStringLength = 10_000
	minLineWidth    = 16
)

type printer struct {
	depth    int
	indent   int
	current  int     // depth of what was begun last
	path     []Value // what is being printed, from the outside
	circular map[any]int
}

func (p *printer) value(v Value, depth int, typed bool) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case Undefined:
		return "undefined"
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return number(v)
	case string:
		if typed {
			return p.text(v)
		}
		return v
	case *BigInt:
		return v.Big().String() + "n"
	case *Date:
		return date(v.Milliseconds)
	case *RegExp:
		return "/" + clean(v.Source) + "/" + v.flags()
	case *Boxed:
		name := map[bool]string{true: "Boolean"}[isBool(v.Value)]
		switch v.Value.(type) {
		case float64:
			name = "Number"
		case string:
			name = "String"
		case *BigInt:
			name = "BigInt"
		}
		return "[" + name + ": " + p.value(v.Value, depth, true) + "]"
	}
	return p.object(v, depth)
}

func isBool(v Value) bool { _, ok := v.(bool); return ok }

// object prints what can contain something.
func (p *printer) object(v Value, depth int) string {
	if slices.Contains(p.path, v) {
		n, known := p.circular[v]
		if !known {
			n = len(p.circular) + 1
			p.circular[v] = n
		}
		return fmt.Sprintf("[Circular *%d]", n)
	}
	if depth > p.depth {
		return "[" + titleOf(v) + "]"
	}
	p.path = append(p.path, v)
	if !empty(v) {
		p.current = depth
	}
	f := p.format(v, depth+1)
	p.path = p.path[:len(p.path)-1]
	if n, is := p.circular[v]; is {
		ref := fmt.Sprintf("<ref *%d>", n)
		if f.base == "" {
			f.open = ref + " " + f.open
		} else {
			f.base = ref + " " + f.base
		}
	}
	if len(f.output) == 0 && f.base != "" {
		return f.base
	}
	if len(f.output) == 0 {
		return f.open + f.close
	}
	return p.join(f, depth)
}

// empty says whether there is nothing to be shown in it.
func empty(v Value) bool {
	switch v := v.(type) {
	case *Object:
		return len(v.Props) == 0
	case *Array:
		return v.Length == 0 && len(v.Props) == 0
	case *Map:
		return len(v.Entries) == 0
	case *Set:
		return len(v.Values) == 0
	case *View:
		return v.Kind != DataView && v.Length == 0
	case *Error:
		return len(v.Props) == 0
	}
	return false
}

func titleOf(v Value) string {
	switch v := v.(type) {
	case *Array:
		return "Array"
	case *Map:
		return "Map"
	case *Set:
		return "Set"
	case *Buffer:
		return "ArrayBuffer"
	case *View:
		return viewNames[v.Kind]
	case *Error:
		return errorTitle(v)
	}
	return "Object"
}

// formatted is an object in parts.
type formatted struct {
	base, open, close string
	output            []string
	array             bool  // may be put into columns
	numbers           bool  // all elements are
	more              bool  // the last of output says how many are not shown
	source            Value // whose parts they are
}

func (p *printer) format(v Value, depth int) formatted {
	f := formatted{open: "{", close: "}", source: v}
	switch v := v.(type) {
	case *Object:
		f.output = p.properties(v.Props, depth)
	case *Array:
		f.array, f.open, f.close = true, "[", "]"
		p.array(&f, v, depth)
	case *Map:
		f.open = fmt.Sprintf("Map(%d) {", len(v.Entries))
		p.indented(func() {
			for _, e := range v.Entries {
				f.output = append(f.output, p.value(e[0], depth, true)+" => "+p.value(e[1], depth, true))
			}
		})
	case *Set:
		f.open = fmt.Sprintf("Set(%d) {", len(v.Values))
		p.indented(func() {
			for _, e := range v.Values {
				f.output = append(f.output, p.value(e, depth, true))
			}
		})
	case *Buffer:
		f.open = "ArrayBuffer {"
		f.output = bufferParts(v)
	case *View:
		p.view(&f, v, depth)
	case *Error:
		f.base = p.errorText(v)
		for _, q := range v.Props {
			name := q.Key
			if (name == "cause" || name == "errors") && !v.DOM {
				name = "[" + name + "]"
			} else {
				name = key(name)
			}
			f.output = append(f.output, p.property(name, q.Value, depth))
		}
	default:
		f.base = fmt.Sprintf("[%T]", v)
	}
	return f
}

func (p *printer) indented(f func()) {
	p.indent += 2
	f()
	p.indent -= 2
}

var identifier = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z_0-9]*$`)

func key(k string) string {
	if identifier.MatchString(k) {
		return k
	}
	return quote(k)
}

func (p *printer) properties(list []Property, depth int) []string {
	var out []string
	for _, q := range list {
		out = append(out, p.property(key(q.Key), q.Value, depth))
	}
	return out
}

func (p *printer) property(name string, v Value, depth int) (s string) {
	p.indented(func() { s = p.value(v, depth, true) })
	return name + ": " + s
}

func (p *printer) array(f *formatted, a *Array, depth int) {
	f.numbers = true
	elements, props := a.Elements, a.Props
	if a.Sparse {
		elements, props = sparse(a)
	}
	shown, holes := 0, 0
	length := int(a.Length)
	flush := func() {
		if holes > 0 {
			f.output = append(f.output, fmt.Sprintf("<%d empty item%s>", holes, plural(holes)))
			f.numbers = false
			shown++
			holes = 0
		}
	}
	i := 0
	for ; i < len(elements) && shown < maxArrayLength; i++ {
		if _, hole := elements[i].(Hole); hole {
			holes++
			continue
		}
		flush()
		if shown == maxArrayLength {
			break
		}
		switch elements[i].(type) {
		case float64, *BigInt:
		default:
			f.numbers = false
		}
		p.indented(func() { f.output = append(f.output, p.value(elements[i], depth, true)) })
		shown++
	}
	if i == len(elements) && length > i { // holes at the end
		holes += length - i
		i = length
	}
	flush()
	if rest := length - i; rest > 0 {
		f.output = append(f.output, fmt.Sprintf("... %d more item%s", rest, plural(rest)))
		f.more = true
	}
	f.output = append(f.output, p.properties(props, depth)...)
}

// mostIndexes bounds the holes that are looked at one by one.
const mostIndexes = 1 << 16

// sparse makes elements of the properties that are indexes.
func sparse(a *Array) (elements []Value, props []Property) {
	for _, q := range a.Props {
		n, err := strconv.ParseUint(q.Key, 10, 32)
		if err != nil || uint32(n) >= a.Length || n >= mostIndexes || strconv.FormatUint(n, 10) != q.Key {
			props = append(props, q)
			continue
		}
		for uint64(len(elements)) <= n {
			elements = append(elements, Hole{})
		}
		elements[n] = q.Value
	}
	return elements, props
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

var viewNames = map[ViewKind]string{
	Int8Array: "Int8Array", Uint8Array: "Uint8Array", Uint8ClampedArray: "Uint8ClampedArray", Int16Array: "Int16Array",
	Uint16Array: "Uint16Array", Int32Array: "Int32Array", Uint32Array: "Uint32Array", Float16Array: "Float16Array",
	Float32Array: "Float32Array", Float64Array: "Float64Array", BigInt64Array: "BigInt64Array",
	BigUint64Array: "BigUint64Array", DataView: "DataView",
}

func (p *printer) view(f *formatted, v *View, depth int) {
	if v.Kind == DataView {
		f.open = "DataView {"
		f.output = append(f.output,
			"[byteLength]: "+strconv.Itoa(v.Length), "[byteOffset]: "+strconv.Itoa(v.Offset),
			p.property("[buffer]", v.Buffer, depth))
		return
	}
	n := v.Length / v.Kind.size()
	f.open, f.close, f.array, f.numbers = fmt.Sprintf("%s(%d) [", viewNames[v.Kind], n), "]", true, true
	part := *v
	part.Length = min(n, maxArrayLength) * v.Kind.size()
	for _, e := range part.Elements() {
		f.output = append(f.output, p.value(e, depth, true))
	}
	if n > maxArrayLength {
		f.output = append(f.output, fmt.Sprintf("... %d more item%s", n-maxArrayLength, plural(n-maxArrayLength)))
		f.more = true
	}
}

func bufferParts(b *Buffer) []string {
	var hex []string
	for _, c := range b.Data[:min(len(b.Data), maxArrayLength)] {
		hex = append(hex, fmt.Sprintf("%02x", c))
	}
	text := strings.Join(hex, " ")
	if n := len(b.Data) - maxArrayLength; n > 0 {
		text += fmt.Sprintf(" ... %d more byte%s", n, plural(n))
	}
	return []string{"[Uint8Contents]: <" + text + ">", "[byteLength]: " + strconv.Itoa(len(b.Data))}
}

func errorTitle(e *Error) string {
	name := e.Name
	if name == "" {
		name = "Error"
	}
	if e.Message == "" {
		return clean(name)
	}
	return clean(name + ": " + e.Message)
}

// errorText is the stack, or in its place the title in brackets.
func (p *printer) errorText(e *Error) string {
	if e.Stack == "" || !strings.Contains(e.Stack, "\n    at ") {
		return "[" + errorTitle(e) + "]"
	}
	return strings.ReplaceAll(clean(e.Stack), "\n", "\n"+strings.Repeat(" ", p.indent))
}

// join puts the parts of an object together: on one line if that is not too
// long and not too deep, arrays in columns, and else one a line.
func (p *printer) join(f formatted, depth int) string {
	entries := len(f.output)
	if f.array && entries > 6 {
		f.output = p.columns(f)
	}
	base := f.base
	if base != "" {
		base += " "
	}
	if p.current-depth < compactLevels && entries == len(f.output) {
		total := 2*len(f.output) + p.indent + width(f.open) + width(f.base) + 10
		for _, s := range f.output {
			total += width(s)
		}
		joined := strings.Join(f.output, ", ")
		if total <= breakLength && !strings.Contains(f.base, "\n") && !strings.Contains(joined, "\n") {
			return base + f.open + " " + joined + " " + f.close
		}
	}
	in := "\n" + strings.Repeat(" ", p.indent)
	return base + f.open + in + "  " + strings.Join(f.output, ","+in+"  ") + in + f.close
}

// width counts as JavaScript does.
func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// columns puts more than six short elements of an array into rows.
func (p *printer) columns(f formatted) []string {
	output := f.output
	length := len(output)
	if f.more {
		length--
	}
	const separator = 2
	widths := make([]int, length)
	total, longest := 0, 0
	for i := range length {
		widths[i] = width(output[i])
		total += widths[i] + separator
		longest = max(longest, widths[i])
	}
	most := longest + separator
	if most*3+p.indent >= breakLength || !(float64(total)/float64(most) > 5 || longest <= 6) {
		return output
	}
	bias := math.Sqrt(float64(most) - float64(total)/float64(len(output)))
	biased := math.Max(float64(most)-3-bias, 1)
	n := int(min(
		math.Round(math.Sqrt(2.5*biased*float64(length))/biased),
		math.Floor(float64(breakLength-p.indent)/float64(most)),
		compactLevels*4, 15))
	if n <= 1 {
		return output
	}
	var columns []int
	for i := range n {
		widest := 0
		for j := i; j < length; j += n {
			widest = max(widest, widths[j])
		}
		columns = append(columns, widest+separator)
	}
	var rows []string
	for i := 0; i < length; i += n {
		end := min(i+n, length)
		var row strings.Builder
		for j := i; j < end-1; j++ {
			cell := output[j] + ", "
			fill := strings.Repeat(" ", max(0, columns[j-i]-widths[j]-separator))
			if f.numbers {
				row.WriteString(fill + cell)
			} else {
				row.WriteString(cell + fill)
			}
		}
		last := end - 1
		if f.numbers {
			row.WriteString(strings.Repeat(" ", max(0, columns[last-i]-separator-widths[last])) + output[last])
		} else {
			row.WriteString(output[last])
		}
		rows = append(rows, row.String())
	}
	return append(rows, output[length:]...)
}

func (p *printer) text(s string) string {
	trailer := ""
	if n := width(s); n > maxStringLength {
		cut := 0
		for i := range s {
			if cut++; cut > maxStringLength {
				s = s[:i]
				break
			}
		}
		trailer = fmt.Sprintf("... %d more character%s", n-maxStringLength, plural(n-maxStringLength))
	}
	if n := width(s); n > minLineWidth && n > breakLength-p.indent-4 && strings.Contains(s, "\n") {
		var parts []string
		for _, line := range strings.SplitAfter(s, "\n") {
			if line != "" {
				parts = append(parts, quote(line))
			}
		}
		return strings.Join(parts, " +\n"+strings.Repeat(" ", p.indent+2)) + trailer
	}
	return quote(s) + trailer
}

// quote writes a string with the quotes that need the fewest escapes.
func quote(s string) string {
	mark := byte('\'')
	if strings.Contains(s, "'") {
		if !strings.Contains(s, `"`) {
			mark = '"'
		} else if !strings.Contains(s, "`") && !strings.Contains(s, "${") {
			mark = '`'
		}
	}
	b := []byte{mark}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch c := s[i]; {
		case r == utf8.RuneError && size == 1:
			if i+2 < len(s) && c == 0xed && s[i+1] >= 0xa0 { // half of a surrogate pair
				b = fmt.Appendf(b, "\\u%04x", 0xd000|int(s[i+1]&0x3f)<<6|int(s[i+2]&0x3f))
				size = 3
			} else {
				b = append(b, "\uFFFD"...)
			}
		case c == mark:
			b = append(b, '\\', c)
		case c == '\\':
			b = append(b, `\\`...)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\r':
			b = append(b, `\r`...)
		case r < ' ' || r >= 0x7f && r <= 0x9f:
			b = fmt.Appendf(b, "\\x%02X", r)
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return string(append(b, mark))
}

// clean is for text that is not quoted.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r >= 0x7f && r <= 0x9f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// number writes a number as JavaScript does. ECMA-262, Number::toString.
func number(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0 && math.Signbit(f):
		return "-0"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "e")
		return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// maxDate is the last millisecond of a Date.
const maxDate = 8.64e15

func date(ms float64) string {
	if math.IsNaN(ms) || math.Abs(ms) > maxDate {
		return "Invalid Date"
	}
	t := time.UnixMilli(int64(ms)).UTC()
	text := t.Format("-01-02T15:04:05.000Z")
	switch y := t.Year(); {
	case y < 0:
		return fmt.Sprintf("-%06d%s", -y, text)
	case y > 9999:
		return fmt.Sprintf("+%06d%s", y, text)
	default:
		return fmt.Sprintf("%04d%s", y, text)
	}
}

// flags are the letters of V8's bits, in the order in which JavaScript lists
// them.
func (r *RegExp) flags() string {
	var b []byte
	for _, f := range []struct {
		letter byte
		bit    uint32
	}{{'d', 1 << 7}, {'g', 1 << 0}, {'i', 1 << 1}, {'m', 1 << 2}, {'s', 1 << 5}, {'u', 1 << 4}, {'v', 1 << 8}, {'y', 1 << 3}} {
		if r.Flags&f.bit != 0 {
			b = append(b, f.letter)
		}
	}
	return string(b)
}
