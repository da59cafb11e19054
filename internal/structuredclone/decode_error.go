package structuredclone

import "fmt"

// nativeError reads an error as V8 writes it.
func (d *decoder) nativeError(depth int) (Value, error) {
	e := &Error{Name: "Error"}
	d.note(e)
	for {
		t, err := d.tag()
		if err != nil {
			return nil, err
		}
		switch t {
		case tagEvalError:
			e.Name = "EvalError"
		case tagRangeError:
			e.Name = "RangeError"
		case tagRefError:
			e.Name = "ReferenceError"
		case tagSyntaxError:
			e.Name = "SyntaxError"
		case tagTypeError:
			e.Name = "TypeError"
		case tagURIError:
			e.Name = "URIError"
		case tagErrorMessage:
			e.Message, err = d.string()
		case tagErrorStack:
			e.Stack, err = d.string()
		case tagErrorCause:
			var cause Value
			cause, err = d.value(depth + 1)
			e.Props = append(e.Props, Property{"cause", cause})
		case tagErrorEnd:
			return e, nil
		default:
			d.at--
			return nil, d.bad("an error cannot have %q", t)
		}
		if err != nil {
			return nil, err
		}
	}
}

// host reads what workerd writes in its own way.
func (d *decoder) host(depth int) (Value, error) {
	e := new(Error)
	d.note(e)
	n, err := d.varint()
	if err != nil {
		return nil, err
	}
	switch n {
	case hostNativeError:
		return e, d.hostError(e, depth)
	case hostDOMException:
		e.DOM = true
		for _, p := range []*string{&e.Name, &e.Message, &e.Stack} {
			if *p, err = d.text(tagUTF8String); err != nil {
				return nil, fmt.Errorf("DOMException: %w", err)
			}
		}
		return e, nil
	}
	return nil, d.bad("an object of a kind (%d) that cannot be read here", n)
}

func (d *decoder) hostError(e *Error, depth int) error {
	number, err := d.varint()
	if err != nil {
		return err
	}
	ok := true
	if number == 0 {
		e.Name, err = d.hostText(depth)
	} else {
		e.Name, ok = errorName(number)
	}
	if err != nil {
		return err
	}
	if !ok {
		return d.bad("an error of a kind (%d) that cannot be read here", number)
	}
	if e.Message, err = d.hostText(depth); err != nil {
		return err
	}
	v, err := d.value(depth + 1)
	if err != nil {
		return err
	}
	own, ok := v.(*Object)
	if !ok {
		return d.bad("the properties of an error are a %T", v)
	}
	for _, p := range own.Props {
		if stack, ok := p.Value.(string); ok && p.Key == "stack" {
			e.Stack = stack
			continue
		}
		e.Props = append(e.Props, p)
	}
	return nil
}

func (d *decoder) hostText(depth int) (string, error) {
	v, err := d.value(depth + 1)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", d.bad("text of an error is a %T", v)
	}
	return s, nil
}
