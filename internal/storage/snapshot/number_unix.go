//go:build unix

package snapshot

import (
	"os"
	"syscall"
)

// fileNumber is what a file keeps when it changes, and another one of its name
// does not have.
func fileNumber(_ string, info os.FileInfo) (uint64, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(st.Ino), true
}
