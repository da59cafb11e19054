package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/project"
)

// Options say how Dormouse is started.
type Options struct {
	Dir            string        // the project
	Data           string        // empty: a folder that goes with the test
	HibernateAfter time.Duration // zero: one second
	Kept           bool          // serve what Data keeps; Dir only says what that is
	More           []string      // further arguments
}

// Dormouse is a running server and its admin address.
type Dormouse struct {
	Target
	Admin string

	t      testing.TB
	server *runtimes.Server
	rooms  dormouse.Namespace // of the project's first class, if it has any
}

// StartDormouse serves a project. The server ends with the test, if not before.
func StartDormouse(t testing.TB, o Options) *Dormouse {
	t.Helper()
	bin := Binary(t)
	node := need[string](t)(findNode(t.Context()))
	config, err := project.Load(project.Options{Dir: o.Dir, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if o.Data == "" {
		o.Data = filepath.Join(t.TempDir(), "data")
	}
	if o.HibernateAfter == 0 {
		o.HibernateAfter = time.Second
	}
	d := &Dormouse{t: t}
	if len(config.Classes) > 0 {
		d.rooms = config.Namespace(config.Classes[0].Name)
	}
	listen, admin := freeAddr(t), freeAddr(t)
	d.Admin = "http://" + admin
	d.Target = Target{URL: "http://" + listen, HibernateAfter: o.HibernateAfter, Asleep: d.asleep}
	args := append([]string{
		"serve", o.Dir, "--listen", listen, "--admin", admin, "--data", o.Data,
		"--hibernate-after", o.HibernateAfter.String(), "--node", node,
	}, o.More...)
	if o.Kept {
		args = slices.Delete(args, 1, 2)
	}
	cmd := exec.Command(bin, args...)
	if o.Kept {
		cmd.Dir = t.TempDir()
	}
	d.server = startServer(t, cmd, listen, admin)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("dormouse printed:\n%s\nguests: %s\nobjects: %s", d.server.Log(), d.look("/api/guests"), d.look("/api/objects"))
		}
	})
	return d
}

// startDev runs `dormouse dev` until the test ends; it answers already.
func startDev(t testing.TB, args ...string) *runtimes.Server {
	t.Helper()
	listen, admin := freeAddr(t), freeAddr(t)
	args = append([]string{"dev", "--listen", listen, "--admin", admin, "--node", Node(t)}, args...)
	return startServer(t, exec.Command(Binary(t), args...), listen, admin)
}

// startServer runs a command until the test ends, and waits until it answers.
func startServer(t testing.TB, cmd *exec.Cmd, listen, admin string) *runtimes.Server {
	t.Helper()
	cmd.Env = plainEnv()
	s, err := runtimes.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.Addr, s.Admin = listen, admin
	if err := s.Ready(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	return s
}

// Kill ends the server as `kill -9` does, with nothing of it asked or told.
func (d *Dormouse) Kill() { d.end(syscall.SIGKILL) }

// Interrupt ends the server as Ctrl-C does.
func (d *Dormouse) Interrupt() { d.end(syscall.SIGINT) }

func (d *Dormouse) end(s syscall.Signal) {
	d.t.Helper()
	if err := syscall.Kill(d.server.PID(), s); err != nil {
		d.t.Fatal(err)
	}
	d.waitGone("dormouse", d.server.PID())
}

// GuestPIDs returns the processes in which objects run now.
func (d *Dormouse) GuestPIDs() []int {
	d.t.Helper()
	var answer struct {
		Guests []struct {
			PID   int    `json:"pid"`
			State string `json:"state"`
		} `json:"guests"`
	}
	if status, err := d.ask(d.t.Context(), "GET", "/api/guests", &answer); err != nil || status != http.StatusOK {
		d.t.Fatalf("GET /api/guests: status %d, %v", status, err)
	}
	var pids []int
	for _, g := range answer.Guests {
		if g.State == "running" && g.PID > 0 {
			pids = append(pids, g.PID)
		}
	}
	if len(pids) == 0 {
		d.t.Fatalf("no guest runs: %+v", answer)
	}
	return pids
}

// Hibernate makes a room leave memory, as soon as nothing runs in it.
func (d *Dormouse) Hibernate(room string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), limit)
	defer cancel()
	err := Until(ctx, "room "+room+" hibernates when told", func() (bool, error) {
		var answer json.RawMessage
		status, err := d.ask(ctx, "POST", d.object(room)+"/hibernate", &answer)
		if err == nil && status != http.StatusOK { // 409: what we heard was said by a handler that has not returned yet
			err = fmt.Errorf("status %d, %s", status, answer)
		}
		return err == nil, err
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *Dormouse) asleep(ctx context.Context, room string) (bool, error) {
	var answer struct {
		State string `json:"state"`
		Error string `json:"error"`
	}
	status, err := d.ask(ctx, "GET", d.object(room), &answer)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusOK:
		return answer.State == "hibernated" || answer.State == "inactive", nil
	default:
		return false, fmt.Errorf("room %s: status %d, %s", room, status, answer.Error)
	}
}

func (d *Dormouse) object(room string) string {
	return fmt.Sprintf("/api/objects/%s/%s", d.rooms, d.rooms.IDFromName(room))
}

// look returns what an operator sees, for somebody who reads a failure.
func (d *Dormouse) look(path string) string {
	var answer json.RawMessage
	if _, err := d.ask(context.Background(), "GET", path, &answer); err != nil {
		return err.Error()
	}
	return string(answer)
}

func (d *Dormouse) ask(ctx context.Context, method, path string, answer any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.Admin+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return 0, fmt.Errorf("%s %s: %w in %q", method, path, err, body)
	}
	return res.StatusCode, nil
}

// waitGone waits until a process has ended. A child that nobody has waited for
// has ended too.
func (d *Dormouse) waitGone(what string, pid int) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), limit)
	defer cancel()
	if err := Until(ctx, fmt.Sprintf("%s (process %d) has ended", what, pid), func() (bool, error) { return gone(pid) }); err != nil {
		d.t.Error(err)
	}
}

// gone reads the state out of proc(5), behind the name in parentheses.
func gone(pid int) (bool, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if os.IsNotExist(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, state, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	return ok && (state[0] == 'Z' || state[0] == 'X'), nil
}

// plainEnv is the environment without settings of Dormouse's: a test says all
// of them itself.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DORMOUSE_") })
}

func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := runtimes.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Binary is the command under test: $DORMOUSE_BIN, or what these sources make.
func Binary(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("DORMOUSE_BIN"); p != "" {
		return p
	}
	if _, err := os.Stat(filepath.Join(root(t), "cmd/dormouse/main.go")); err != nil {
		t.Skip("NOT TESTED: there is no cmd/dormouse yet")
	}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// build makes the command once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := runtimes.Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bin", "e2e", "dormouse")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/dormouse-dev/dormouse/cmd/dormouse").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build dormouse: %w\n%s", err, out)
	}
	return bin, nil
})
