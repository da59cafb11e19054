// Package clock tells when somebody sets the clock of the machine, or the machine
// has slept, without looking again and again. It never sees what follows the
// clock.
package clock

import "errors"

// ErrUnsupported is wrapped by what Open returns where the system does not tell.
var ErrUnsupported = errors.New("the system does not tell when its clock is set")
