//go:build unix && !linux

package nodeguest

// stopped cannot be known here without a child process.
func stopped(int) bool { return false }
