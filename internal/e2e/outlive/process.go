package outlive

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"embed"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

//go:embed worker
var worker embed.FS

// process is a server, whichever of its processes serves.
type process struct {
	binary         string
	folder         string
	address, admin string
	scheme         string
	log            string // its file
	pid            int    // of the first: the group of all
	cmd            *exec.Cmd
	exited         chan struct{}
	last           upgraded
}

// waitLimit bounds every wait for a server to do something.
const waitLimit = 60 * time.Second

// start serves the worker of this package.
func start(ctx context.Context, c Config) (*process, error) {
	s := &process{scheme: cmp.Or(c.scheme, "http"), binary: c.Binary, folder: c.Folder, log: filepath.Join(c.Folder, "log"), exited: make(chan struct{})}
	project := filepath.Join(c.Folder, "project")
	files, err := fs.Sub(worker, "worker")
	if c.project != "" {
		files = os.DirFS(c.project)
	}
	if err == nil && !c.kept {
		err = os.CopyFS(project, files)
	}
	if err != nil {
		return nil, err
	}
	if s.address, err = runtimes.FreeAddr(); err == nil {
		s.admin, err = runtimes.FreeAddr()
	}
	if err != nil {
		return nil, err
	}
	out, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(c.Binary, "serve", "--listen", s.address, "--admin", s.admin,
		"--data", filepath.Join(c.Folder, "data"), "--node", c.Node, "--log-format", "json")
	cmd.Args = append(cmd.Args, c.args...)
	if !c.kept {
		cmd.Args = append(cmd.Args, project)
	}
	cmd.Dir = c.Folder
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.pid, s.cmd = cmd.Process.Pid, cmd
	go func() {
		cmd.Wait()
		close(s.exited)
	}()
	err = s.until(ctx, "the server answers", func() error {
		if s.exits() {
			return errors.New("it has ended")
		}
		_, err := s.get(s.url() + "/")
		return err
	})
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// exits says whether the first process has ended.
func (s *process) exits() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

func (s *process) url() string { return s.scheme + "://" + s.address }

// stop ends the whole process group.
func (s *process) stop() {
	syscall.Kill(-s.pid, syscall.SIGKILL)
	<-s.exited
}

func (s *process) until(ctx context.Context, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w; the end of its log:\n%s", what, err, s.tail())
		}
	}
}

func (s *process) tail() []byte {
	b, _ := os.ReadFile(s.log)
	return b[max(0, len(b)-4096):]
}

// fresh keeps no connections: they would belong to a process that ends.
var fresh = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // of tests
	Timeout:   waitLimit,
}

func (s *process) get(url string) ([]byte, error) {
	res, err := fresh.Get(url)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", url, res.Status, b)
	}
	return b, err
}

// deploy gives the code another version, sends it as people do, and returns when
// it serves.
func (s *process) deploy(ctx context.Context, version int) error {
	project := filepath.Join(s.folder, "project")
	path := filepath.Join(project, "src", "version.ts")
	if err := os.WriteFile(path, fmt.Appendf(nil, "export const version = %d;\n", version), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, s.binary, "deploy", project, "--to", s.admin).CombinedOutput(); err != nil {
		return fmt.Errorf("dormouse deploy: %w: %s", err, out)
	}
	return nil
}

// lines counts lines of the log that have some text.
func (s *process) lines(text string) int {
	b, _ := os.ReadFile(s.log)
	return bytes.Count(b, []byte(text))
}

func (s *process) guests() (pids []int, err error) {
	b, err := s.get("http://" + s.admin + "/api/guests")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Guests []struct {
			PID   int
			State string
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, err
	}
	for _, g := range answer.Guests {
		switch g.State {
		case "running":
		case "spare":
			continue
		default:
			return nil, fmt.Errorf("a guest is %s", g.State)
		}
		pids = append(pids, g.PID)
	}
	return pids, nil
}

// kill ends a guest and waits until there is another.
func (s *process) kill(ctx context.Context, rnd *rand.Rand) error {
	var pids []int
	err := s.until(ctx, "all guests run", func() (err error) {
		pids, err = s.guests()
		return err
	})
	if err != nil {
		return err
	}
	pid := pids[rnd.IntN(len(pids))]
	if err := syscall.Kill(pid, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
		return s.kill(ctx, rnd) // a deploy has just ended that one
	} else if err != nil {
		return err
	}
	return s.until(ctx, "another guest runs", func() error {
		now, err := s.guests()
		for _, p := range now {
			if p == pid {
				return errors.New("the one that was killed is listed")
			}
		}
		return err
	})
}

// upgraded is the answer to an upgrade.
type upgraded struct {
	Error   string
	PID     int
	Told    int `json:"sockets_told"`
	Cut     bool
	Silence float64 `json:"silence_seconds"`
	Steps   []struct {
		Step    string
		Seconds float64
	}
}

// upgrade has the same binary take over, and returns for how long the server says that
// it was silent.
func (s *process) upgrade(ctx context.Context) (time.Duration, error) { return s.upgradeTo(ctx, "") }

// upgradeTo is upgrade with a binary of the caller's choice.
func (s *process) upgradeTo(ctx context.Context, binary string) (time.Duration, error) {
	ask, err := json.Marshal(map[string]string{"binary": binary})
	if err != nil {
		return 0, err
	}
	res, err := fresh.Post("http://"+s.admin+"/api/upgrade", "application/json", bytes.NewReader(ask))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var answer upgraded
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s; the end of its log:\n%s", res.Status, answer.Error, s.tail())
	}
	s.last = answer
	err = s.until(ctx, "the successor serves", func() error {
		_, err := s.get(s.url() + "/")
		return err
	})
	return time.Duration(answer.Silence * float64(time.Second)), err
}

// reports are the messages of which the log says that they may be lost: by the
// tags of their sockets, one of which is the client's name, and by their numbers.
type reports struct {
	of      map[string]map[int]bool
	all     int // messages
	unnamed int // of them: those of which only the object is named
}

// reported counts them.
func (s *process) reported() int { return s.reports().all }

func (s *process) reports() (r reports) {
	r.of = make(map[string]map[int]bool)
	f, err := os.Open(s.log)
	if err != nil {
		return r
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Msg            string
			Events, Number int
			Tags           []string
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // not a line of the log: what the command prints
		}
		switch {
		case strings.HasPrefix(line.Msg, "event not finished"):
			r.all++
			for _, tag := range line.Tags {
				if r.of[tag] == nil {
					r.of[tag] = make(map[int]bool)
				}
				r.of[tag][line.Number] = true
			}
		case strings.HasPrefix(line.Msg, "events of sockets not finished"):
			r.all += line.Events
			r.unnamed += line.Events
		}
	}
	return r
}

// seen is a socket as its object sees it.
type seen struct {
	Tags       []string
	Attachment struct {
		Name      string
		Got, Sent int
	}
}

type state struct {
	Total   int
	Closed  int // the code of the last close
	Sockets []seen
}

func (s *process) look(object string) (v state, err error) {
	b, err := s.get(s.url() + "/" + object + "/sockets")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	return v, err
}
