package nodeguest

import "syscall"

// processAttributes ends the child with the thread that starts it, and so with
// us, however we end.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
