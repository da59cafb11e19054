package runtimes

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// FindDormouse returns the built command.
func FindDormouse() (string, error) {
	return findBinary("dormouse", "DORMOUSE_BIN", "bin/dormouse")
}

// StartDormouse serves w with Dormouse, with data in a folder of its own that
// goes when the server is stopped. An object left alone for hibernateAfter
// leaves memory.
func StartDormouse(ctx context.Context, w Worker, hibernateAfter time.Duration, more ...string) (*Server, error) {
	bin, err := FindDormouse()
	if err != nil {
		return nil, err
	}
	listen, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "dormouse-")
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"serve", w.Dir,
		"--listen", listen,
		"--admin", admin,
		"--data", filepath.Join(dir, "data"),
		"--hibernate-after", hibernateAfter.String(),
	}, more...)
	for _, other := range w.Others {
		args = append(args, other.Dir)
	}
	s, err := Start(exec.Command(bin, args...))
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	s.Addr, s.Admin = listen, admin
	s.cleanup = append(s.cleanup, func() { os.RemoveAll(dir) })
	if err := s.Ready(ctx, "/ready"); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}
