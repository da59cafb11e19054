package kv

import "errors"

// Check says why there cannot be an entry with this key; nil: there can.
func Check(key string) error { return checkKey(key) }

// IsRefused says whether the cause of an error is what was asked for.
func IsRefused(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status < 500 || errors.Is(err, errTooLong)
}
