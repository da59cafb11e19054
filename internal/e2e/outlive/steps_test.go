package outlive

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/e2e"
	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	wire "github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wsread"
)

// stepFile names, in the environment of a server, the file that says at which
// step the successor that is this test's own binary fails.
const stepFile = "OUTLIVE_STEP_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(stepFile); path != "" && os.Getenv("DORMOUSE_HANDOVER") != "" {
		step, _ := os.ReadFile(path)
		os.Exit(failAt(string(step)))
	}
	os.Exit(m.Run())
}

// steps are where a successor can fail before the point of no return.
var steps = []string{
	"started", "hello", "prepared", "first piece", "everything", "have", "yours", "refuse", "wrong total", "silent", "newer",
}

// failAt plays a successor up to a step.
func failAt(step string) int {
	l, err := handover.NewLink(os.NewFile(3, "handover"))
	if err != nil || step == "started" {
		return 1
	}
	say := func(k handover.Kind, v any) {
		b, _ := json.Marshal(v)
		l.Send(k, b)
	}
	hello := handover.Hello{Format: handover.Format, Oldest: handover.Oldest, Version: "test"}
	if step == "newer" {
		hello.Format, hello.Oldest = hello.Format+5, hello.Format+1
	}
	say(handover.HelloFrame, hello)
	l.Receive()
	if step == "hello" {
		return 1
	}
	if _, _, descriptors, err := l.Receive(); err == nil {
		handover.CloseAll(descriptors)
	}
	l.Send(handover.PreparedFrame, nil)
	if step == "prepared" {
		return 1
	}
	var total struct{}
	for {
		k, _, descriptors, err := l.Receive()
		if err != nil {
			return 2
		}
		handover.CloseAll(descriptors)
		switch {
		case k == handover.PieceFrame && step == "first piece":
			return 1
		case k == handover.PieceFrame:
			l.Send(handover.AckFrame, nil)
		case k == handover.EndFrame:
			switch step {
			case "everything":
				return 1
			case "refuse":
				l.Send(handover.RefuseFrame, []byte("I do not like it"))
				time.Sleep(time.Minute) // to be ended
			case "wrong total":
				say(handover.HaveFrame, total)
				time.Sleep(time.Minute)
			}
			return afterEverything(l, step)
		}
	}
}

// afterEverything knows the right total only from the state, which it has not
// read: so it is told by the file.
func afterEverything(l *handover.Link, step string) int {
	b, err := os.ReadFile(os.Getenv(stepFile) + ".total")
	if err != nil {
		return 3
	}
	l.Send(handover.HaveFrame, b)
	if step == "have" {
		return 1
	}
	l.Receive() // yours
	if step == "yours" {
		return 1 // without a word
	}
	time.Sleep(time.Minute)
	return 1
}

