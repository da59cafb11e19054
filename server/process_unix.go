//go:build unix

package server

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// onChildren calls f when a process that this one has started is stopped, goes on
// or has ended, until the result is called.
func onChildren(f func()) (stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGCHLD)
	go func() {
		for range changed {
			f()
		}
	}()
	return func() {
		signal.Stop(changed) // nothing is sent any more when this returns
		close(changed)
	}
}

// runs says whether a process has not ended. One that has, and that its parent
// has not waited for, is still there by number.
func runs(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // proc(5): the name is in parentheses
	_, state, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	return err != nil || !ok || !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// mostDescriptors is how many descriptors this process may have; 0: any number.
func mostDescriptors() int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil || files.Cur >= math.MaxInt32 {
		return 0
	}
	return int(files.Cur)
}

// lowestFree is the descriptor that the next one to be opened will have, and so
// about the number of those that are open. fd is any.
func lowestFree(fd uintptr) int {
	syscall.ForkLock.RLock() // no guest shall inherit it
	defer syscall.ForkLock.RUnlock()
	d, err := syscall.Dup(int(fd))
	if err != nil {
		return math.MaxInt
	}
	syscall.Close(d)
	return d
}
