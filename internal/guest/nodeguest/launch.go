//go:build unix

package nodeguest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// Command says how to start a guest.
type Command struct {
	Node   string        // path of the Node binary
	Args   []string      // flags, then the file to run
	Dir    string        // working directory
	Config []byte        // JSON of the hello frame
	Memory int64         // bytes that the process may occupy; 0: no limit
	Stall  time.Duration // how long code may run in it without a pause; 0: for ever
	// Snapshots says where a process that takes too much memory leaves a heap snapshot.
	Snapshots Snapshots
	// Version names the code that it runs, for people.
	Version string
	Code    *guest.Code // what it runs, for the host; nil: what the host was made with
}

// threads starts processes from one operating system thread that never ends: a
// child that shall die with its parent dies with the thread that made it.
var threads = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// onThread runs f there and waits.
func onThread(f func()) {
	done := make(chan struct{})
	threads() <- func() { f(); close(done) }
	<-done
}

// launch starts a process and puts its stream into the loop. It is called on a
// goroutine of its own. The process begins with an empty environment, in a
// process group of its own.
func launch(c Command, held *os.File, incarnation uint32, l *loop.Loop, h Host, log *slog.Logger) (*Process, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		syscall.ForkLock.RUnlock()
		return nil, fmt.Errorf("socket pair for a guest: %w", err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	syscall.ForkLock.RUnlock()
	for _, fd := range fds { // larger batches; the system may give less
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 1<<20)
	}
	theirs := os.NewFile(uintptr(fds[1]), "guest")
	seen, file, err := newMarks()
	if err != nil {
		syscall.Close(fds[0])
		theirs.Close()
		return nil, err
	}
	cmd := exec.Command(c.Node, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{theirs, file}
	if held != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, held)
	}
	cmd.SysProcAttr = processAttributes()
	cmd.WaitDelay = outputDelay
	began := time.Now()
	said := &output{log: log, guest: incarnation}
	cmd.Stdout, cmd.Stderr = said.writer(slog.LevelInfo), said.writer(slog.LevelWarn)
	onThread(func() { err = cmd.Start() })
	theirs.Close()
	file.Close()
	if err != nil {
		syscall.Close(fds[0])
		seen.close()
		return nil, fmt.Errorf("start %s: %w", c.Node, err)
	}
	p := &Process{
		incarnation: incarnation, loop: l, host: h, version: c.Version,
		done: make(chan error, 1), exited: make(chan struct{}),
		PID: cmd.Process.Pid, code: c.Code, limit: hardBacklog,
	}
	p.out.marks = seen
	p.memory = memory{p: p, limit: c.Memory, snapshots: c.Snapshots.Folder != ""}
	p.stall = newStall(p, c.Stall)
	p.kill = sync.OnceFunc(func() { syscall.Kill(-p.PID, syscall.SIGKILL) })
	go func() {
		err := cmd.Wait()
		p.kill() // its children, if it had any
		said.close()
		snapshot := c.Snapshots.collect(p.PID, incarnation, began, log)
		l.Post(func() {
			p.memory.snapshot = snapshot
			p.outside = p.outside || p.failed == nil && killed(err)
			p.ended(exitError(err, said.last()))
		})
		close(p.exited)
	}()
	var opened error
	ok := l.Call(func() {
		if p.stream, opened = open(fds[0], l, p); opened == nil {
			p.out.Hello(incarnation, c.Config)
		}
	})
	if !ok {
		syscall.Close(fds[0])
		opened = errors.New("the loop has stopped")
	}
	if opened != nil {
		p.kill()
		<-p.exited
		return nil, opened
	}
	return p, nil
}

// killed says whether a process was ended by a signal that nothing in it sends
// by mistake.
func killed(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGKILL || status.Signal() == syscall.SIGTERM)
}

// exitError says how a process ended, with the last words it wrote.
func exitError(err error, last string) error {
	what := "ended"
	if err != nil {
		what = err.Error()
	}
	if last != "" {
		return fmt.Errorf("guest process: %s: %s", what, last)
	}
	return fmt.Errorf("guest process: %s", what)
}

// output passes on what a guest writes outside the protocol, line by line, and
// remembers the last lines for the reason of its death.
type output struct {
	log   *slog.Logger
	guest uint32
	pipes []io.Closer
	wait  sync.WaitGroup

	mu   sync.Mutex // guards the following
	tail []string
}

const (
	maxLine   = 16 << 10
	tailLines = 20
	tailBytes = 8 << 10
	// outputDelay is how long the output of a process that has ended may stay
	// open: a child of it may have it.
	outputDelay = time.Second
)

func (o *output) writer(level slog.Level) io.Writer {
	r, w := io.Pipe()
	o.pipes = append(o.pipes, w)
	o.wait.Go(func() {
		lines := bufio.NewReaderSize(r, maxLine)
		for {
			line, err := lines.ReadSlice('\n') // a longer line comes in pieces
			if text := strings.TrimRight(string(line), "\r\n"); text != "" {
				o.say(level, text)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	})
	return w
}

func (o *output) say(level slog.Level, line string) {
	o.mu.Lock()
	o.tail = append(o.tail, line)
	if len(o.tail) > tailLines {
		o.tail = o.tail[1:]
	}
	o.mu.Unlock()
	o.log.Log(context.Background(), level, line, "guest", o.guest)
}

func (o *output) close() {
	for _, p := range o.pipes {
		p.Close()
	}
	o.wait.Wait()
}

// last returns the end of what was written.
func (o *output) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := strings.Join(o.tail, "\n")
	return strings.ToValidUTF8(last[max(0, len(last)-tailBytes):], "")
}
