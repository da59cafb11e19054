//go:build unix

package nodeguest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guesttest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// patience is how long anything may take before it counts as never.
const patience = 20 * time.Second

// rig is a slot with a host that writes down what it hears.
type rig struct {
	t    *testing.T
	host *guesttest.Host
	loop *loop.Loop
	slot *Slot
	log  *lines
	how  atomic.Value // the next guest's name
	next atomic.Uint32
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.b.String(), "\n"), "\n")
}

// socket is an end of an object in these tests.
const socket = dormouse.SocketID(1<<32 | 2)

func newRig(t *testing.T, how string) *rig {
	t.Helper()
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, host: guesttest.NewHost(), loop: l, log: new(lines)}
	r.how.Store(how)
	r.slot = NewSlot(SlotConfig{
		Loop: l, Host: r.host, Next: &r.next,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Command: func() Command {
			return Command{Node: os.Args[0], Args: []string{"as-guest", r.how.Load().(string)}, Config: []byte(`{}`)}
		},
	})
	l.Start()
	return r
}

// start starts the slot and returns what its first guest comes to.
func (r *rig) start() error {
	first := make(chan error, 1)
	r.slot.Start(first)
	return <-first
}

// begin is a rig whose first guest runs, with an object that has a socket.
func begin(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, "good")
	r.host.OnReady = func(g guest.Guest) {
		g.Start(guest.Activation{Object: 1, Sockets: []guest.Socket{{ID: socket}}})
	}
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	r.wait("started 1", 0)
	return r
}

func (r *rig) stop() {
	r.slot.Stop()
	r.loop.Stop()
}

// say tells the latest guest something over its socket.
func (r *rig) say(texts ...string) {
	guests := r.host.Guests()
	g := guests[len(guests)-1]
	r.loop.Call(func() {
		book := g.(guest.Bookkeeper).Ledger(1)
		for i, text := range texts {
			book.Next(uint32(i+1), 0)
			g.Message(socket, true, []byte(text))
		}
	})
}

// wait waits for a line from a guest.
func (r *rig) wait(prefix string, skip int) string {
	r.t.Helper()
	line, ok := r.host.Wait(prefix, skip, patience)
	if !ok {
		r.t.Fatalf("%q has not come; heard\n\t%s\nlogged\n\t%s", prefix, strings.Join(r.host.Heard(), "\n\t"), strings.Join(r.log.all(), "\n\t"))
	}
	return line
}

// until waits for a condition.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: never", what)
		}
	}
}

func TestMessagesBothWays(t *testing.T) {
	r := begin(t)
	r.say("echo hello", "echo "+strings.Repeat("x", 3<<20), "echo again")
	r.wait("send 1.2 text hello", 0)
	r.wait("send 1.2 text 3145728 bytes", 0)
	r.wait("send 1.2 text again", 0)
	r.wait("progress 1 begun 3 finished 3 tasks 0", 0)
	if d := described(r.slot); d.State != "running" || d.ID != 1 || d.PID == 0 || d.Restarts != 0 {
		t.Errorf("described as %+v", d)
	}
}

// notFit is what comes of guests that do not start, by their names.
var notFit = map[string]string{
	"version": "guest speaks version 2 of the guest protocol, this Dormouse version 1",
	"unfit":   "SyntaxError: Unexpected token",
	"dies":    "guest process: exit status 7: last words",
	"garbage": "frame of 1347703880 bytes; the limit is 50331648",
}

// TestFirstGuestFails: the reason comes back, for each way to fail.
func TestFirstGuestFails(t *testing.T) {
	for how, want := range notFit {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, how)
			defer r.stop()
			err := r.start()
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if heard := r.host.Heard(); len(heard) != 1 || !strings.HasPrefix(heard[0], "gone 1:") {
				t.Errorf("the host heard %q", heard)
			}
		})
	}
	t.Run("no such file", func(t *testing.T) {
		r := newRig(t, "good")
		defer r.stop()
		r.slot.command = func() Command { return Command{Node: "/nonexistent/node"} }
		if err := r.start(); err == nil || !strings.Contains(err.Error(), "start /nonexistent/node") {
			t.Errorf("got %v", err)
		}
	})
}

