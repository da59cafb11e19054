// Package runtimes starts servers that can serve the same Worker: Dormouse,
// and workerd from npm beside it. It knows how each is found, told what to
// serve, and ended; what is asked of them is the caller's.
package runtimes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// ErrNotHere is returned when a runtime is not on this machine. Its text says
// where it was looked for, so a caller may skip the runtime and print it.
var ErrNotHere = errors.New("not here")

// Limits of a server's life. Generous: the machine may be busy with a build.
const (
	startLimit = 30 * time.Second
	stopLimit  = 5 * time.Second
	logBytes   = 64 << 10 // the end of a server's output that an error shows
)

// Server is one running server and the processes below it.
type Server struct {
	Addr  string // where it serves, "127.0.0.1:port"
	Admin string // Dormouse's admin address; empty for the others

	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when the process has been waited for

	data string // workerd's folder

	stopOnce sync.Once
	cleanup  []func()
}

// PID is the root of the server's process tree.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log returns the end of what the server has printed.
func (s *Server) Log() string { return s.log.String() }

// AtStop has f called when the server has ended.
func (s *Server) AtStop(f func()) { s.cleanup = append(s.cleanup, f) }

// Stop ends the server and waits for it: first by asking, then with its whole
// process group.
func (s *Server) Stop() { s.stop(stopLimit) }

func (s *Server) stop(patience time.Duration) {
	s.stopOnce.Do(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(patience):
		}
		// The group's number stays ours until the leader was waited for; after
		// that only a group that still has members can be reached by it.
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
		for _, f := range s.cleanup {
			f()
		}
	})
}

// Start runs cmd in a process group of its own. The caller sets Addr and waits
// with Ready.
func Start(cmd *exec.Cmd) (*Server, error) {
	s := &Server{cmd: cmd, log: new(tail), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := startOnLastingThread(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	go func() {
		cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// starter runs on one thread for the life of this process. The kernel sends a
// child its parent-death signal when the thread that forked it ends, and Go
// ends threads, so children are forked from one that stays.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startOnLastingThread(cmd *exec.Cmd) error {
	err := make(chan error)
	starter() <- func() { err <- cmd.Start() }
	return <-err
}

// Ready waits until the server answers GET path with 200.
func (s *Server) Ready(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	for {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Addr+path, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err == nil {
			body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("GET %s: %s: %s", path, res.Status, bytes.TrimSpace(body))
		}
		last = err
		select {
		case <-s.done:
			return fmt.Errorf("%s ended before it served (%v); it printed:\n%s", filepath.Base(s.cmd.Path), s.cmd.ProcessState, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w; it printed:\n%s", filepath.Base(s.cmd.Path), last, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// FreeAddr returns a loopback address that was free a moment ago.
func FreeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// Root returns the top folder of this repository, so that the commands work
// from any folder of it.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod above %s: run this inside the repository", dir)
		}
	}
}

// findBinary returns $env if set, else the first of names (relative to the
// repository's root) that exists.
func findBinary(what, env string, names ...string) (string, error) {
	if p := os.Getenv(env); p != "" {
		if _, err := os.Stat(p); err != nil {
			return "", fmt.Errorf("%s: %s names %s: %w", what, env, p, err)
		}
		return filepath.Abs(p)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		p := filepath.Join(root, name)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is %w: looked in %v; build or install it, or set %s", what, ErrNotHere, names, env)
}

// tail keeps the last logBytes of what is written to it.
type tail struct {
	mu  sync.Mutex // guards the following
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*logBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-logBytes:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf[max(0, len(t.buf)-logBytes):])
}
