package structuredclone

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// FromJSON reads a value that is written as JSON, and nothing else is in the
// text. An object's keys are in the order of the text.
func FromJSON(text []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	v, err := fromJSON(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something behind it")
	}
	return v, nil
}

func fromJSON(d *json.Decoder) (Value, error) {
	t, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		a := new(Array)
		for d.More() {
			v, err := fromJSON(d)
			if err != nil {
				return nil, err
			}
			a.Elements = append(a.Elements, v)
		}
		a.Length = uint32(len(a.Elements))
		_, err = d.Token()
		return a, err
	case json.Delim('{'):
		o := new(Object)
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := fromJSON(d)
			if err != nil {
				return nil, err
			}
			o.Props = append(o.Props, Property{Key: key.(string), Value: v}) // Token sees to it that keys are strings
		}
		_, err = d.Token()
		return o, err
	}
	return t, nil // nil, a bool, a float64 or a string
}
