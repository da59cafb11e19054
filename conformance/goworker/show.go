package goworker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/dormouse-dev/dormouse"
)

// Values and errors are shown in the words of worker/src/show.ts.

const longest = 90

// NotInGo is said in place of a line that Go has no word for; it is compared with
// nothing.
const NotInGo = "not in Go"

// show is a value on one line.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		if n := utf8.RuneCountInString(v); n > longest {
			return quote(string([]rune(v)[:8])) + fmt.Sprintf("… of %d", n)
		}
		return quote(v)
	case []byte:
		if len(v) > 32 {
			return fmt.Sprintf("ArrayBuffer[%d bytes]", len(v))
		}
		return fmt.Sprintf("ArrayBuffer[% x]", v)
	case []string:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = show(s)
		}
		return "[" + strings.Join(list, ", ") + "]"
	case [][]string:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = show(s)
		}
		return "[" + strings.Join(list, ", ") + "]"
	case []any:
		list := make([]string, len(v))
		for i, s := range v {
			list[i] = show(s)
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	return fmt.Sprint(v)
}

func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}

// complaint is an error with what tells its receiver what to do.
func complaint(err error) string {
	e, ok := errors.AsType[*dormouse.Error](err)
	if !ok {
		return "Error: " + err.Error()
	}
	name := e.Name
	if name == "" {
		name = "Error"
	}
	var flags []string
	for _, f := range []struct {
		on   bool
		name string
	}{{e.Remote, "remote"}, {e.Retryable, "retryable"}, {e.Overloaded, "overloaded"}, {e.ObjectReset, "durableObjectReset"}} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	text := name + ": " + e.Message
	if len(flags) > 0 {
		text += " {" + strings.Join(flags, ", ") + "}"
	}
	return text
}

// outcome is what a call came to that returns nothing else.
func outcome(err error) string {
	if err != nil {
		return complaint(err)
	}
	return "undefined"
}

func copyAll(w io.Writer, r io.Reader) error {
	_, err := io.Copy(w, r)
	return err
}
