//go:build !linux

package clock

// Watch hears of the clock. Open makes one, where that is possible.
type Watch struct{}

// Open always fails.
func Open() (*Watch, error) { return nil, ErrUnsupported }

// Wait is never called.
func (*Watch) Wait() error { return ErrUnsupported }

// Close pairs with Open.
func (*Watch) Close() error { return nil }
