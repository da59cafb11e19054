package browse

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// Serialize returns the value that a JSON text stands for as V8 writes it.
func Serialize(text []byte) ([]byte, error) {
	v, err := structuredclone.FromJSON(text)
	if err != nil {
		return nil, fmt.Errorf("the value is not JSON (a text needs quotes): %w", err)
	}
	return structuredclone.Encode(v)
}

// maxJSONDepth is how deep a value is followed.
const maxJSONDepth = 200

// toJSON writes a value if JSON can say exactly that: reading it gives the same
// value again.
func toJSON(v structuredclone.Value, depth int) (json.RawMessage, bool) {
	switch v := v.(type) {
	case nil, bool:
		b, err := json.Marshal(v)
		return b, err == nil
	case string:
		if !utf8.ValidString(v) {
			return nil, false
		}
		b, err := json.Marshal(v)
		return b, err == nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) || v == 0 && math.Signbit(v) {
			return nil, false
		}
		return strconv.AppendFloat(nil, v, 'g', -1, 64), true
	case *structuredclone.Array:
		if depth > maxJSONDepth || v.Sparse || len(v.Props) > 0 || int(v.Length) != len(v.Elements) {
			return nil, false
		}
		out := []byte{'['}
		for i, e := range v.Elements {
			b, ok := toJSON(e, depth+1)
			if !ok {
				return nil, false
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, b...)
		}
		return append(out, ']'), true
	case *structuredclone.Object:
		if depth > maxJSONDepth {
			return nil, false
		}
		out := []byte{'{'}
		for i, p := range v.Props {
			key, ok := toJSON(p.Key, depth)
			b, fine := toJSON(p.Value, depth+1)
			if !ok || !fine {
				return nil, false
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, key...), ':'), b...)
		}
		return append(out, '}'), true
	}
	return nil, false
}
