package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/systemd"
	"github.com/dormouse-dev/dormouse/server"
)

// Names of the listeners that go from process to process.
const (
	clientsListener = "clients"
	adminListener   = "admin"
)

// upgrader has successors take over from a server.
type upgrader struct {
	server    *server.Server
	listeners map[string]net.Listener
	patience  time.Duration // for what is in progress
	log       *slog.Logger
	done      chan struct{} // closed when a successor serves

	mu sync.Mutex // held by an upgrade
}

// upgrade starts binary, or what now lies where this process's own was, and gives
// it everything. After an error this process serves on.
func (u *upgrader) upgrade(ctx context.Context, binary string) (admin.Upgrade, error) {
	if !u.mu.TryLock() {
		return admin.Upgrade{}, fmt.Errorf("%w: an upgrade is in progress", admin.ErrNoUpgrade)
	}
	defer u.mu.Unlock()
	select {
	case <-u.done:
		return admin.Upgrade{}, fmt.Errorf("%w: another process serves already", admin.ErrNoUpgrade)
	default:
	}
	path, err := successorBinary(binary)
	if err != nil {
		return admin.Upgrade{}, fmt.Errorf("%w: %w", admin.ErrNoUpgrade, err)
	}
	u.log.Info("upgrade: starting a successor", "binary", path)
	link, theirs, err := handover.Pair()
	if err != nil {
		return admin.Upgrade{}, err
	}
	defer link.Close()
	cmd := exec.Command(path, os.Args[1:]...)
	cmd.Env = successorEnvironment(os.Environ())
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return admin.Upgrade{}, err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	end := sync.OnceFunc(func() {
		cmd.Process.Kill()
		<-exited
	})
	m, err := u.server.HandOver(ctx, handover.NewPredecessor(link), version, u.patience, u.listeners, end)
	if err != nil {
		return admin.Upgrade{}, err
	}
	u.log.Info("upgrade: the successor serves", "process", cmd.Process.Pid, "version", m.Version, "objects", m.Objects,
		"sockets", m.Descriptors, "told", m.Told, "cut", m.Cut, "silence", m.Silence)
	if err := errors.Join(systemd.Notify(systemd.MainPID(cmd.Process.Pid)), systemd.Barrier(5*time.Second)); err != nil {
		u.log.Warn("upgrade", "reason", err)
	}
	close(u.done)
	done := admin.Upgrade{
		PID: cmd.Process.Pid, Version: m.Version, Objects: m.Objects, Sockets: m.Descriptors,
		Told: m.Told, Cut: m.Cut, Silence: m.Silence.Seconds(),
	}
	for _, s := range m.Steps {
		done.Steps = append(done.Steps, admin.UpgradeStep{Step: s.Name, Seconds: s.Took.Seconds()})
	}
	return done, nil
}

// successorBinary is the file that an upgrade starts. Whoever may ask for one need
// not be the user that we run as, so a file of others is refused.
func successorBinary(path string) (string, error) {
	if os.Getpid() == 1 {
		return "", errors.New("this is process 1, and with it its container would end; start a new container in its place")
	}
	if path == "" {
		own, err := os.Executable()
		return strings.TrimSuffix(own, " (deleted)"), err
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("the binary's path must be absolute: %q", path)
	}
	i, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	owner, ok := i.Sys().(*syscall.Stat_t)
	switch {
	case !i.Mode().IsRegular() || i.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s is no program", path)
	case !ok || owner.Uid != 0 && int(owner.Uid) != os.Getuid():
		return "", fmt.Errorf("%s belongs to another user; it must be root's, or that of the user that Dormouse runs as", path)
	case i.Mode()&0o022 != 0:
		return "", fmt.Errorf("others may write to %s; `chmod go-w` it", path)
	}
	return path, nil
}

// successorEnvironment is ours without what is for one process only.
func successorEnvironment(env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "LISTEN_PID" || name == "LISTEN_FDS" || name == "LISTEN_FDNAMES"
	})
	return append(env, handover.Environment(3))
}

// inherit finds out whether we are a successor, and greets the predecessor.
func inherit() (*handover.Successor, error) {
	heir, err := handover.Inherited()
	if err != nil || heir == nil {
		return nil, err
	}
	if err := heir.Greet(handover.Hello{Version: version}); err != nil {
		heir.Refuse(err)
		return nil, fmt.Errorf("take over: %w", err)
	}
	return heir, nil
}

// takeLimit is how long a successor waits to be given everything: longer than any
// deadline that can be set.
const takeLimit = 2 * time.Hour

func upgradeCommand() *cobra.Command {
	var binary, to, tokenFile string
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "Have a new process of Dormouse take over from the running one; sockets stay connected",
		Long: "Have a new process of Dormouse take over from the running one: its addresses, its data folder and every\n" +
			"client's connection. The running process starts the binary itself, with its own arguments and environment.\n" +
			"If anything goes wrong it serves on. SIGUSR2 does the same.",
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&binary, "binary", "", "the new binary (default: what lies where the running one was started from)")
	c.Flags().StringVar(&to, "to", "127.0.0.1:8788", "the admin address of the running Dormouse")
	c.Flags().StringVar(&tokenFile, "admin-token-file", "", "a file whose first line is the server's admin token")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if binary != "" {
			var err error
			if binary, err = filepath.Abs(binary); err != nil {
				return err
			}
		}
		done, err := askUpgrade(c.Context(), to, tokenFile, binary)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "process %d (%s) serves: %d sockets of %d objects, silent for %.0f ms\n",
			done.PID, done.Version, done.Sockets, done.Objects, 1000*done.Silence)
		if done.Told > 0 {
			fmt.Fprintf(c.OutOrStdout(), "%d sockets could not be taken along (TLS in this process) and were told 1012\n", done.Told)
		}
		if done.Cut {
			fmt.Fprintln(c.OutOrStdout(), "some code ran for too long and was cut; the log says what was lost")
		}
		return nil
	}
	return c
}

func askUpgrade(ctx context.Context, to, tokenFile, binary string) (done admin.Upgrade, err error) {
	body, err := json.Marshal(map[string]string{"binary": binary})
	if err != nil {
		return done, err
	}
	var o remote
	if err := o.at(to, tokenFile); err != nil {
		return done, err
	}
	err = o.ask(ctx, http.MethodPost, "/api/upgrade", nil, body, &done)
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("nobody serves the admin API at %s; name the address with --to", to)
	}
	return done, err
}
