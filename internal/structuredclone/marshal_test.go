package structuredclone_test

import (
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	. "github.com/dormouse-dev/dormouse/internal/structuredclone"
)

type profile struct {
	Name   string    `json:"name"`
	Joined time.Time `json:"joined"`
	Tags   []string  `json:"tags,omitempty"`
	Boss   *profile  `json:"boss,omitempty"`
	Hidden string    `json:"-"`
	note   string    //lint:ignore U1000 unexported fields are left out
	Place
}

// Place is embedded.
type Place struct{ Lat, Lon float64 }

func TestGoValuesComeBack(t *testing.T) {
	at := time.UnixMilli(1234567890123)
	big1, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	for name, v := range map[string]any{
		"bool":           true,
		"int":            -7,
		"large int64":    int64(math.MinInt64),
		"large uint64":   uint64(math.MaxUint64),
		"small uint8":    uint8(200),
		"float":          1.5,
		"minus zero":     math.Copysign(0, -1),
		"infinity":       math.Inf(-1),
		"text":           "日本😀é\x00",
		"bytes":          []byte{1, 2, 3},
		"no bytes":       []byte{},
		"array of bytes": [3]byte{1, 2, 3},
		"numbers":        []int{1, 2, 1 << 40},
		"time":           at,
		"bigint":         big1,
		"struct": profile{
			Name: "Ada", Joined: at, Tags: []string{"a"}, Boss: &profile{Name: "Bob", Joined: at}, Place: Place{1, 2},
		},
		"map":        map[string]int{"b": 1, "a": 2, "10": 3, "9": 4},
		"map of int": map[int]string{1: "x", -2: "y"},
		"set":        map[string]struct{}{"a": {}, "b": {}},
		"pointer":    &[]string{"a"},
		"nested":     map[string][]map[string]bool{"a": {{"x": true}, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			again := reflect.New(reflect.TypeOf(v))
			if err := Unmarshal(b, again.Interface()); err != nil {
				t.Fatalf("%x: %v", b, err)
			}
			if got := again.Elem().Interface(); !reflect.DeepEqual(got, v) {
				t.Errorf("got %#v, want %#v (%x)", got, v, b)
			}
		})
	}
}

// TestBytesAreThoseOfJavaScript compares with what V8 writes for the same value.
func TestBytesAreThoseOfJavaScript(t *testing.T) {
	for want, v := range map[string]any{
		"ff0f4954":                                  42,
		"ff0f4e0000000000000080":                    math.Copysign(0, -1),
		"ff0f220161":                                "a",
		"ff0f2201e9":                                "é",
		"ff0f6302e565":                              "日",
		"ff0f4203010203" + "5642000300":             []byte{1, 2, 3},
		"ff0f410249024904240002":                    []int{1, 2},
		"ff0f6f22016149027b01":                      map[string]int{"a": 1},
		"ff0f6f49002201622201782201637b02":          map[string]string{"x": "c", "0": "b"},
		"ff0f270249022c01"[:4] + "2749022c01":       map[int]struct{}{1: {}},
		"ff0f3b4902220161" + "3a02":                 map[int]string{1: "a"},
		"ff0f4400000000" + "00000000":               time.UnixMilli(0),
		"ff0f30":                                    nil,
		"ff0f6f2204" + "4e616d65" + "2200" + "7b01": struct{ Name string }{},
	} {
		b, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("%#v is %s, want %s", v, got, want)
		}
	}
}

func TestSharedAndCircularPointersStaySo(t *testing.T) {
	type node struct {
		Next *node          `json:"next"`
		Map  map[string]any `json:"map"`
	}
	n := &node{}
	n.Next = n
	n.Map = map[string]any{}
	n.Map["me"] = n.Map
	b, err := Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var again *node
	if err := Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if again.Next != again {
		t.Error("the circle of pointers is broken")
	}
	inner := again.Map["me"].(map[string]any)
	if reflect.ValueOf(inner["me"]).Pointer() != reflect.ValueOf(inner).Pointer() {
		t.Error("the circle of maps is broken")
	}
}

