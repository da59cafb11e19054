package crashtest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// TestKillKeepsWhatWasPromised kills the host, its guest, or both, again and
// again, at any moment: recovery included.
func TestKillKeepsWhatWasPromised(t *testing.T) {
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	node, err := project.FindNode(t.Context(), project.NodeSearch{Named: os.Getenv("DORMOUSE_NODE"), NamedBy: "DORMOUSE_NODE", Dir: root, Path: os.Getenv("PATH")})
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true, so this test must run: %v", err)
		}
		t.Skipf("NOT TESTED: %v", err)
	}
	blank := filepath.Join(t.TempDir(), "template.sqlite")
	if err := os.WriteFile(blank, template(t, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	kills := 12
	if os.Getenv("DORMOUSE_SOAK") != "" {
		kills = 400
	}
	r := &round{t: t, data: t.TempDir(), node: node.Path, blank: blank, within: 700 * time.Millisecond}
	total := 0
	for r.kills < kills || total == 0 {
		r.run()
		if t.Failed() {
			return
		}
		before := total
		total = 0
		for _, s := range r.promised {
			total += s.k
		}
		if total == before {
			r.within = min(2*r.within, 20*time.Second) // on a busy machine a guest starts slowly
		}
	}
	t.Logf("%d kills, %d commits promised and kept", r.kills, total)
}

// round is one life of a host, and what was promised in all of them.
type round struct {
	t        *testing.T
	data     string
	node     string
	blank    string
	within   time.Duration // of a guest's start it is killed
	kills    int
	promised [hostObjects]state
}

// run starts a host, kills until the host is dead, and looks at what is left.
func (r *round) run() {
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	// The host and its guests hold the other end: when it is closed, all are
	// dead.
	alive, held, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	defer alive.Close()
	host := exec.Command(self)
	host.Env = append(os.Environ(), hostData+"="+r.data, hostNode+"="+r.node, hostBlank+"="+r.blank)
	host.Stderr = os.Stderr
	host.ExtraFiles = []*os.File{held}
	out, err := host.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		r.t.Fatal(err)
	}
	held.Close()
	guests := make(chan int, 1000)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		r.listen(out, guests)
	}()
	r.kill(host.Process.Pid, guests)
	<-heard
	host.Wait()
	io.Copy(io.Discard, alive)
	r.look()
}

// listen notes what the host says.
func (r *round) listen(out io.Reader, guests chan<- int) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var i, pid int
		var s state
		line := lines.Text()
		if n, _ := fmt.Sscanf(line, "promised %d %d %d", &i, &s.life, &s.k); n == 3 {
			if !r.promised[i].before(s) {
				r.t.Errorf("object %d: promised %v after %v: something is lost", i, s, r.promised[i])
			}
			r.promised[i] = s
		} else if n, _ := fmt.Sscanf(line, "guest %d", &pid); n == 1 {
			guests <- pid
		} else if strings.HasPrefix(line, "error") {
			r.t.Error(line)
		}
	}
}

// kill kills guests and at last the host.
func (r *round) kill(host int, guests <-chan int) {
	die := func(pid int) {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			r.kills++
		}
	}
	if rand.IntN(4) == 0 {
		<-time.After(time.Duration(rand.IntN(30)) * time.Millisecond) // while it recovers
		die(host)
		return
	}
	for {
		select {
		case pid := <-guests:
			<-time.After(rand.N(r.within))
			switch rand.IntN(5) {
			case 0:
				die(host) // and the guest ends itself
				return
			case 1: // both, at about the same time
				die(host)
				die(pid)
				return
			case 2:
				die(pid)
				die(host)
				return
			}
			die(pid) // the host starts another one
		case <-time.After(30 * time.Second):
			r.t.Error("the host does not start another guest")
			die(host)
			return
		}
	}
}

// look recovers and checks what was promised.
func (r *round) look() {
	engine, recovery, err := journal.Open(r.data, journal.Options{SegmentBytes: 1 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	wakes := make(map[dormouse.Key]storage.Wake)
	for key, w := range engine.Wakes() {
		wakes[key] = w
	}
	if err := engine.Close(); err != nil {
		r.t.Error(err)
	}
	if len(recovery.Missing) > 0 {
		r.t.Errorf("missing: %v", recovery.Missing)
	}
	for i, promised := range r.promised {
		key := hostKey(i)
		got, err := check(r.data, key, hostSeed(i))
		if err != nil {
			r.t.Errorf("object %d: %v", i, err)
		}
		if got.before(promised) {
			r.t.Errorf("object %d: got %v, promised %v", i, got, promised)
		}
		if at := alarmOf(got.k); got == promised && !at.IsZero() && (wakes[key].At.IsZero() || wakes[key].At.After(at)) {
			r.t.Errorf("object %d: alarm %v, index says %v", i, at, wakes[key].At)
		}
		r.promised[i] = got // what is found may grow on
	}
}
