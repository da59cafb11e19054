package plaincall

import (
	"reflect"
	"testing"

	"github.com/dormouse-dev/dormouse"
)

var calls = []*Call{
	{Question: 1, Path: []string{"add"}, Args: []byte{0xff, 15, 'A', 0, '$', 0, 0}},
	{Question: 7, Path: []string{"a", "b", ""}, Args: []byte{}},
	{Question: 2, Property: true, Path: []string{"size"}},
}

var answers = []*Answer{
	{Question: 1, Value: []byte{0xff, 15, '_'}},
	{Question: 3, Error: &dormouse.Error{Name: "RangeError", Message: "too far", Remote: true, ObjectReset: true, Extra: []byte{1}}},
	{Question: 4, Error: &dormouse.Error{Name: "Error", Retryable: true, Overloaded: true}},
}

func TestRoundTrip(t *testing.T) {
	for _, want := range calls {
		got, err := ReadCall(want.Append(nil))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	for _, want := range answers {
		got, ok, err := ReadAnswer(want.Append(nil))
		if err != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %t, %v; want %+v", got, ok, err, want)
		}
	}
}

func TestThrownValue(t *testing.T) {
	p := append([]byte{sayError, 9, 0, 0, 0, 1, remote | objectReset, 2, 0, 0, 0, 'i', 'd'}, "value"...)
	a, ok, err := ReadAnswer(p)
	if err != nil || !ok || string(a.Thrown) != "value" || !a.Flags.Remote || !a.Flags.ObjectReset || a.Flags.Retryable {
		t.Errorf("got %+v, %t, %v", a, ok, err)
	}
}

// Whatever comes is read or refused: a message that was cut is not taken for whole
// as long as its end is known.
func FuzzRead(f *testing.F) {
	for _, c := range calls {
		f.Add(c.Append(nil))
	}
	for _, a := range answers {
		f.Add(a.Append(nil))
	}
	f.Add([]byte{sayCall, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		if c, err := ReadCall(p); err == nil && c.References == 0 && !c.Property {
			again, err := ReadCall(c.Append(nil))
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%x is %+v, and again %+v, %v", p, c, again, err)
			}
		}
		ReadAnswer(p)
		for n := range p {
			ReadCall(p[:n])
			ReadAnswer(p[:n])
		}
	})
}