func TestAnythingBecomesWhatIsNatural(t *testing.T) {
	values := recorded(t)
	for kind, want := range map[string]any{
		"undefined":      Undefined{},
		"null":           nil,
		"integer":        42.0,
		"wide text":      "日本😀",
		"lone surrogate": "\uFFFD",
		"array":          []any{1.0, "two", nil, Undefined{}},
		"Uint8Array":     []byte{1, 2, 3},
		"ArrayBuffer":    []byte{1, 2, 3},
		"date":           time.UnixMilli(1234567890123),
		"boxed number":   5.0,
		"integer keys":   map[string]any{"0": "b", "1": "a", "x": "c"},
		"empty map":      map[any]any{},
	} {
		var got any
		if err := Unmarshal(values[kind], &got); err != nil {
			t.Errorf("%s: %v", kind, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", kind, got, want)
		}
	}
	for kind, b := range values {
		var got any
		if err := Unmarshal(b, &got); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if again, err := Marshal(got); err != nil {
			t.Errorf("%s cannot be written again: %v", kind, err)
		} else if _, err := Decode(again); err != nil {
			t.Errorf("%s written again: %v", kind, err)
		}
	}
}

func TestTypedArraysFillSlices(t *testing.T) {
	values := recorded(t)
	check := func(kind string, into, want any) {
		t.Helper()
		if err := Unmarshal(values[kind], into); err != nil {
			t.Errorf("%s: %v", kind, err)
		} else if got := reflect.ValueOf(into).Elem().Interface(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", kind, got, want)
		}
	}
	check("Int8Array", new([]int), []int{-1, 2})
	check("Uint32Array", new([]uint32), []uint32{1, 4294967295})
	check("Float32Array", new([]float64), []float64{1.5})
	check("Float16Array", new([1]float32), [1]float32{1.5})
	check("BigInt64Array", new([]int64), []int64{-1})
	check("set", new([]any), []any{1.0, "two", map[string]any{"three": 3.0}})
	check("sparse array", new([]int), []int{1, 0, 0, 0, 0, 6})
}

func TestErrorsCross(t *testing.T) {
	b, err := Marshal(errors.New("no such room"))
	if err != nil {
		t.Fatal(err)
	}
	var got error
	if err := Unmarshal(b, &got); err != nil || got.Error() != "no such room" {
		t.Errorf("got %v, %v", got, err)
	}
	if err := Unmarshal(recorded(t)["TypeError"], &got); err != nil || got.Error() != "TypeError: typed" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestWhatDoesNotFitIsAnError(t *testing.T) {
	for _, c := range []struct {
		v    any
		into any
		want string
	}{
		{"a", new(int), "a string does not fit into a Go int"},
		{300, new(uint8), "the number 300 does not fit into a Go uint8"},
		{1.5, new(int), "the number 1.5 does not fit into a Go int"},
		{nil, new(int), "null does not fit into a Go int"},
		{map[string]any{"Name": 1}, new(struct{ Name string }), "property Name: the number 1 does not fit into a Go string"},
		{[]int{1}, new([2]int), "1 elements do not fit into a Go [2]int"},
		{1, 2, "int is not a pointer to somewhere"},
	} {
		b, err := Marshal(c.v)
		if err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal(b, c.into); err == nil || err.Error() != c.want {
			t.Errorf("%v into %T: got %v, want %s", c.v, c.into, err, c.want)
		}
	}
	for _, v := range []any{func() {}, make(chan int), 1i} {
		if _, err := Marshal(v); err == nil || !strings.HasSuffix(err.Error(), "could not be cloned") {
			t.Errorf("%T: got %v", v, err)
		}
	}
}

func TestDepthHasABound(t *testing.T) {
	var deep any
	for range 2000 {
		deep = []any{deep}
	}
	if _, err := Marshal(deep); !errors.Is(err, ErrDepth) {
		t.Errorf("got %v, want ErrDepth", err)
	}
	if _, err := Decode([]byte("\xff\x0f" + strings.Repeat("A\x01", 5000))); !errors.Is(err, ErrDepth) {
		t.Errorf("got %v, want ErrDepth", err)
	}
	if _, err := Decode([]byte("\xff\x0f" + strings.Repeat("?\x01", 5000))); !errors.Is(err, ErrDepth) {
		t.Errorf("got %v, want ErrDepth", err)
	}
}
