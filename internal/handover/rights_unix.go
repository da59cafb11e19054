//go:build unix

package handover

import "syscall"

// socketPair makes two sockets that are connected and not inherited.
func socketPair() (fds [2]int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	return fds, err
}

func closeDescriptor(fd int) { syscall.Close(fd) }

// rightsSpace is how many bytes n descriptors take in a control message.
func rightsSpace(n int) int { return syscall.CmsgSpace(4 * n) }

func encodeRights(descriptors []int) []byte { return syscall.UnixRights(descriptors...) }

// decodeRights returns the descriptors that have come, also if there is an error.
func decodeRights(oob []byte) (descriptors []int, err error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return descriptors, err
		}
		descriptors = append(descriptors, fds...)
	}
	return descriptors, nil
}

// cutShort says whether the system could not pass all descriptors.
func cutShort(flags int) bool { return flags&syscall.MSG_CTRUNC != 0 }
