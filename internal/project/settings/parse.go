package settings

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// mistake is what is wrong with a value, and how to write it.
type mistake struct{ message, hint string }

func (m *mistake) Error() string { return m.message }

func wrong(hint, format string, args ...any) error {
	return &mistake{fmt.Sprintf(format, args...), hint}
}

// parse reads a value as it is written. A relative path is taken from dir. The
// result has the type of the setting's field, except that a choice is a string.
func (s *Setting) parse(text, dir string) (any, error) {
	switch s.Type {
	case Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, wrong("Write it like 10s, 500ms, 2m or 1h30m.", "%q is not a duration", text)
		}
		return d, s.bounds(int64(d))
	case Bytes:
		n, err := parseBytes(text)
		if err != nil {
			return nil, err
		}
		return n, s.bounds(n)
	case Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, wrong("", "%q is not a whole number", text)
		}
		return int(n), s.bounds(n)
	case Bool:
		switch text {
		case "true", "1", "yes", "on":
			return true, nil
		case "false", "0", "no", "off":
			return false, nil
		}
		return nil, wrong("Write true or false.", "%q is neither true nor false", text)
	case Path:
		if text == "" || filepath.IsAbs(text) {
			return text, nil
		}
		return filepath.Join(dir, text), nil
	case Address:
		return s.parseAddress(text)
	case URL:
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			return nil, wrong("Write it like http://127.0.0.1:4318.", "%q is not a URL of http or https", text)
		}
		return text, nil
	case Addresses:
		return parseNetworks(text, nil)
	case Networks:
		return parseNetworks(text, networkSets)
	}
	for _, c := range s.Choices {
		if c == text {
			return text, nil
		}
	}
	hint := source.DidYouMean(text, s.Choices)
	if hint == "" {
		hint = "Choose one of: " + strings.Join(s.Choices, ", ") + "."
	}
	return nil, wrong(hint, "%q is not a choice", text)
}

func (s *Setting) bounds(n int64) error {
	if n >= s.Min && (s.Max == 0 || n <= s.Max) {
		return nil
	}
	low, high := s.write(s.numeral(s.Min)), s.write(s.numeral(s.Max))
	if s.Max == 0 {
		return wrong("", "%s is too small; at least %s", s.write(s.numeral(n)), low)
	}
	return wrong("", "%s is out of bounds: %s to %s", s.write(s.numeral(n)), low, high)
}

// numeral gives a number the type that the setting's values have.
func (s *Setting) numeral(n int64) any {
	switch s.Type {
	case Duration:
		return time.Duration(n)
	case Bytes:
		return n
	}
	return int(n)
}

var units = []struct {
	name string
	size int64
}{
	{"GiB", gib}, {"MiB", mib}, {"KiB", kib},
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

func parseBytes(text string) (int64, error) {
	number, size := text, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, size = strings.TrimSpace(n), u.size
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f < 0 || f*float64(size) > 1<<60 || f*float64(size) != math.Trunc(f*float64(size)) {
		return 0, wrong("Write it like 16MiB, 64KiB or 1GiB, or as a number of bytes.", "%q is not a size", text)
	}
	return int64(f * float64(size)), nil
}

func (s *Setting) parseAddress(text string) (string, error) {
	if s.Off && text == "off" {
		return "", nil
	}
	const hint = "Write it like 127.0.0.1:8787, or :8787 for every address of this machine."
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", wrong(hint, "%q is not an address", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return "", wrong(hint, "%q has no port from 0 to 65535", text)
	}
	return text, nil
}

func parseNetworks(text string, sets map[string][]string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if set := sets[part]; set != nil {
			for _, p := range set {
				list = append(list, netip.MustParsePrefix(p))
			}
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			a, addrErr := netip.ParseAddr(part)
			if addrErr != nil || a.Zone() != "" {
				return nil, wrong("Write it like 10.0.0.0/8 or ::1.", "%q is no IP address or network", part)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// write is the opposite of parse.
func (s *Setting) write(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return writeDuration(v)
	case int64:
		return writeBytes(v)
	case []netip.Prefix:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = p.String()
		}
		return strings.Join(parts, ",")
	case string:
		if v == "" && s.Off {
			return "off"
		}
		return v
	}
	return fmt.Sprint(value)
}

// writeDuration is the Go text without the units that are zero.
func writeDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func writeBytes(n int64) string {
	for _, u := range units[:3] {
		if n > 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// fromFile turns a value of the file into the text that parse reads, if it is
// written in the way that the type wants.
func (s *Setting) fromFile(n *source.Node) (string, error) {
	number := n.Kind == source.Number && (s.Type == Int || s.Type == Bytes || s.Type == Duration && n.Text == "0")
	switch {
	case number:
		return n.Text, nil
	case n.Kind == source.Bool && s.Type == Bool:
		return strconv.FormatBool(n.Bool), nil
	case n.Kind == source.String && s.Type != Bool && s.Type != Int && s.Type != Addresses && s.Type != Networks:
		return n.Text, nil
	case n.Kind == source.List && (s.Type == Addresses || s.Type == Networks):
		return networkList(n)
	}
	want := map[Type]string{
		Duration: "a string with a unit, like \"10s\"", Bytes: "a number of bytes, or a string like \"16MiB\"", Int: "a number",
		Bool: "true or false", Addresses: "a list of strings", Networks: "a list of strings",
	}[s.Type]
	if want == "" {
		want = "a string"
	}
	return "", wrong("", "must be %s, not %s", want, n.Kind)
}

func networkList(n *source.Node) (string, error) {
	var parts []string
	for _, item := range n.Items {
		if item.Kind != source.String || strings.Contains(item.Text, ",") {
			return "", wrong("", "must be a list of strings, one address or network each")
		}
		parts = append(parts, item.Text)
	}
	return strings.Join(parts, ","), nil
}

// assign stores a parsed value into a field.
func assign(field, value any) {
	f, v := reflect.ValueOf(field).Elem(), reflect.ValueOf(value)
	if f.Kind() == reflect.String { // the choices have types of their own
		f.SetString(v.String())
		return
	}
	f.Set(v)
}

// asMistake gives any error the two parts.
func asMistake(err error) *mistake {
	if m, ok := errors.AsType[*mistake](err); ok {
		return m
	}
	return &mistake{message: err.Error()}
}
