package snapshot

import (
	"os"

	"golang.org/x/sys/windows"
)

// fileNumber is what a file keeps when it changes, and another one of its name
// does not have.
func fileNumber(path string, _ os.FileInfo) (uint64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	var about windows.ByHandleFileInformation
	if windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &about) != nil {
		return 0, false
	}
	return uint64(about.FileIndexHigh)<<32 | uint64(about.FileIndexLow), true
}
