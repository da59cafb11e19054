package nodeguest

import (
	"bytes"
	"fmt"
	"os"
)

// stopped says whether a signal has stopped a process; proc(5), the state behind
// the name in parentheses.
func stopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := bytes.TrimSpace(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(state) > 0 && (state[0] == 'T' || state[0] == 't')
}