// TestDeathIsFollowedByALife: what the guest said last is heard, then its end,
// and another one comes.
func TestDeathIsFollowedByALife(t *testing.T) {
	r := begin(t)
	r.say("exit", "echo not begun")
	r.wait("gone 1: guest process: exit status 3", 0)
	r.wait("started 1", 1)
	heard := r.host.Heard()
	want := []string{"ready 1", "started 1", "send 1.2 text last send", "begun message 1.2 exit", "not begun message 1.2 echo not begun",
		"gone 1: guest process: exit status 3", "ready 2", "started 1"}
	if !slices.Equal(heard, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(heard, "\n\t"), strings.Join(want, "\n\t"))
	}
	r.until("it runs", func() bool { return described(r.slot).State == "running" })
	if d := described(r.slot); d.ID != 2 || d.Restarts != 1 || !strings.Contains(d.Why, "exit status 3") {
		t.Errorf("described as %+v", d)
	}
}

// TestLastWordsOfManyBytes: a guest may die with more in its stream than we read
// in one round.
func TestLastWordsOfManyBytes(t *testing.T) {
	for range 5 {
		r := begin(t)
		r.say("say-much-and-exit 5000")
		r.wait("gone 1:", 0)
		n := 0
		for _, line := range r.host.Heard() {
			if strings.HasPrefix(line, "send ") {
				n++
			}
		}
		if n != 5001 {
			t.Errorf("%d of its 5001 last sends were heard", n)
		}
	}
}

// TestBadFrameEndsTheGuest, and not us: the reason names the frame.
func TestBadFrameEndsTheGuest(t *testing.T) {
	r := begin(t)
	r.say("garbage", "echo not heard any more")
	if line := r.wait("gone 1:", 0); line != "gone 1: guest frame 0xee: unknown type" {
		t.Errorf("got %s", line)
	}
	r.wait("ready 2", 0)
}

// TestStreamIsClosed by a guest that goes on living: it is ended.
func TestStreamIsClosed(t *testing.T) {
	r := begin(t)
	r.say("close-stream")
	r.wait("gone 1: guest process: signal: killed", 0)
	r.wait("ready 2", 0)
}

// TestNothingIsWrittenToAStreamThatWasClosed: its descriptor may be somebody
// else's by then, a client's for example.
func TestNothingIsWrittenToAStreamThatWasClosed(t *testing.T) {
	r := begin(t)
	g := r.host.Guests()[0].(*Process)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	r.loop.Call(func() {
		g.hungUp()
		// The system gives out the lowest number that is free.
		for range 64 {
			fd, err := syscall.Dup(int(write.Fd()))
			if err != nil {
				t.Error(err)
				return
			}
			defer syscall.Close(fd)
		}
		g.Message(socket, true, []byte("a secret of another client"))
		g.flush()
	})
	write.Close()
	b := make([]byte, 100)
	if n, _ := read.Read(b); n > 0 {
		t.Errorf("%q was written to a descriptor of somebody else", b[:n])
	}
}

// TestAGuestThatDoesNotRead is ended when far too much waits for it.
func TestAGuestThatDoesNotRead(t *testing.T) {
	r := begin(t)
	g := r.host.Guests()[0].(*Process)
	r.loop.Call(func() { g.limit = 8 << 20 })
	r.say("stop-reading")
	chunk := strings.Repeat("x", 1<<20)
	for range 20 {
		r.say(chunk)
	}
	if line := r.wait("gone 1:", 0); !strings.Contains(line, "MiB unread") {
		t.Errorf("got %s", line)
	}
}

// TestRestartsHavePauses: each life that does not last is followed by a longer
// wait; what waits is told why there is nobody.
func TestRestarts(t *testing.T) {
	r := begin(t)
	r.how.Store("dies")
	r.say("exit")
	r.wait("unfit The Worker cannot be started: guest process: exit status 7: last words", 1)
	r.how.Store("good")
	r.wait("started 1", 1)
	if d := described(r.slot); d.Restarts < 3 || int(d.ID) != d.Restarts+1 {
		t.Errorf("described as %+v", d)
	}
	r.until("it runs", func() bool { return described(r.slot).State == "running" })
}

// TestOutputGoesToTheLog, line by line, and no line is longer than it may be.
func TestOutputGoesToTheLog(t *testing.T) {
	r := newRig(t, "prints")
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	r.until("the last line", func() bool { return strings.Contains(strings.Join(r.log.all(), "\n"), "xxx") })
	r.stop()
	all := strings.Join(r.log.all(), "\n")
	for _, want := range []string{`level=INFO msg="to standard output" guest=1`, `level=WARN msg="to standard error" guest=1`, `level=INFO msg="an end without a line" guest=1`} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not in the log", want)
		}
	}
	longest, xs := 0, 0
	for _, line := range r.log.all() {
		longest = max(longest, len(line))
		xs += strings.Count(line, "x")
	}
	if longest > maxLine+200 {
		t.Errorf("a line has %d bytes", longest)
	}
	if xs != 100<<10 {
		t.Errorf("%d of %d bytes were logged", xs, 100<<10)
	}
}

