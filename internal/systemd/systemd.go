//go:build unix

// Package systemd speaks what little a service has to say to systemd, and takes
// the sockets that it has opened. Without systemd everything here does nothing.
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Things to say. sd_notify(3).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// MainPID says that another process is the service from now on.
func MainPID(pid int) string { return "MAINPID=" + strconv.Itoa(pid) }

// Notify says something to systemd.
func Notify(what ...string) error { return notify(strings.Join(what, "\n"), nil) }

// notifySocket names the socket that systemd listens at.
const notifySocket = "NOTIFY_SOCKET"

func notify(what string, rights []byte) error {
	name := os.Getenv(notifySocket)
	if name == "" {
		return nil
	}
	// Not by package net, which sends no descriptors over a connected datagram
	// socket.
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer syscall.Close(fd)
	if err := syscall.Sendmsg(fd, []byte(what), rights, &syscall.SockaddrUnix{Name: name}, 0); err != nil { // "@…" is an abstract name
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// Barrier waits until systemd has taken in what was said before, or for limit: a
// process that ends sooner may not be known any more when its words are read.
func Barrier(limit time.Duration) error {
	if os.Getenv(notifySocket) == "" {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = notify("BARRIER=1", syscall.UnixRights(int(w.Fd())))
	w.Close()
	if err != nil {
		return err
	}
	r.SetReadDeadline(time.Now().Add(limit))
	if _, err := r.Read(make([]byte, 1)); os.IsTimeout(err) {
		return fmt.Errorf("systemd has not answered within %v", limit)
	}
	return nil // the end: systemd has closed the other side
}

// firstListener is SD_LISTEN_FDS_START.
const firstListener = 3

// maxListeners bounds what is believed of LISTEN_FDS.
const maxListeners = 64

// Listeners returns the sockets that systemd has opened for this process, by their
// names (FileDescriptorName=), in order of their descriptors within a name. Only
// the first call finds them.
func Listeners() (map[string][]net.Listener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(v) // not for the processes that we start
	}
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxListeners {
		return nil, fmt.Errorf("LISTEN_FDS=%s: want a number up to %d", count, maxListeners)
	}
	list := make(map[string][]net.Listener)
	named := strings.Split(names, ":")
	for i := range n {
		f := os.NewFile(uintptr(firstListener+i), "listener")
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("socket %d of systemd: %w", i, err)
		}
		name := "unknown"
		if i < len(named) && named[i] != "" {
			name = named[i]
		}
		list[name] = append(list[name], l)
	}
	return list, nil
}
