//go:build unix && !linux

package nodeguest

import "syscall"

// processAttributes gives the child a process group. It notices our end by the
// end of its stream.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