// TestEnvironmentIsEmpty but for what is given.
func TestEnvironmentIsEmpty(t *testing.T) {
	t.Setenv("DORMOUSE_TEST_SECRET", "x")
	r := newRig(t, "environment")
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	r.until("the line", func() bool { return strings.Contains(strings.Join(r.log.all(), "\n"), "variables") })
	r.stop()
	if all := strings.Join(r.log.all(), "\n"); !strings.Contains(all, `"0 variables `) {
		t.Errorf("logged\n%s", all)
	}
}

// TestStop leaves no process and no goroutine, whatever the guest was doing.
func TestStop(t *testing.T) {
	before := goleak.IgnoreCurrent()
	threads() // the one that goes on
	for _, how := range []string{"good", "silent", "dies", "prints"} {
		r := newRig(t, how)
		first := make(chan error, 1)
		r.slot.Start(first)
		if how == "good" {
			<-first
		}
		if how == "silent" {
			r.until("it starts", func() bool { return described(r.slot).PID != 0 })
		}
		r.stop()
		if pid := described(r.slot).PID; pid != 0 && alive(pid) {
			t.Errorf("%s: process %d goes on", how, pid)
		}
		r.stop() // and may be called again
	}
	goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("github.com/dormouse-dev/dormouse/internal/guest/nodeguest.init.func1.1"))
}

// TestReplace: a new guest beside the old one, which ends when it is ready, and
// runs on when it is not.
func TestReplace(t *testing.T) {
	r := begin(t)
	if err := r.slot.Replace(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.wait("ready 2", 0)
	r.wait("gone 1:", 0)
	for how, want := range notFit {
		r.how.Store(how)
		if err := r.slot.Replace(context.Background()); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", how, err, want)
		}
	}
	r.say("echo still here")
	r.wait("send 1.2 text still here", 0)
	if d := described(r.slot); d.State != "running" || d.ID != 2 {
		t.Errorf("described as %+v", d)
	}
}

// TestAChildOfAGuestHoldsNothingUp: it ends with the guest, and if it does not
// its inherited output does not keep us waiting.
func TestAChildOfAGuest(t *testing.T) {
	r := newRig(t, "parent-of")
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	pid := described(r.slot).PID
	r.stop()
	if runtime.GOOS == "linux" {
		r.until("the group is gone", func() bool { return !groupAlive(pid) })
	}
}

// described is the guest for everything.
func described(s *Slot) (g admin.Guest) {
	for _, g = range s.Describe() {
		break
	}
	return g
}

// beParent is a process that runs a slot until it is killed.
func beParent() {
	l, err := loop.New()
	if err != nil {
		panic(err)
	}
	var next atomic.Uint32
	s := NewSlot(SlotConfig{
		Loop: l, Host: guesttest.NewHost(), Next: &next, Log: slog.New(slog.DiscardHandler),
		Command: func() Command {
			return Command{Node: os.Args[0], Args: []string{"as-guest", os.Args[2]}, Config: []byte(`{}`)}
		},
	})
	l.Start()
	first := make(chan error, 1)
	s.Start(first)
	if os.Args[2] == "good" {
		<-first
	}
	for described(s).PID == 0 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(described(s).PID)
	select {}
}

// TestNoOrphan: a guest ends with us, however we end, also one that does not
// look at its stream.
func TestNoOrphan(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process with its parent")
	}
	for _, how := range []string{"good", "silent"} {
		cmd := exec.Command(os.Args[0], "as-parent", how)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := out.Read(b)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
		if pid == 0 {
			cmd.Process.Kill()
			t.Fatalf("%s: no guest: %q, %v", how, b[:n], err)
		}
		if !alive(pid) {
			t.Errorf("%s: guest %d does not run", how, pid)
		}
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		r := rig{t: t}
		r.until(how+": the guest is gone", func() bool { return !alive(pid) })
	}
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	if runtime.GOOS != "linux" {
		return syscall.Kill(pid, 0) == nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// groupAlive says whether a process group has a process that runs.
func groupAlive(pgid int) bool {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || !alive(pid) {
			continue
		}
		if g, err := syscall.Getpgid(pid); err == nil && g == pgid {
			return true
		}
	}
	return false
}