// TestUpgradeThatFails: wherever a successor fails before the point of no return,
// the old process serves on, with every socket.
func TestUpgradeThatFails(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "step")
	t.Setenv(stepFile, file)
	s, err := start(t.Context(), Config{Binary: e2e.Binary(t), Node: e2e.Node(t), Folder: filepath.Join(folder, "server")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(own, 0o755)
	var clients []*client
	for i := range 20 {
		clients = append(clients, &client{name: fmt.Sprint("c", i), object: fmt.Sprint("o", i%3), kind: "step"})
	}
	if err := dialAll(s.address, clients); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			if step == "silent" && os.Getenv("DORMOUSE_SOAK") == "" {
				t.Skip("it takes as long as a successor may be silent; make soak has it")
			}
			ask(t, clients, asked+1)
			asked += 2
			if err := os.WriteFile(file, []byte(step), 0o600); err != nil {
				t.Fatal(err)
			}
			writeTotal(t, s, file, step, own)
			_, err := s.upgradeTo(t.Context(), own)
			if err == nil {
				t.Fatal("the upgrade is said to have succeeded")
			}
			t.Log(strings.SplitN(err.Error(), "\n", 2)[0])
			ask(t, clients, asked)
			if s.exits() {
				t.Fatal("the old process has ended")
			}
		})
	}
	// And after all of them, one that does not fail.
	if _, err := s.upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, clients, asked+1)
	if err := s.until(t.Context(), "the old process has ended", func() error {
		if !s.exits() {
			return fmt.Errorf("it lives")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// writeTotal finds out what the server will hand over: from the refusal of a total
// that is wrong.
func writeTotal(t *testing.T, s *process, file, step, own string) {
	t.Helper()
	if step != "have" && step != "yours" && step != "silent" {
		return
	}
	if err := os.WriteFile(file, []byte("wrong total"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.upgradeTo(t.Context(), own)
	var o, n, d, m, a, b int
	if err != nil {
		text := err.Error()
		if i := strings.Index(text, "was given {"); i >= 0 {
			fmt.Sscanf(text[i:], "was given {Objects:%d Sockets:%d Descriptors:%d Mail:%d Alarms:%d Bytes:%d}", &o, &n, &d, &m, &a, &b)
		}
	}
	if b == 0 {
		t.Fatalf("no total in %v", err)
	}
	total, _ := json.Marshal(handover.Total{Objects: o, Sockets: n, Descriptors: d, Mail: m, Alarms: a, Bytes: b})
	if err := os.WriteFile(file+".total", total, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(step), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ask has every client say its n-th message and hear the answer to it.
func ask(t *testing.T, clients []*client, n int) {
	t.Helper()
	for _, c := range clients {
		c.conn.SetDeadline(time.Now().Add(waitLimit))
		if err := ws.WriteFrame(c.conn, ws.MaskFrameInPlace(ws.NewTextFrame(fmt.Append(nil, n)))); err != nil {
			t.Fatalf("socket %s: %v", c.name, err)
		}
	}
	for _, c := range clients {
		f, err := wsread.Frame(c.r)
		if want := fmt.Sprintf("%d %d 0", n, n); err != nil || string(f.Payload) != want {
			t.Fatalf("socket %s: got %q, %v, want %q", c.name, f.Payload, err, want)
		}
	}
}

// heir is a real successor whose predecessor is the test.
type heir struct {
	cmd     *exec.Cmd
	link    *handover.Link
	p       *handover.Predecessor
	exited  chan struct{}
	log     string
	data    string
	address string
	ln      *net.TCPListener
	lock    *os.File
}

func startHeir(t *testing.T) *heir {
	t.Helper()
	folder := t.TempDir()
	h := &heir{exited: make(chan struct{}), log: filepath.Join(folder, "log"), data: filepath.Join(folder, "data")}
	project := filepath.Join(folder, "project")
	if err := os.CopyFS(project, os.DirFS("worker")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.data, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.lock, err = os.Create(filepath.Join(h.data, "lock")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.lock.Close() })
	if err := syscall.Flock(int(h.lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.ln, h.address = ln.(*net.TCPListener), ln.Addr().String()
	t.Cleanup(func() { ln.Close() })
	admin, err := runtimes.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	link, file, err := handover.Pair()
	if err != nil {
		t.Fatal(err)
	}
	h.link, h.p = link, handover.NewPredecessor(link)
	t.Cleanup(link.Close)
	out, err := os.Create(h.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	h.cmd = exec.Command(e2e.Binary(t), "serve", project, "--data", h.data, "--node", e2e.Node(t), "--admin", admin)
	h.cmd.Stdout, h.cmd.Stderr = out, out
	h.cmd.ExtraFiles = []*os.File{file}
	h.cmd.Env = append(os.Environ(), handover.Environment(3))
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	go func() {
		h.cmd.Wait()
		close(h.exited)
	}()
	t.Cleanup(func() {
		syscall.Kill(-h.cmd.Process.Pid, syscall.SIGKILL)
		<-h.exited
		if t.Failed() {
			b, _ := os.ReadFile(h.log)
			t.Logf("the successor printed:\n%s", b)
		}
	})
	return h
}

// TestPredecessorThatDies: a successor whose predecessor dies before it has said
// "yours" ends and leaves the sockets alone; after that it serves.
func TestPredecessorThatDies(t *testing.T) {
	for _, step := range []string{"before hello", "hello", "prepared", "given", "yours"} {
		t.Run(step, func(t *testing.T) {
			h := startHeir(t)
			near, far := tcpPair(t)
			h.playTo(t, step, far)
			h.link.Close()
			if step == "yours" {
				far.Close() // the successor has its own
				c := &client{name: "taken", conn: near}
				h.talksTo(t, c)
				return
			}
			select {
			case <-h.exited:
			case <-time.After(waitLimit):
				t.Fatal("the successor lives on")
			}
			if h.cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("the successor ended with %v, want 1", h.cmd.ProcessState)
			}
			if _, err := far.Write([]byte("x")); err != nil {
				t.Errorf("the socket was shut: %v", err)
			}
		})
	}
}

// playTo is a predecessor that stops after a step.
func (h *heir) playTo(t *testing.T, step string, socket *net.TCPConn) {
	t.Helper()
	if step == "before hello" {
		return
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.p.Greet(handover.Hello{Version: "test", Worker: "outlive", Data: h.data, Incarnation: 100},
		handover.File{Name: "lock", Descriptor: int(h.lock.Fd())}, handover.File{Name: "listener:clients", Descriptor: descriptor(t, h.ln)})
	check(err)
	if step == "hello" {
		return
	}
	check(h.p.Prepared())
	if step == "prepared" {
		return
	}
	n := dormouse.Namespace("outlive-Line")
	o := &handover.Object{Key: dormouse.Key{Namespace: n, ID: n.IDFromName("theirs")}, Name: "theirs", HasName: true}
	attachment := mustSerialize(t)
	o.Sockets.Sockets = []hibernation.SavedSocket{{
		ID: 99<<32 | 1, Tags: []string{"taken"}, Attachment: attachment,
		Conn: &wire.Saved{Descriptor: descriptor(t, socket), Unsent: wire.AppendFrame(nil, wire.OpText, []byte("from before"))},
	}}
	_, err = h.p.Give(func(e *handover.Encoder) error { return e.Object(o) })
	check(err)
	if step == "given" {
		return
	}
	b, err := json.Marshal(handover.Farewell{Since: time.Now()})
	check(err)
	check(h.link.Send(handover.YoursFrame, b))
}

// talksTo hears what was unsent, and an answer.
func (h *heir) talksTo(t *testing.T, c *client) {
	t.Helper()
	c.conn.SetDeadline(time.Now().Add(waitLimit))
	if f, err := wsread.Frame(c.conn); err != nil || string(f.Payload) != "from before" {
		t.Fatalf("got %q, %v", f.Payload, err)
	}
	if err := ws.WriteFrame(c.conn, ws.MaskFrameInPlace(ws.NewTextFrame([]byte("8")))); err != nil {
		t.Fatal(err)
	}
	if f, err := wsread.Frame(c.conn); err != nil || string(f.Payload) != "8 4 0" {
		t.Fatalf("got %q, %v, want the counts of the attachment to go on", f.Payload, err)
	}
	other := &client{name: "new", object: "theirs", kind: "k"}
	if err := other.dial(h.address); err != nil {
		t.Fatal(err)
	}
	other.conn.Close()
}

// mustSerialize is {name: "taken", got: 7, sent: 3} as V8 writes it.
func mustSerialize(t *testing.T) []byte {
	t.Helper()
	out, err := exec.Command(e2e.Node(t), "-p", `require("v8").serialize({name:"taken",got:7,sent:3}).toString("latin1")`).Output()
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, r := range strings.TrimSuffix(string(out), "\n") {
		b = append(b, byte(r))
	}
	return b
}

func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// descriptor is one of its own for c; it goes with the test.
func descriptor(t *testing.T, c syscall.Conn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	raw.Control(func(p uintptr) { fd, err = syscall.Dup(int(p)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	return fd
}
