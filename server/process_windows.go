package server

import (
	"errors"

	"golang.org/x/sys/windows"
)

// runs says whether a process has not ended.
func runs(pid int) bool {
	p, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	defer windows.CloseHandle(p)
	ended, err := windows.WaitForSingleObject(p, 0)
	return err != nil || ended != windows.WAIT_OBJECT_0
}

// onChildren does nothing: no guests run here.
func onChildren(func()) (stop func()) { return func() {} }

// mostDescriptors: handles are bound by memory alone.
func mostDescriptors() int { return 0 }

// lowestFree is not asked where descriptors have no bound.
func lowestFree(uintptr) int { return 0 }

// duplicate is for hand-overs, which there are none of.
func duplicate(int) (int, error) { return 0, errors.ErrUnsupported }
