package main

import (
	"runtime/debug"
	"syscall"
)

// fewDescriptors is worth a warning: each socket is one, each open database
// three.
const fewDescriptors = 4096

// useMachine takes of the machine what it gives. The Go runtime has raised the
// soft limit of descriptors to the hard one before main; guests start with the
// old one.
func (r *runner) useMachine() {
	if limit := r.settings.Limits.Memory; limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		return
	}
	if files.Cur < fewDescriptors {
		r.log.Warn("few descriptors: about as many sockets can be connected; raise the limit of the service (ulimit -n, LimitNOFILE=)", "descriptors", files.Cur)
		return
	}
	r.log.Debug("descriptors", "descriptors", files.Cur)
}
