package clock

import (
	"errors"
	"os"
	"testing"
)

// TestWatchWaitsUntilItIsClosed: the clock of this machine is not ours to set, so
// what can be seen is that the system takes the question, and that the end of it
// is heard.
func TestWatchWaitsUntilItIsClosed(t *testing.T) {
	w, err := Open()
	if errors.Is(err, ErrUnsupported) {
		t.Skip("NOT TESTED: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() {
		err := w.Wait()
		for err == nil { // somebody has set it just now
			err = w.Wait()
		}
		over <- err
	}()
	w.Close()
	if err := <-over; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want that it is closed", err)
	}
}
