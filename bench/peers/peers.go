// Package peers starts what the benchmarks compare Dormouse with, and Dormouse
// itself.
package peers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// hibernateAfter is what Dormouse is told; workerd's ten seconds are fixed.
const hibernateAfter = time.Second

// All returns the peers in the order of the table's columns. tmp is a folder
// for what has to be built.
func All(root, tmp string) ([]contest.Peer, error) {
	worker, err := runtimes.Load(filepath.Join(root, "bench/worker"))
	if err != nil {
		return nil, err
	}
	bare, err := bareEpoll(root, tmp)
	if err != nil {
		return nil, err
	}
	return []contest.Peer{
		{
			Name:       "Dormouse",
			Version:    version(runtimes.FindDormouse()),
			Hibernates: 3 * hibernateAfter,
			Start: func(ctx context.Context) (*runtimes.Server, error) {
				return runtimes.StartDormouse(ctx, worker, hibernateAfter)
			},
		},
		{
			Name:       "workerd",
			Version:    version(runtimes.FindWorkerd()),
			Hibernates: 13 * time.Second,
			Start: func(ctx context.Context) (*runtimes.Server, error) {
				return runtimes.StartWorkerd(ctx, worker)
			},
		},
		ws(root),
		bare,
	}, nil
}

// ws is the npm package on Node, installed on its first use.
func ws(root string) contest.Peer {
	dir := filepath.Join(root, "bench/peers/ws")
	node, nodeErr := runtimes.FindNode()
	return contest.Peer{
		Name:    "ws",
		Version: "ws 8.23.0 on Node " + version(node, nodeErr),
		Start: func(ctx context.Context) (*runtimes.Server, error) {
			if nodeErr != nil {
				return nil, nodeErr
			}
			if _, err := os.Stat(filepath.Join(dir, "node_modules/ws")); err != nil {
				npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
				npm.Dir = dir
				if out, err := npm.CombinedOutput(); err != nil {
					return nil, fmt.Errorf("install ws with npm ci in %s: %w\n%s", dir, err, out)
				}
			}
			return startTelling(ctx, exec.Command(node, filepath.Join(dir, "server.mjs")))
		},
	}
}

func bareEpoll(root, tmp string) (contest.Peer, error) {
	bin := filepath.Join(tmp, "bareepoll")
	build := exec.Command("go", "build", "-o", bin, "./bench/peers/bareepoll")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return contest.Peer{}, fmt.Errorf("build bareepoll: %w\n%s", err, out)
	}
	return contest.Peer{
		Name:    "bare epoll",
		Version: "one loop, no objects",
		Start: func(ctx context.Context) (*runtimes.Server, error) {
			return startTelling(ctx, exec.Command(bin))
		},
	}, nil
}

// startTelling starts a server that prints its port as its first line.
func startTelling(ctx context.Context, cmd *exec.Cmd) (*runtimes.Server, error) {
	s, err := runtimes.Start(cmd)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		line, err := bufio.NewReader(strings.NewReader(s.Log())).ReadString('\n')
		if err == nil {
			s.Addr = net.JoinHostPort("127.0.0.1", strings.TrimSpace(line))
			break
		}
		if time.Now().After(deadline) {
			s.Stop()
			return nil, fmt.Errorf("%s did not print its port: %s", cmd.Path, s.Log())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Ready(ctx, "/ready"); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// version is the first line of what the binary says about itself.
func version(bin string, err error) string {
	if err != nil {
		return "not here"
	}
	out, err := exec.Command(bin, "--version").Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}
