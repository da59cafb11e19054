package server

import "testing"

// TestIncarnationsInAnyOrder: a spare guest is ready after others that were
// started later. Its sockets must be found.
func TestIncarnationsInAnyOrder(t *testing.T) {
	var i incarnations
	for _, n := range []uint32{3, 4, 8, 7, 1, 8} {
		i.add(n)
	}
	for n := range uint32(10) {
		want := n == 1 || n == 3 || n == 4 || n == 7 || n == 8
		if i.has(n) != want {
			t.Errorf("guest %d: got %v, want %v (of %v)", n, i.has(n), want, i.list)
		}
	}
}
